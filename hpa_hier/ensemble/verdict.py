"""The verdict of acceptance: what was compared out of fold, and what that says."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

Against = Literal["flat", "mean"]  # the baseline: flat members fitted alike, or the plain mean of the same members

METRICS = {"mean_ap": "mean AP", "macro_f1": "macro F1"}
_OLDER = AliasChoices("baseline", "mean")  # the latter in files of when it was always a mean


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LogLoss(_Frozen):
    """The figure that decides: log loss per known leaf entry, in nats."""

    ensemble: float
    baseline: float
    difference: float  # the ensemble's minus the baseline's; below 0 the ensemble is better
    lower: float  # one-sided bounds of the difference
    upper: float


class Pair(_Frozen):
    """Mean AP and macro F1 of one system; None where no leaf has positives."""

    mean_ap: float | None
    macro_f1: float | None


class Interval(_Frozen):
    """A metric with its bootstrap interval; None where it is not defined."""

    value: float | None
    low: float | None
    high: float | None

    @model_validator(mode="before")
    @classmethod
    def _read_number(cls, kept: object) -> object:
        """Take a number as a metric without interval; so files hold differences that were fitted earlier."""
        return {"value": kept, "low": None, "high": None} if isinstance(kept, float | int) else kept


class IntervalPair(_Frozen):
    """Mean AP and macro F1 of one system, with intervals."""

    mean_ap: Interval
    macro_f1: Interval


class ClassMetric(_Frozen):
    """A class's metric under both systems, with the interval of the ensemble's; None where it is not defined."""

    ensemble: float | None
    baseline: float | None = Field(validation_alias=_OLDER)
    low: float | None
    high: float | None


class ClassRow(_Frozen):
    """A class's metrics; they decide nothing."""

    node: str
    positives: int
    ap: ClassMetric
    f1: ClassMetric


class Comparison(_Frozen):
    """An ensemble compared, out of fold, with the baseline that answers where it is not better."""

    model_config = ConfigDict(extra="ignore", frozen=True)  # earlier files have bounds of what decides nothing now

    confidence: float  # of the one-sided bounds, in (0, 1)
    against: Against = "mean"
    log_loss: LogLoss | None = None  # None in files of when mean AP and macro F1 decided
    difference: IntervalPair  # of what decides nothing: the ensemble's minus the baseline's
    ensemble: IntervalPair
    baseline: Pair = Field(validation_alias=_OLDER)
    classes: tuple[ClassRow, ...]  # each leaf


class Verdict(_Frozen):
    """Whether the ensemble is used, or its baseline."""

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
        """Read what `to_json` gave, also in earlier versions."""
        if not kept.get("decided"):
            return cls(accepted=kept.get("accepted"), why=str(kept.get("why", "")))
        compared = {name: value for name, value in kept.items() if name not in ("decided", "accepted")}
        return cls.model_validate({"accepted": kept["accepted"], "comparison": compared})

    def describe(self) -> str:
        """Say in one sentence which system answers, and why."""
        if self.comparison is None:
            return f"Nothing was compared: {self.why}."
        one = self.comparison
        ours, theirs = _SYSTEMS[one.against]
        values = {words: getattr(one.difference, name).value for name, words in METRICS.items()}
        others = " and ".join(f"{words} {value:+.3f}" for words, value in values.items() if value is not None)
        if one.log_loss is None:
            answers = ours if self.accepted else theirs
            return _sentence(f"{answers} answers, as an earlier version decided by {others}, out of fold")
        found = (
            f"difference {one.log_loss.difference:+.4f} nats per label, at most {one.log_loss.upper:+.4f} with "
            f"{100 * one.confidence:g} % confidence, out of fold"
        )
        shown = f"{found}; {others} decide nothing" if others else found
        if self.accepted:
            return _sentence(f"{ours} answers: its log loss is lower than that of {theirs} ({shown})")
        return _sentence(f"{theirs} answers: {ours} was not shown to have a lower log loss ({shown})")


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


# the ensemble, and the baseline that it is compared with
_SYSTEMS: dict[Against, tuple[str, str]] = {
    "flat": ("the hierarchical ensemble", "the flat ensemble"),
    "mean": ("the fitted ensemble", "the plain mean of the members"),
}
