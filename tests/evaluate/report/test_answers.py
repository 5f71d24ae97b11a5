"""The page of new images: counts as the tables have them, doubts first, each picture once, and never too large."""

from __future__ import annotations

import re

import numpy as np
import pytest
from evaluated_run import make_run

from hpa_hier.evaluate.compute import compute_results
from hpa_hier.evaluate.report.answers import UNLIKE, Answered, collect_answers, describe_quality, write_answers
from hpa_hier.evaluate.report.opening import describe_right
from hpa_hier.evaluate.results import write_results
from hpa_hier.predict.formats.rows import Rows
from hpa_hier.predict.tables import Rejected
from hpa_hier.runs.run import Run
from hpa_hier.taxonomy import Taxonomy

CHANNELS = ("red", "green", "blue", "yellow")
SHARED = ("the networks learned from simulated cells only; do not rely on the answers",)


def rows_of(taxonomy, leaves, probs, safe=None, warnings=None, shared=()):
    """Rows as `predict` makes them: each sample's leaves, with everything above them."""
    nodes, many = taxonomy.nodes, len(leaves)
    called = np.zeros((many, len(nodes)), bool)
    for row, names in enumerate(leaves):
        called[row, [taxonomy.column[name] for name in names]] = True
    called = taxonomy.close(called)
    groups = [
        "|".join(n for j, n in enumerate(nodes) if called[row, j] and not taxonomy.is_leaf(n)) for row in range(many)
    ]
    own = warnings or [""] * many
    columns = {
        "id": [f"cell-{k:05d}" for k in range(many)],
        "labels": ["|".join(names) or "unsure" for names in leaves],
        "groups": groups,
        "safe": safe or ["unsure"] * many,
        "warning": ["; ".join(filter(None, (one, *shared))) for one in own],
    }
    return Rows(columns, ("",) * many, probs)


def draw(taxonomy, many, seed=0):
    """Made-up answers: one or two leaves each, probabilities that follow them."""
    rng = np.random.default_rng(seed)
    picks = [rng.choice(taxonomy.leaves, int(k), replace=False).tolist() for k in rng.integers(1, 3, many)]
    probs = rng.random((many, len(taxonomy.nodes))) * 0.3
    for row, names in enumerate(picks):
        probs[row, [taxonomy.column[name] for name in names]] = rng.uniform(0.4, 1, len(names))
    return picks, probs


def read_noise(side=48):
    def read(ids):
        return {name: np.random.default_rng(int(name[-5:])).integers(0, 256, (4, side, side), np.uint8) for name in ids}

    return read


@pytest.fixture(scope="module")
def taxonomy():
    return Taxonomy.load("hierarchy/hpa28.yaml")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return Run.open(make_run(tmp_path_factory.mktemp("answers"), count=120, size=8))


def test_planted_counts_are_in_the_first_sentence_and_in_the_tree(taxonomy):
    leaves = [["Nucleoplasm"]] * 6 + [["Nucleoplasm", "Cytosol"]] * 2 + [["Mitochondria"]] + [[]]
    probs = np.full((10, len(taxonomy.nodes)), 0.2)
    page = collect_answers(Answered([rows_of(taxonomy, leaves, probs)], taxonomy, "my_images"), "QUALITY")
    assert page.sentences == (
        "Of 100 of these 10 images: 80 Nucleoplasm, 20 Cytosol, 10 Mitochondria. An image may be in several places.",
        "Among them are 1 without a label.",
        "QUALITY",
    )
    tree = {one.node: one for root in page.tree for one in flatten(root)}
    assert (tree["Nucleus"].samples, tree["Nucleoplasm"].samples, tree["Cytosol"].share) == (8, 8, 0.2)
    assert tree["Golgi apparatus"].step is None
    places = {part.node: (part.samples, part.alone) for part in page.places}
    assert places == {"Nucleoplasm": (8, 6), "Cytosol": (2, 0), "Mitochondria": (1, 1)}


def flatten(one):
    return [one, *(found for child in one.below for found in flatten(child))]


def test_safe_answers_are_counted_by_kind_and_where_there_are_none_the_labels_are(taxonomy):
    leaves = [["Nucleoplasm"]] * 3 + [[]]
    probs = np.full((4, len(taxonomy.nodes)), 0.2)
    safe = ["Nucleoplasm", "Nucleus", "unsure", "unsure"]
    page = collect_answers(Answered([rows_of(taxonomy, leaves, probs, safe)], taxonomy, ""), "")
    assert [(one.title, one.samples, one.hundred) for one in page.shares] == [
        ("get a safe place", 1, 25),
        ("get a safe group only", 1, 25),
        ("get no safe answer", 2, 50),
    ]
    none = collect_answers(Answered([rows_of(taxonomy, leaves, probs, [""] * 4)], taxonomy, ""), "")
    assert [(one.title, one.samples) for one in none.shares] == [
        ("get a place", 3),
        ("get a group only", 0),
        ("get no label", 1),
    ]


