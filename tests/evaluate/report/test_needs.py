"""Which classes need images: those that their intervals leave open, what would gain most first."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from evaluated_run import make_run

from hpa_hier.evaluate.compute import compute_results
from hpa_hier.evaluate.report.needs import count_wanted, describe_absent, find_needs
from hpa_hier.evaluate.results import Estimate
from hpa_hier.runs.run import Run


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return compute_results(Run.open(make_run(tmp_path_factory.mktemp("needs"), count=120, size=8)).evaluation)


def with_leaves(results, *leaves, left_out=()):
    """Results of these leaves alone: name, positives of 1,000 samples, how many of them are found, F1 with bounds."""
    leaf = next(row for row in results.nodes if row.leaf)
    rows = tuple(
        replace(
            leaf,
            **{"node": name, "positives": many, "tp": found, "fp": 0, "fn": many - found, "tn": 1000 - many},
            f1=Estimate(*f1),
        )
        for name, many, found, *f1 in leaves
    )
    macro = replace(results.row("macro_f1"), ensemble=Estimate(0.6))
    headline = tuple(macro if row.key == "macro_f1" else row for row in results.headline)
    return replace(results, nodes=rows, headline=headline, scope=replace(results.scope, left_out=left_out))


CLEAR, LOST = ("clear", 200, 190, 0.95, 0.9, 0.97), ("lost", 200, 20, 0.1, 0.05, 0.2)
OPEN, RARE = ("open", 12, 4, 0.3, 0.01, 0.7), ("rare", 3, 0, 0.0, 0.0, 0.8)


def test_a_class_needs_images_where_few_leave_open_whether_it_is_found(results):
    needs = find_needs(with_leaves(results, CLEAR, LOST, OPEN, RARE))
    assert [one.row.node for one in needs.classes] == ["rare", "open"]  # by how far F1 may still rise
    assert needs.sentence == (
        "These two classes need images most: rare (3), open (12). In brackets the images here, too few to tell."
    )


def test_a_class_that_is_surely_missed_or_surely_found_needs_no_more_images(results):
    needs = find_needs(with_leaves(results, CLEAR, LOST))
    assert needs.classes == ()
    assert needs.sentence == ""


def test_a_handful_is_open_however_well_it_went(results):
    needs = find_needs(with_leaves(results, CLEAR, ("lucky", 9, 9, 1.0, 0.7, 1.0)))
    assert needs.sentence.startswith("This class needs images most: lucky (9).")


def test_six_are_named_and_the_others_counted(results):
    rare = [(f"rare {k}", 3, 0, 0.0, 0.0, 0.8 - k / 100) for k in range(8)]
    needs = find_needs(with_leaves(results, *rare), {"rare 0": 5})
    assert needs.sentence.startswith("These six classes need images most: rare 0 (3), rare 1 (3), ")
    assert ", and 2 others. In brackets" in needs.sentence
    assert [one.learned for one in needs.classes[:2]] == [5, None]


def test_classes_without_any_image_are_apart(results):
    assert find_needs(with_leaves(results, CLEAR, left_out=("absent",))).absent == ("absent",)


def test_the_images_wanted_are_those_of_a_normal_interval_of_ten_in_a_hundred(results):
    (half,) = with_leaves(results, ("half", 8, 4, 0.5, 0.1, 0.9)).nodes
    assert count_wanted(half, 0.95) == math.ceil(1.959964**2 * 0.25 / 0.01)
    reach = 1.959964 * math.sqrt(0.25 / count_wanted(half, 0.95))
    assert reach == pytest.approx(0.1, abs=0.001)


def test_what_nothing_is_known_of_is_named():
    assert describe_absent(("Rods & rings",)) == "Nothing is known of Rods & rings: no image here has it."
    assert describe_absent("abcdef") == "Nothing is known of a, b, c and 3 more: no image here has them."
    assert describe_absent(()) == ""
