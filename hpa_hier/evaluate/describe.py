"""Describe: results in words and numbers, for the report and the terminal."""

from __future__ import annotations

from hpa_hier.evaluate.results import Coherence, Estimate, Results, Scope


def describe_cells(scope: Scope) -> str:
    """Say what kind of images were measured on."""
    return "simulated cells" if scope.simulated else "real images"


def describe_scope(scope: Scope) -> str:
    """Say in one line what metrics were measured on: cells, part, split, samples, positives, interval."""
    unit = "images" if scope.units == scope.samples else f"{scope.units:,} units (antibodies, or near-duplicate images)"
    intervals = f"{100 * scope.interval:g} % intervals from {scope.resamples:,} resamples of {unit}"
    return (
        f"{describe_cells(scope)}, {scope.part} part of split {scope.split_digest or 'unknown'}: "
        f"{scope.samples:,} images, {scope.positives:,} positives of {scope.classes} classes; "
        + (intervals if scope.resamples else "no intervals were asked for")
    )


def format_estimate(estimate: Estimate | None, *, signed: bool = False, bounds: bool = True, digits: int = 3) -> str:
    """Write a metric and its interval; a dash where it is not defined.

    >>> format_estimate(Estimate(0.512, 0.48, 0.544))
    '0.512 [0.480, 0.544]'
    """
    if estimate is None or estimate.value is None:
        return "–"
    text = _number(estimate.value, signed, digits)
    return f"{text} {format_interval(estimate, signed=signed, digits=digits)}".rstrip() if bounds else text


def format_interval(estimate: Estimate | None, *, signed: bool = False, digits: int = 3) -> str:
    """Write a metric's interval alone; nothing where there is none.

    >>> format_interval(Estimate(0.01, -0.02, 0.04), signed=True)
    '[−0.020, +0.040]'
    """
    if estimate is None or estimate.low is None or estimate.high is None:
        return ""
    return f"[{_number(estimate.low, signed, digits)}, {_number(estimate.high, signed, digits)}]"


def _number(value: float, signed: bool, digits: int) -> str:
    size = f"{abs(value):.{digits}f}"
    if not float(size):  # what rounds to 0 has no sign
        return size
    return ("−" if value < 0 else "+" if signed else "") + size


def format_duration(seconds: float | None) -> str:
    """Write a time.

    >>> format_duration(75), format_duration(7260)
    ('1 min 15 s', '2 h 1 min')
    """
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def results_table(results: Results) -> str:
    """Lay the headline out for a terminal, with what it was measured on above it."""
    rows = [["", "hierarchical ensemble", "flat ensemble", "difference", ""]]
    for row in [*results.headline, *(row for level in results.levels for row in (level.f1, level.ap))]:
        ours, theirs = (format_estimate(one, digits=row.digits) for one in (row.ensemble, row.baseline))
        difference = format_estimate(row.difference, signed=True, digits=row.digits)
        rows.append([row.name, ours, theirs, difference, row.verdict or ""])
    baseline = results.coherence.get("baseline")
    for key in Coherence.__dataclass_fields__:
        kind, when = key.split("_")
        name = f"{'edges inverted' if kind == 'edges' else 'images incoherent'}, {when}"
        both = (results.coherence["ensemble"], baseline)
        rows.append([name, *(format_estimate(getattr(one, key, None)) for one in both), "", ""])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [" ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    if results.scope.left_out:
        lines.append(f"no positives, left out of means over classes: {', '.join(results.scope.left_out)}")
    if results.scope.uses_baseline:
        lines.append("the aggregate was not shown to beat the flat mean, so the flat mean answers in both columns")
    return "\n".join([describe_scope(results.scope), *lines])
