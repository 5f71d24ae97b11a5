"""Plots: charts and matrices as plain geometry, which the report's template draws as inline SVG and HTML."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hpa_hier.evaluate.colours import step_of

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Axis:
    """One axis: values from low to high lie on pixels from start to end."""

    low: float
    high: float
    start: float  # pixels
    end: float  # pixels

    def at(self, value: float) -> float:
        """Return the pixel of a value, to a tenth."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, about: int) -> list[tuple[float, str]]:
        """Return (pixel, label) at round values, `about` as many as asked."""
        return [(self.at(value), label) for value, label in round_values(self.low, self.high, about)]


@dataclass(frozen=True)
class Line:
    """A polyline and the class that colours it."""

    kind: str
    points: str


@dataclass(frozen=True)
class Dot:
    """A point with its interval and what to say of it."""

    kind: str
    x: float
    y: float
    low: float
    high: float
    words: str


@dataclass(frozen=True)
class Bar:
    """A rectangle that stands on the frame's lower edge."""

    x: float
    y: float
    width: float
    height: float
    words: str


@dataclass(frozen=True)
class Chart:
    """All that one SVG shows, in pixels of its view box."""

    title: str
    width: int
    height: int
    frame: tuple[float, float, float, float]  # left, top, right, bottom
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    x_label: str
    lines: list[Line]
    dots: list[Dot]
    bars: list[Bar]


def round_values(low: float, high: float, about: int) -> list[tuple[float, str]]:
    """Return round values between the bounds with their labels: steps of 1, 2 or 5 times a power of ten.

    >>> [label for _, label in round_values(0, 1, 5)]
    ['0.0', '0.2', '0.4', '0.6', '0.8', '1.0']
    """
    raw = (high - low) / max(1, about)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [(k * step, f"{k * step:.{digits}f}") for k in range(first, last + 1)]


def curves(title: str, series: Mapping[str, Sequence[float | None]], *, from_zero: bool) -> Chart | None:
    """Draw values over epochs; None where no series holds two numbers.

    Args:
        title: name of what the values are, with unit.
        series: kind → value per epoch, None where it was not measured.
        from_zero: let the vertical axis begin at 0.
    """
    width, height, frame = 300, 170, (34.0, 22.0, 292.0, 146.0)
    values = [value for line in series.values() for value in line if value is not None]
    epochs = max((len(line) for line in series.values()), default=0)
    if len(values) < 2 or epochs < 2:
        return None
    low, high = (0.0 if from_zero else min(values)), max(values)
    if high - low < 1e-9:
        high = low + 1
    x = Axis(1, epochs, frame[0], frame[2])
    y = Axis(low, high + 0.06 * (high - low), frame[3], frame[1])
    x_ticks = [(x.at(value), f"{value:g}") for value, _ in round_values(1, epochs, 5) if value.is_integer()]
    lines = [Line(kind, _polyline(x, y, enumerate(line, start=1))) for kind, line in series.items()]
    return Chart(title, width, height, frame, x_ticks, y.ticks(4), "epoch", lines, [], [])


