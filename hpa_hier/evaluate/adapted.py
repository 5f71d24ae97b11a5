"""Adapted: what adapting an ensemble to labelled samples changed, in sentences."""

from __future__ import annotations

from hpa_hier.evaluate.describe import describe_cells, format_estimate
from hpa_hier.evaluate.results import Results

SHOWN = ("log_loss", "brier", "macro_f1", "mean_ap", "micro_f1")
_OTHER = "baseline"


def describe_change(results: Results, aim: float) -> tuple[str, ...]:
    """Say in three sentences what samples that an adaptation has not seen tell of it.

    Args:
        results: of an evaluation out of fold, beside the ensemble as it was.
        aim: share of safe answers that were to be right.
    """
    scope = results.scope
    rows = [row for row in map(results.row, SHOWN) if _OTHER in row.others]
    changes = []
    for row in rows:
        before = row.others[_OTHER]
        values = [format_estimate(one, digits=row.digits, bounds=False) for one in (before.estimate, row.ensemble)]
        gain = format_estimate(before.difference, signed=True, digits=row.digits)
        told = f": {before.verdict}" if before.verdict in ("better", "worse") else ""
        changes.append(f"{row.name} {values[0]} → {values[1]} ({gain}){told}")
    grouped = "" if scope.units == scope.samples else f", {scope.units:,} antibodies or other groups"
    measured = f"On {scope.samples:,} labelled {describe_cells(scope)}{grouped}, each judged by what had not seen it"
    interval = f"the difference in brackets with its {100 * scope.interval:g} % interval"
    sentences = [f"{measured} ({interval}):", *(f"  {one}" for one in changes)]
    level = results.levels[0]
    if _OTHER in level.top.others:
        pair = (level.top.others[_OTHER].estimate, level.top.ensemble)
        shares = " → ".join(format_estimate(one.times(100), digits=0, bounds=False) for one in pair)
        sentences.append(f"  of 100 images, the most likely place at level {level.name} is right in {shares}")
    sentences.append(describe_safe(results, aim))
    return tuple(sentences)


def describe_safe(results: Results, aim: float) -> str:
    """Say how many samples get a safe answer, and how many of these are right, beside what was aimed at."""
    every = next(iter(results.safe), None)
    if every is None or every.right is None:
        return "No image gets a safe answer: on these few, no place is right often enough."
    right = format_estimate(every.estimate.times(100), digits=0)
    return (
        f"Safe answers, out of fold: {every.samples:,} of {results.scope.samples:,} images get one, and of 100 such "
        f"answers {right} are right; the aim is {100 * aim:g}."
    )
