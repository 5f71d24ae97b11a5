"""Verdicts: one sentence whichever way it went, and what earlier versions kept is read."""

from __future__ import annotations

import pytest

from hpa_hier.ensemble.verdict import Against, Comparison, Interval, IntervalPair, LogLoss, Pair, Verdict

EARLIER = {
    "decided": True,
    "accepted": False,
    "confidence": 0.8,
    "difference": {"mean_ap": 0.01, "macro_f1": -0.02},
    "lower": {"mean_ap": -0.01, "macro_f1": -0.03},
    "upper": {"mean_ap": 0.02, "macro_f1": -0.01},
    "ensemble": {name: {"value": 0.5, "low": 0.4, "high": 0.6} for name in ("mean_ap", "macro_f1")},
    "mean": {"mean_ap": 0.49, "macro_f1": 0.52},
    "classes": [
        {
            "node": "Cytosol",
            "positives": 7,
            "ap": {"ensemble": 0.5, "mean": 0.4, "low": 0.3, "high": 0.6},
            "f1": {"ensemble": None, "mean": None, "low": None, "high": None},
        }
    ],
}


def verdict(difference: float, against: Against = "flat") -> Verdict:
    both = IntervalPair(
        mean_ap=Interval(value=0.002, low=-0.01, high=0.01), macro_f1=Interval(value=-0.01, low=-0.03, high=0.01)
    )
    loss = LogLoss(
        ensemble=0.2 + difference,
        baseline=0.2,
        difference=difference,
        lower=difference - 0.0013,
        upper=difference + 0.0013,
    )
    pair = Pair(mean_ap=0.5, macro_f1=0.5)
    one = Comparison(
        confidence=0.8, against=against, log_loss=loss, difference=both, ensemble=both, baseline=pair, classes=()
    )
    return Verdict(accepted=loss.upper < 0, comparison=one)


def test_a_verdict_is_one_calm_sentence_either_way() -> None:
    figures = "mean AP +0.002 and macro F1 -0.010 decide nothing"
    assert verdict(-0.0003).describe() == (
        "The flat ensemble answers: the hierarchical ensemble was not shown to have a lower log loss (difference "
        f"-0.0003 nats per label, at most +0.0010 with 80 % confidence, out of fold; {figures})."
    )
    assert verdict(-0.0123).describe() == (
        "The hierarchical ensemble answers: its log loss is lower than that of the flat ensemble (difference "
        f"-0.0123 nats per label, at most -0.0110 with 80 % confidence, out of fold; {figures})."
    )
    assert verdict(0.0, "mean").describe().startswith("The plain mean of the members answers: the fitted ensemble was")


@pytest.mark.parametrize("one", [verdict(-0.0123), verdict(0.5, "mean"), Verdict(why="no folds"), Verdict()])
def test_a_verdict_is_read_as_it_was_written(one: Verdict) -> None:
    assert Verdict.from_json(one.to_json()) == one


def test_a_verdict_of_an_earlier_version_is_read_and_described() -> None:
    found = Verdict.from_json(EARLIER)
    assert found.comparison is not None
    assert found.comparison.baseline == Pair(mean_ap=0.49, macro_f1=0.52)
    assert found.comparison.classes[0].ap.baseline == 0.4
    assert found.comparison.difference.mean_ap == Interval(value=0.01, low=None, high=None)
    assert found.describe() == (
        "The plain mean of the members answers, as an earlier version decided by mean AP +0.010 and macro F1 -0.020, "
        "out of fold."
    )
    assert Verdict.from_json(found.to_json()) == found
