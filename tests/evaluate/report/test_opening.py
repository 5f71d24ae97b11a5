"""The opening in sentences: how often answers are right, what to trust, and where nothing beats the same labels."""

from __future__ import annotations

from dataclasses import replace

import pytest
from evaluated_run import make_run

from hpa_hier.evaluate.compute import compute_results
from hpa_hier.evaluate.report.needs import describe_absent
from hpa_hier.evaluate.report.opening import (
    describe_caution,
    describe_comparison,
    describe_opening,
    describe_right,
    describe_trust,
    name_level,
    right_shares,
    unbeaten,
)
from hpa_hier.evaluate.results import Estimate, SafeShare
from hpa_hier.runs.run import Run
from hpa_hier.settings.recipe import ReportSettings


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    run = Run.open(make_run(tmp_path_factory.mktemp("opening"), count=240, size=16))
    return compute_results(run.evaluation, ReportSettings())


def with_gains(results, **gains):
    """Results with other differences to the trivial baseline, by metric: the value and what its interval says."""
    rows = []
    for row in results.headline:
        if row.key in gains:
            value, verdict = gains[row.key]
            trivial = replace(row.others["trivial"], difference=Estimate(value, None, None), verdict=verdict)
            row = replace(row, others=row.others | {"trivial": trivial})
        rows.append(row)
    return replace(results, headline=tuple(rows))


def test_the_shares_that_are_right_are_those_of_the_levels_and_of_whole_label_sets(results):
    sentence = describe_right(results)
    for level, words in zip(results.levels, ("group", "organelle", "place"), strict=True):
        top = level.top.ensemble
        assert f"{100 * top.value:.0f} [{100 * top.low:.0f}, {100 * top.high:.0f}] have the right {words}" in sentence
    labels = results.row("subset_accuracy").ensemble
    assert sentence.endswith(
        f" and {100 * labels.value:.0f} [{100 * labels.low:.0f}, {100 * labels.high:.0f}] have all labels right."
    )


def planted(results, *shares):
    """Results whose levels, and whose whole label sets, are right in these shares of samples, with bounds."""
    *of_levels, of_labels = (Estimate(*share) for share in shares)
    levels = tuple(
        replace(level, top=replace(level.top, ensemble=share))
        for level, share in zip(results.levels, of_levels, strict=True)
    )
    rows = tuple(replace(row, ensemble=of_labels) if row.key == "subset_accuracy" else row for row in results.headline)
    return replace(results, levels=levels, headline=rows)


def test_planted_shares_are_said_in_words_and_drawn_as_squares(results):
    shares = (0.93, 0.90, 0.95), (0.8, 0.76, 0.84), (0.71, 0.66, 0.75), (0.4, 0.35, 0.46)
    found = planted(results, *shares)
    assert describe_right(found) == (
        "Of 100 images like these, 93 [90, 95] have the right group, 80 [76, 84] have the right organelle, "
        "71 [66, 75] have the right place and 40 [35, 46] have all labels right."
    )
    group, *_, labels = right_shares(found)
    assert (group.title, group.between, group.squares) == ("the right group", "between 90 and 95", (90, 93, 95))
    assert group.detail == "Nucleus, Cytoplasm or Secretory"
    assert labels.squares == (35, 40, 46)


def test_levels_of_other_trees_keep_their_names(results):
    level = replace(results.levels[0], name="tissue")
    assert name_level(level) == "tissue"


def test_an_ensemble_that_beats_the_trivial_baseline_gets_no_caution(results):
    assert unbeaten(results) == []
    assert describe_caution(results) == ""
    assert describe_opening(results).splitlines()[1] == describe_right(results)


def test_where_nothing_beats_the_trivial_baseline_the_opening_says_so_first(results):
    worse = with_gains(
        results, macro_f1=(-0.1, "worse"), sample_f1=(0.0, "no clear difference"), log_loss=(0.1, "worse")
    )
    scope = replace(worse.scope, always=("Nucleoplasm", "Cytosol"))
    lines = describe_opening(replace(worse, scope=replace(scope, simulated=False))).splitlines()
    assert lines[0] == "Nothing here beats always answering Nucleoplasm and Cytosol; do not use these labels."
    assert lines[1].startswith("Of 100 images like these")


def test_a_handful_of_images_gets_no_verdict(results):
    few = with_gains(
        results, macro_f1=(-0.1, "too few to tell"), sample_f1=(0.1, "too few to tell"), log_loss=(0.1, "worse")
    )
    few = replace(few, scope=replace(few.scope, always=("Cytosol",), samples=17, units=17))
    assert describe_caution(few) == (
        "17 images are too few for a verdict: whether these labels are better than always answering Cytosol is not "
        "known yet."
    )
    by_antibody = replace(few, scope=replace(few.scope, units=9))
    assert describe_caution(by_antibody).startswith("17 images of 9 antibodies are too few for a verdict:")


