"""The verdict of acceptance: what was compared out of fold, and what that says."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

METRICS = {"mean_ap": "mean AP", "macro_f1": "macro F1"}


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Pair(_Frozen):
    """Mean AP and macro F1 of one system, or their differences."""

    mean_ap: float
    macro_f1: float


class Interval(_Frozen):
    """A metric with its bootstrap interval; None where it is not defined."""

    value: float | None
    low: float | None
    high: float | None


class IntervalPair(_Frozen):
    """Mean AP and macro F1 of one system, with intervals."""

    mean_ap: Interval
    macro_f1: Interval


class ClassMetric(_Frozen):
    """A class's metric under both systems, with the interval of the ensemble's; None where it is not defined."""

    ensemble: float | None
    mean: float | None
    low: float | None
    high: float | None


class ClassRow(_Frozen):
    """A class's metrics; they decide nothing."""

    node: str
    positives: int
    ap: ClassMetric
    f1: ClassMetric


class Comparison(_Frozen):
    """Two systems compared out of fold: an aggregate and a mean."""

    confidence: float  # of the one-sided bounds, in (0, 1)
    difference: Pair  # the aggregate minus the mean
    lower: Pair  # bounds of the difference
    upper: Pair
    ensemble: IntervalPair  # the aggregate
    mean: Pair
    classes: tuple[ClassRow, ...]  # each leaf


class Verdict(_Frozen):
    """Whether the aggregate is used."""

    accepted: bool | None = None  # None where nothing was to be decided
    why: str = ""  # nothing was compared
    comparison: Comparison | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as `ensemble.json` and the report hold it."""
        accepted = {} if self.accepted is None else {"accepted": self.accepted}
        kept = {"why": self.why} if self.comparison is None else self.comparison.model_dump(mode="json")
        return {"decided": self.comparison is not None, **accepted, **kept}

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Verdict:
        """Read what `to_json` gave."""
        if not kept.get("decided"):
            return cls(accepted=kept.get("accepted"), why=str(kept.get("why", "")))
        comparison = {name: kept[name] for name in Comparison.model_fields}
        return cls.model_validate({"accepted": kept["accepted"], "comparison": comparison})

    def describe(self) -> str:
        """Describe the verdict in one line."""
        if self.comparison is None:
            return f"not compared with the mean: {self.why}"
        one = self.comparison
        shown = ", ".join(
            f"{words} {getattr(one.difference, name):+.4f} (at least {getattr(one.lower, name):+.4f} "
            f"with {100 * one.confidence:g} % confidence)"
            for name, words in METRICS.items()
        )
        if self.accepted:
            return f"accepted against the mean, out of fold: {shown}"
        return f"not shown to beat the mean, so the mean is used instead; out of fold: {shown}"
