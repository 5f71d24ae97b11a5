"""Explanations in words: what is said of answers that are sure, doubtful, empty and exclusive."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ensemble_cases import draw_members, draw_truth

from hpa_hier.ensemble.decide.thresholds import HALF, NEVER
from hpa_hier.ensemble.ensemble import Ensemble
from hpa_hier.ensemble.fit import fit
from hpa_hier.ensemble.scores.scores import Scores
from hpa_hier.predict.explanation.explained import Explained
from hpa_hier.predict.explanation.reasons import find_reasons
from hpa_hier.predict.explanation.words import explain_in_words
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy

TREE = """taxonomy: small
levels: {coarse: 1, leaf: leaves}
tree:
  Nucleus:
    Nucleoplasm: {label: 0}
    Nucleoli: {label: 2}
  Cytoplasm:
    Golgi:
      Golgi apparatus: {label: 7}
    Cytosol: {label: 25}
"""
NODES = ("Nucleoplasm", "Nucleoli", "Golgi apparatus", "Cytosol")


def fitted(text: str = TREE) -> Ensemble:
    """An ensemble of two leaf members whose answers go through as they are, at thresholds of a half."""
    taxonomy, rng = Taxonomy.from_text(text), np.random.default_rng(0)
    truth = draw_truth(rng, taxonomy, 60)
    members = [one for one in draw_members(rng, truth, taxonomy) if one.name.startswith("leaf")]
    plain = {"calibrate": "none", "aggregate": "mean", "refine": False, "reconcile": "lift", "folds": 0}
    ensemble = fit(members, truth, taxonomy, EnsembleSettings(**plain, bootstrap=20))
    return with_thresholds(ensemble, value=0.5, rule="f1", low=0.4, high=0.6, positives=50)


def with_thresholds(ensemble: Ensemble, **changed: float | str) -> Ensemble:
    limits, N = ensemble.thresholds, len(ensemble.taxonomy.nodes)
    arrays = {name: np.full(N, value) for name, value in changed.items() if name in ("low", "high", "positives")}
    if "value" in changed:
        arrays["values"] = np.full(N, changed["value"])
    rules = (str(changed["rule"]),) * N if "rule" in changed else limits.rules
    return replace(ensemble, decision=replace(ensemble.decision, thresholds=replace(limits, rules=rules, **arrays)))


def explained(ensemble: Ensemble, one: list[float], other: list[float] | None = None, **rest: object) -> str:
    """Explain a sample for which two members give the leaves these probabilities."""
    order = [NODES.index(leaf) for leaf in ensemble.combiner.calibrations["leaf"].nodes]
    scores = [
        Scores(
            name, ("a",), tuple(NODES[i] for i in order), np.log(np.array([probs]) / (1 - np.array([probs])))[:, order]
        )
        for name, probs in (("leaf", one), ("leaf-s1", other or one))
    ]
    one = Explained(ensemble, tuple(scores), "artifacts/mine", "images/a.png", **rest)
    return explain_in_words(find_reasons(one))


@pytest.fixture(scope="module")
def ensemble() -> Ensemble:
    return fitted()


def test_a_sure_answer_is_told_with_its_way_and_its_thresholds(ensemble: Ensemble) -> None:
    text = explained(ensemble, [0.1, 0.95, 0.02, 0.03], safe="Nucleoli")
    lines = text.splitlines()
    assert lines[:5] == [
        "image:        a",
        "from:         images/a.png",
        "answered by:  2 members of artifacts/mine",
        "answer:       Nucleoli",
        "safe answer:  Nucleoli",
    ]
    words = [line.split() for line in lines]
    assert ["Nucleoli", "95", "%", "very", "likely,", "in", "the", "answer"] in words
    assert ["Nucleoplasm", "10", "%", "unlikely"] in words
    assert "  Most likely in Nucleus (95 %), there in Nucleoli (95 %). Step by step:" in lines
    assert "      Nucleoli: 95 %, where 50 % is enough; both members agree (95 % to 95 %)" in lines
    assert "      not Nucleoplasm: 10 % (needs 50 %)" in lines
    assert "    not Cytoplasm: 3 % (needs 50 %)" in lines


def test_a_group_with_one_place_is_not_told_twice(ensemble: Ensemble) -> None:
    text = explained(ensemble, [0.1, 0.1, 0.9, 0.1])
    assert "Most likely in Cytoplasm (90 %), there in Golgi apparatus (90 %)." in text
    assert "Golgi:" not in text


def test_where_nothing_reaches_its_threshold_the_nearest_is_named(ensemble: Ensemble) -> None:
    text = explained(ensemble, [0.3, 0.1, 0.1, 0.1], fallback="Nucleoplasm", safe="unsure")
    assert "answer:       unsure: no place reaches its threshold; the nearest is Nucleoplasm" in text
    assert "safe answer:  unsure: no place is certain enough" in text


def test_members_that_disagree_are_named_with_what_each_says(ensemble: Ensemble) -> None:
    text = explained(ensemble, [0.1, 0.3, 0.02, 0.03], [0.1, 0.9, 0.02, 0.03])
    told = "the members disagree: 'leaf' says 30 %, 'leaf-s1' 90 %"
    assert f"Nucleoli: 66 %, where 50 % is enough; {told}" in text
    assert f"  - Nucleoli: {told}" in text


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, "  - Nucleoli is a close call: its threshold, 50 % could as well be 40 % to 60 %"),
        ({"positives": 7}, "  - the threshold of Nucleoli rests on 7 images of it"),
        ({"rule": HALF}, "  - Nucleoli: the members do not tell it apart from other places"),
        ({"rule": NEVER, "value": 1.1}, "  - Nucleoli is never in an answer: there was no image of it to fit on"),
    ],
)
def test_a_threshold_that_is_no_firm_ground_is_doubtful(
    changed: dict[str, float | str], words: str, ensemble: Ensemble
) -> None:
    assert words in explained(with_thresholds(ensemble, **changed), [0.1, 0.55, 0.02, 0.03])


def test_doubts_missing_channels_and_notes_are_all_told(ensemble: Ensemble) -> None:
    told = {"doubts": ("unlike what was learned from: blue is black",), "filled": ("yellow",), "notes": ("simulated",)}
    doubts = explained(ensemble, [0.1, 0.95, 0.02, 0.03], **told).partition("What is doubtful\n")[2].splitlines()
    assert doubts == [
        "  - unlike what was learned from: blue is black",
        "  - there is no yellow channel; zeros stand for it",
        "  - simulated",
        "  - whether it is like what was learned from is not known: the ensemble keeps no distances; ensemble fit adds "
        "them where there are 19 samples or more to learn from",
    ]


def test_where_each_sample_has_one_place_the_likeliest_is_told_without_thresholds() -> None:
    exclusive = fitted(TREE.replace("levels:", "exclusive: true\nlevels:"))
    text = explained(exclusive, [0.3, 0.25, 0.2, 0.1])
    assert ", the likeliest" in text
    assert not {"needs", "enough"} & set(text.split())