def test_where_images_are_too_few_to_show_a_gain_the_caution_says_that(results):
    gain = "no clear difference"
    unclear = with_gains(results, macro_f1=(0.1, gain), sample_f1=(0.1, gain), log_loss=(-0.1, gain))
    always = replace(unclear.scope, always=("Cytosol",), samples=17)
    assert describe_caution(replace(unclear, scope=always)) == (
        "Do not use these labels: on these 17 images nothing is shown to beat always answering Cytosol."
    )


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ("sample_f1 log_loss", "Do not use these labels: in sample F1 and log loss nothing is shown to beat"),
        ("log_loss", "Do not use these probabilities: in log loss nothing is shown to beat"),
        ("macro_f1", "In macro F1 nothing is shown to beat"),
    ],
)
def test_single_metrics_that_do_not_beat_it_are_named_with_what_not_to_use(results, metrics, expected):
    some = with_gains(results, **dict.fromkeys(metrics.split(), (0.0, "no clear difference")))
    sentence = describe_caution(replace(some, scope=replace(some.scope, always=("Cytosol",))))
    assert sentence == f"{expected} always answering Cytosol."


def test_an_evaluation_without_a_trivial_baseline_gets_no_caution(results):
    rows = tuple(replace(row, others={}) for row in results.headline)
    assert describe_caution(replace(results, headline=rows)) == ""


def with_classes(results, *classes):
    """Results of these leaves alone: name, positives of 100 samples, F1 with its bounds."""
    leaf = next(row for row in results.nodes if row.leaf)
    rows = (
        replace(
            leaf,
            **{"node": name, "positives": number, "tp": 0, "fp": 0, "fn": number, "tn": 100 - number},
            **{"f1": Estimate(*f1), "recall": Estimate(f1[0]), "precision": Estimate(f1[0])},
        )
        for name, number, *f1 in classes
    )
    return replace(results, nodes=tuple(rows))


SURE, MISSED, COMMON = ("sure", 40, 0.9, 0.8, 0.95), ("missed", 30, 0.2, 0.1, 0.3), ("common", 60, 0.76, 0.7, 0.8)
LUCKY, UNLUCKY = ("lucky", 2, 1.0, 0.2, 1.0), ("unlucky", 2, 0.0, 0.0, 0.7)


def test_classes_are_trusted_by_the_bounds_of_their_f1_and_never_from_a_handful(results):
    first, second, *_ = describe_trust(with_classes(results, LUCKY, UNLUCKY, SURE, MISSED, COMMON))
    assert first == "Trust most: sure (90 % found, 90 % of calls right)."
    assert second == (  # always answering `common` has F1 0.75, above its lower bound
        "Trust least: missed (20 % found, 20 % of calls right), common (76 % found, 76 % of calls right)."
    )


def test_where_no_class_is_found_or_none_has_images_enough_that_is_said(results):
    first, second, *_ = describe_trust(with_classes(results, ("one", 50, 0.7, 0.6, 0.8)))
    assert first == "No class is shown to be found better than by always answering it."
    assert second == "Trust least: one (70 % found, 70 % of calls right)."
    (first, *_) = describe_trust(with_classes(results, LUCKY, ("none", 0, None, None, None)))
    assert first == "No class has images enough here to say that it is found, or that it is not."


def test_at_most_three_sentences_say_what_to_trust(results):
    safe = SafeShare("all answers", 180, 0.75, 0.9, 0.85, 0.94)
    some = with_classes(results, SURE, MISSED)
    found = describe_trust(replace(some, safe=(safe,)))
    assert len(found) == 3
    assert found[2] == "A safe answer is given for 75 of 100 images; of 100 such answers 90 [85, 94] are right."
    none = SafeShare("all answers", 0, 0.0, None, None, None)
    assert describe_trust(replace(some, safe=(none,)))[2] == "No image gets a safe answer."


def test_the_opening_of_a_terminal_says_what_needs_images_and_what_nothing_is_known_of(results):
    lines = describe_opening(results).splitlines()
    assert any("classes need images most: " in line for line in lines)
    assert lines[-1] == describe_absent(results.scope.left_out)


def test_the_comparison_is_one_sentence_with_figures_or_says_that_the_flat_ensemble_answers(results):
    sentence = describe_comparison(results)
    assert sentence.startswith("Beside the flat ensemble of as many networks: macro F1 0.")
    assert sentence.count("a difference of") == 2
    scope = replace(results.scope, acceptance="The flat ensemble answers.", uses_baseline=True)
    assert describe_comparison(replace(results, scope=scope)) == "The flat ensemble answers."


@pytest.mark.parametrize(("low", "told"), [(0.01, 2), (-0.01, 0)])
def test_a_difference_whose_interval_leaves_0_out_and_is_not_clear_says_why(results, low, told):
    rows = []
    for row in results.headline:
        flat = replace(row.others["baseline"], difference=Estimate(0.02, low, 0.03), verdict="no clear difference")
        rows.append(replace(row, others=row.others | {"baseline": flat}))
    sentence = describe_comparison(replace(results, headline=tuple(rows)))
    why = "no clear difference, since of 20 metrics compared, one or two leave 0 out by chance"
    assert sentence.count(why) == told
    assert sentence.count("no clear difference") == 2