def test_what_is_doubtful_comes_first_and_what_is_about_all_is_said_once(taxonomy, run, tmp_path):
    picks, probs = draw(taxonomy, 40)
    warnings = [""] * 40
    warnings[30] = f"{UNLIKE}: blue (nucleus) is black"
    rows = rows_of(taxonomy, picks, probs, warnings=warnings, shared=SHARED)
    rejected = (Rejected("broken", "broken_<green>.png", "is no image"),)
    answered = Answered([rows], taxonomy, "my <b>images", SHARED, rejected, CHANNELS, read_noise())
    page = collect_answers(answered, "")
    assert page.lines[0].id == "cell-00030"
    assert page.lines[0].warning == warnings[30]
    assert {line.warning for line in page.lines[1:]} == {""}
    assert page.sentences[1] == (
        "Among them are 1 unlike what was learned from, whose answers are not to be trusted and 1 that could not be "
        "read."
    )
    assert page.doubts == (f"1 of 40 images: {UNLIKE} (cell-00030)",)
    assert [one.id for one in page.shelves[0].pictures] == ["cell-00030"]
    html = write_answers(tmp_path / "report.html", answered, run).read_text(encoding="utf-8")
    assert html.count("do not rely on the answers") == 1
    assert "<b>images" not in html
    assert "broken_&lt;green&gt;.png" in html


def test_no_image_is_on_two_shelves_and_every_called_place_has_one(taxonomy):
    picks, probs = draw(taxonomy, 400)
    answered = Answered([rows_of(taxonomy, picks, probs)], taxonomy, "", (), (), CHANNELS, read_noise(16))
    page = collect_answers(answered, "")
    shelves = [*page.shelves, *(shelf for part in page.places for shelf in part.shelves)]
    ids = [one.id for shelf in shelves for one in shelf.pictures]
    assert len(ids) == len(set(ids)) == page.shown
    assert all(part.shelves for part in page.places)
    for part in page.places:
        surest = part.shelves[0]
        assert surest.title == "Surest"
        of = [next(prob for name, prob, _ in one.places if name == part.node) for one in surest.pictures]
        assert of == sorted(of, reverse=True)


def test_answers_in_several_batches_are_those_of_one(taxonomy):
    picks, probs = draw(taxonomy, 60)
    rows = rows_of(taxonomy, picks, probs)
    whole = collect_answers(Answered([rows], taxonomy, ""), "")
    parts = [rows.take(range(25)), rows.take(range(25, 60))]
    assert collect_answers(Answered(parts, taxonomy, ""), "") == whole


def test_samples_that_are_no_images_have_no_pictures_and_the_page_says_so(taxonomy, run, tmp_path):
    picks, probs = draw(taxonomy, 12)
    answered = Answered([rows_of(taxonomy, picks, probs)], taxonomy, "vectors.csv")
    html = write_answers(tmp_path / "report.html", answered, run).read_text(encoding="utf-8")
    assert "There are no pictures here" in html
    assert "<image" not in html


def test_how_good_answers_are_is_said_by_the_runs_evaluation_or_not_at_all(run):
    assert describe_quality(run) == (
        "How good they are cannot be seen from images without labels, and run keeps no evaluation."
    )
    results = compute_results(run.evaluation)
    write_results(run.ensemble_folder, results)
    sentence = describe_quality(run)
    assert f"the evaluation on {results.scope.samples} simulated cells (test part of split" in sentence
    assert "of run, which says nothing about other ones, found: of 100 images like these, " in sentence
    assert sentence.endswith(describe_right(results)[1:])


def test_ten_thousand_images_make_a_page_below_five_megabytes_that_asks_nothing_of_a_network(taxonomy, run, tmp_path):
    picks, probs = draw(taxonomy, 10_000)
    answered = Answered([rows_of(taxonomy, picks, probs)], taxonomy, "many", SHARED, (), CHANNELS, read_noise(96))
    path = write_answers(tmp_path / "report.html", answered, run)
    assert path.stat().st_size < 5_000_000
    html = path.read_text(encoding="utf-8")
    assert "These are 1,000 of 10,000 images" in html
    found = re.findall(r"(?:src|href|action|poster)=\"([^\"]{0,20})", html)
    assert found
    assert all(one.startswith(("#", "data:")) for one in found)
    assert "default-src 'none'" in html
