"""Describe: results in words and numbers, for the report and the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from hpa_hier.evaluate.results import Coherence, Estimate, Results, Scope

SYSTEMS = {
    "ensemble": "hierarchical ensemble",
    "baseline": "flat ensemble",
    "trivial": "always the same labels",
}  # by name in results, in the order of columns


def describe_cells(scope: Scope) -> str:
    """Say what kind of images were measured on."""
    return "simulated cells" if scope.simulated else "real images"


def describe_part(scope: Scope) -> str:
    """Say which samples metrics were measured on."""
    return scope.source or f"{scope.part} part of split {scope.split_digest or 'unknown'}"


def describe_scope(scope: Scope) -> str:
    """Say in one line what metrics were measured on: cells, part, split, samples, positives, interval."""
    units = f"{scope.units:,} units (antibodies, or near-duplicate images)"
    by_unit = "" if scope.units == scope.samples else f" by {units}"
    return (
        f"{describe_cells(scope)}, {describe_part(scope)}: "
        f"{scope.samples:,} images, {scope.positives:,} positives of {scope.classes} classes; "
        f"{100 * scope.interval:g} % intervals{by_unit}"
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


def list_some(names: Sequence[str], word: str = "", most: int = 3) -> str:
    """List names, the first of many only, with a word such as "and" before the last.

    >>> list_some(["A", "B"], "and"), list_some(["A", "B", "C", "D", "E"], "and"), list_some(["A", "B", "C", "D", "E"])
    ('A and B', 'A, B, C and 2 more', 'A, B, C and 2 more')
    """
    if len(names) > most + 1:  # "and 1 more" is no shorter
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    if word and len(names) > 1:
        return f"{', '.join(names[:-1])} {word} {names[-1]}"
    return ", ".join(names)


def number_in_words(number: int) -> str:
    """Write a small number as a word, others in digits.

    >>> number_in_words(6), number_in_words(28)
    ('six', '28')
    """
    words = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    return words[number] if number < len(words) else f"{number:,}"


def format_whole(number: float | None) -> str:
    """Write a number without decimals; a dash where it is not known.

    >>> format_whole(1234.0), format_whole(None)
    ('1,234', '–')
    """
    return "–" if number is None else f"{number:,.0f}"


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


def system_columns(results: Results) -> dict[str, str]:
    """Return the systems to show beside each other, by name in results, with their headings.

    Where the flat ensemble answers, it is shown once.
    """
    there = {name: SYSTEMS[name] for name in SYSTEMS if name == "ensemble" or name in results.headline[0].others}
    if results.scope.compared_with and "baseline" in there:
        there |= {"ensemble": "adapted", "baseline": results.scope.compared_with}
    if results.scope.uses_baseline:
        there["ensemble"] = there.pop("baseline")
    return there


def results_table(results: Results) -> str:
    """Lay the metrics out for a terminal, with what they were measured on above them."""
    systems = system_columns(results)
    rows = [["", *systems.values()]]
    for row in [*results.headline, *(row for level in results.levels for row in (level.f1, level.ap, level.top))]:
        estimates = [row.ensemble if name == "ensemble" else row.others[name].estimate for name in systems]
        rows.append([row.name, *(format_estimate(one, digits=row.digits) for one in estimates)])
    for key in Coherence.__dataclass_fields__ if not results.scope.compared_with else ():
        kind, when = key.split("_")
        name = f"{'edges inverted' if kind == 'edges' else 'images incoherent'}, {when}"
        rows.append([name, *(format_estimate(getattr(results.coherence.get(one), key, None)) for one in systems)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [" ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    if results.scope.left_out:
        lines.append(f"no positives, left out of means over classes: {', '.join(results.scope.left_out)}")
    return "\n".join([describe_scope(results.scope), *lines])