def reliability(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> Chart:
    """Draw share true over probability, for each system, above the number of entries (log scale).

    Args:
        rows: system → bins with prob, share, low, high, entries, as figures["reliability"] holds them.
    """
    width, height, frame = 420, 400, (44.0, 12.0, 408.0, 364.0)
    x, y = Axis(0, 1, frame[0], frame[2]), Axis(0, 1, frame[3], frame[1])
    most = max((row["entries"] for bins in rows.values() for row in bins), default=1)
    tall = Axis(0, math.log10(most + 1), 0, 56)
    bars = [
        Bar(
            x.at(row["prob"]) - 7,
            round(frame[3] - tall.at(math.log10(row["entries"] + 1)), 1),
            14,
            tall.at(math.log10(row["entries"] + 1)),
            f"{row['entries']:,} entries around {row['prob']:.2f}",
        )
        for row in rows.get("ensemble", ())
    ]
    dots, lines = [], [Line("ideal", _polyline(x, y, [(0, 0), (1, 1)]))]
    for system in sorted(rows, reverse=True):  # the ensemble is drawn last, on top
        bins, aside = rows[system], 3 if system == "flat" else -3 if len(rows) > 1 else 0
        lines.append(Line(system, _polyline(x, y, [(row["prob"], row["share"]) for row in bins])))
        dots += [
            Dot(
                system,
                x.at(row["prob"]) + aside,
                y.at(row["share"]),
                y.at(row["low"]),
                y.at(row["high"]),
                f"{system}: of {row['entries']:,} answers around {row['prob']:.2f}, {row['share']:.2f} are true",
            )
            for row in bins
        ]
    return Chart("reliability", width, height, frame, x.ticks(5), y.ticks(5), "probability given", lines, dots, bars)


def risk(curves: Mapping[str, Sequence[Mapping[str, float]]], safe: Sequence[Mapping[str, Any]]) -> Chart:
    """Draw the share of wrong answers over the share of images answered, and the safe answers as a dot.

    Args:
        curves: system → points with coverage and risk, as figures["risk"] holds them.
        safe: rows with share, right, low and high, as figures["safe"] holds them; the first sums up the others.
    """
    width, height, frame = 420, 300, (44.0, 12.0, 408.0, 264.0)
    most = max([point["risk"] for line in curves.values() for point in line] + [0.1])
    x, y = Axis(0, 1, frame[0], frame[2]), Axis(0, min(1.0, 1.15 * most), frame[3], frame[1])
    lines = [
        Line(system, _polyline(x, y, [(point["coverage"], point["risk"]) for point in curves[system]]))
        for system in sorted(curves, reverse=True)
    ]
    dots = [
        Dot(
            "ensemble",
            x.at(row["share"]),
            y.at(1 - row["right"]),
            y.at(max(0.0, 1 - row["high"])),
            y.at(min(y.high, 1 - row["low"])),
            f"safe answers: {row['share']:.2f} of images answered, {row['right']:.2f} of these right",
        )
        for row in safe[:1]
        if row["right"] is not None
    ]
    x_label = "share of images answered"
    return Chart("risk and coverage", width, height, frame, x.ticks(5), y.ticks(5), x_label, lines, dots, [])


def _polyline(x: Axis, y: Axis, points: Iterable[tuple[float, float | None]]) -> str:
    return " ".join(f"{x.at(a)},{y.at(b)}" for a, b in points if b is not None)


@dataclass(frozen=True)
class Cell:
    """One square of a matrix: its colour step and what it says."""

    step: int
    words: str
    half: str  # "true" below the diagonal, "predicted" above, "self" on it


@dataclass(frozen=True)
class Matrix:
    """Rows of cells with their names."""

    names: tuple[str, ...]
    rows: list[list[Cell]]
    pairs: list[tuple[str, str, int, int]]  # the most frequent true pairs: two names, true count, predicted count


def cooccurrence(names: Sequence[str], targets: Bools, present: Bools, pairs: int = 10) -> Matrix:
    """Count which labels stand together: true pairs below the diagonal, predicted pairs above it.

    Args:
        names: L leaves.
        targets: (B, L).
        present: (B, L).
        pairs: how many of the most frequent true pairs to list.
    """
    true = targets.astype(np.int64).T @ targets.astype(np.int64)
    said = present.astype(np.int64).T @ present.astype(np.int64)
    apart = ~np.eye(len(names), dtype=bool)
    most = max(1, int(true[apart].max(initial=0)), int(said[apart].max(initial=0)))

    def cell(i: int, j: int) -> Cell:
        if i == j:
            return Cell(_log_step(true[i, i], most), f"{names[i]}: {true[i, i]:,} images", "self")
        half, number = ("true", true[i, j]) if j < i else ("predicted", said[i, j])
        return Cell(_log_step(number, most), f"{names[i]} + {names[j]}: {number:,} {half}", half)

    size = range(len(names))
    below = [(int(true[i, j]), i, j) for i in size for j in range(i) if true[i, j]]
    top = sorted(below, key=lambda pair: (-pair[0], pair[1], pair[2]))[:pairs]
    listed = [(names[j], names[i], number, int(said[i, j])) for number, i, j in top]
    return Matrix(tuple(names), [[cell(i, j) for j in size] for i in size], listed)


def _log_step(number: int, most: int) -> int:
    return step_of(math.log1p(number) / math.log1p(most)) or 0


def log_share(number: float, most: float) -> float:
    """Return a bar's length in percent on a logarithmic scale: 0 for 0, 100 for the most.

    >>> log_share(99, 9999)
    50.0
    """
    return round(100 * math.log1p(number) / math.log1p(most), 2) if most > 0 else 0.0
