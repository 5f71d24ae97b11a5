"""Figures: everything the report says in numbers, each with its interval, as one JSON-able dictionary."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hpa_hier.evaluate.evaluation import Answers, Evaluation, read_evaluation
from hpa_hier.evaluate.measure import Measured, measure_of, resampled
from hpa_hier.evaluate.risk import risk_coverage, safe_shares
from hpa_hier.metrics import scores as metrics
from hpa_hier.metrics.bootstrap import interval
from hpa_hier.metrics.groups import number_units
from hpa_hier.settings.recipe import ReportSettings

Floats = npt.NDArray[np.floating]
Pair = tuple[Floats, Floats]  # lower and upper bounds


@dataclass(frozen=True)
class Shown:
    """A line of the headline table."""

    key: str
    name: str
    higher_is_better: bool = True
    digits: int = 3  # shown behind the point


HEADLINE = (
    Shown("macro_f1", "macro F1"),
    Shown("micro_f1", "micro F1"),
    Shown("sample_f1", "sample F1"),
    Shown("subset_accuracy", "subset accuracy"),
    Shown("mean_ap", "mean average precision"),
    Shown("hierarchical_precision", "hierarchical precision"),
    Shown("hierarchical_recall", "hierarchical recall"),
    Shown("hierarchical_f1", "hierarchical F1"),
    Shown("calibration_error", "calibration error", higher_is_better=False, digits=4),
    Shown("brier", "Brier score", higher_is_better=False, digits=4),
)
COHERENCE = ("edges_before", "edges_after", "samples_before", "samples_after")
PER_NODE = ("precision", "recall", "f1", "ap")


def figures_of(source: Evaluation | Path, settings: ReportSettings | None = None) -> dict[str, Any]:
    """Compute every figure of an evaluation.

    Args:
        source: an evaluation, or the path of one (run folder, ensemble folder or evaluation.npz).
        settings: resamples, interval level and seed; the defaults where None.

    Returns:
        A dictionary of plain numbers, strings, lists and None (where a figure is not defined).
    """
    chosen = settings or ReportSettings()
    evaluation = source if isinstance(source, Evaluation) else read_evaluation(source)
    systems = {"ensemble": evaluation.ensemble} | ({"flat": evaluation.flat} if evaluation.flat else {})
    measure = {name: measure_of(evaluation, answers) for name, answers in systems.items()}
    points = {name: one(None) for name, one in measure.items()}
    drawn = resampled(evaluation, measure, chosen)

    def one(system: str, key: str) -> dict[str, float | None] | None:
        return _with_interval(points[system][key], drawn[system].get(key), chosen) if system in points else None

    def difference(key: str) -> dict[str, Any] | None:
        if "flat" not in points:
            return None
        pairs = drawn["ensemble"][key] - drawn["flat"][key] if drawn["flat"] else None
        return _with_interval(points["ensemble"][key] - points["flat"][key], pairs, chosen, within=(-1, 1))

    def line(shown: Shown) -> dict[str, Any]:
        values = {"ensemble": one("ensemble", shown.key), "flat": one("flat", shown.key)}
        better = {"higher_is_better": shown.higher_is_better, "difference": difference(shown.key)}
        return (
            {"key": shown.key, "name": shown.name, "digits": shown.digits}
            | values
            | better
            | {"verdict": _verdict(better)}
        )

    levels = [Shown(f"{kind} {level}", level) for level in evaluation.taxonomy.levels for kind in ("f1 of", "ap of")]
    return {
        "what": _what(evaluation, chosen),
        "headline": [line(shown) for shown in HEADLINE],
        "levels": [line(shown) | {"nodes": len(evaluation.taxonomy.level(shown.name))} for shown in levels],
        "coherence": {name: {key: one(name, key) for key in COHERENCE} for name in systems},
        "nodes": _node_rows(evaluation, points, drawn, chosen),
        "reliability": {name: _reliability(evaluation, answers, chosen.interval) for name, answers in systems.items()},
        "risk": {name: risk_coverage(evaluation, answers) for name, answers in systems.items()},
        "safe": safe_shares(evaluation),
    }


def _with_interval(
    point: Floats, drawn: Floats | None, settings: ReportSettings, within: tuple[float, float] = (0, 1)
) -> dict[str, Any]:
    if drawn is None:
        return {"value": _plain(point), "low": None, "high": None}
    low, high = (_plain(np.clip(bound, *within)) for bound in interval(drawn, point, settings.interval))
    return {"value": _plain(point), "low": low, "high": high}


def _plain(value: Floats | float) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _verdict(line: Mapping[str, Any]) -> str | None:
    """Say whether the paired interval tells the two systems apart."""
    difference = line["difference"]
    if difference is None or difference["low"] is None:
        return None
    if difference["low"] <= 0 <= difference["high"]:
        return "not told apart"
    return "better" if (difference["value"] > 0) == line["higher_is_better"] else "worse"


def _what(evaluation: Evaluation, settings: ReportSettings) -> dict[str, Any]:
    """What the figures were measured on; stands beside every one of them."""
    leaves = evaluation.leaf_columns
    positives = (evaluation.targets & evaluation.known)[:, leaves].sum(axis=0)
    named = evaluation.taxonomy.leaves
    facts = evaluation.facts
    return {
        "part": facts.get("part", "test"),
        "simulated": bool(facts.get("simulated", False)),
        "split_digest": facts.get("split_digest"),
        "pack_digest": facts.get("pack_digest"),
        "taxonomy": evaluation.taxonomy.name,
        "samples": len(evaluation.ids),
        "units": len(np.unique(number_units(evaluation.groups))),  # what is resampled
        "positives": int(positives.sum()),
        "classes": int((positives > 0).sum()),
        "left_out": [leaf for leaf, number in zip(named, positives, strict=True) if not number],
        "resamples": settings.bootstrap,
        "interval": settings.interval,
        "members": dict(facts.get("members") or {}),
        "flat_members": dict(facts.get("flat_members") or facts.get("flat") or {}),
        "fell_back": bool(facts.get("flat_members"))
        and set(facts["members"]) == set(facts["flat_members"])
        and (facts.get("acceptance") or {}).get("accepted") is False,
    }


def _node_rows(
    evaluation: Evaluation, points: dict[str, Measured], drawn: dict[str, Measured], settings: ReportSettings
) -> list[dict[str, Any]]:
    taxonomy = evaluation.taxonomy
    counts = metrics.count(evaluation.ensemble.present, evaluation.targets, evaluation.known)
    bounds = {
        (system, key): _bounds(drawn[system].get(key), points[system][key], settings.interval)
        for system in points
        for key in PER_NODE
    }
    for key, whole in (("precision", counts.tp + counts.fp), ("recall", counts.tp + counts.fn)):
        bounds["ensemble", key] = _widened(bounds["ensemble", key], counts.tp, whole, settings.interval)

    def one(system: str, key: str, j: int) -> dict[str, Any] | None:
        if system not in points:
            return None
        pair = bounds[system, key]
        low, high = (None, None) if pair is None else (_plain(pair[0][j]), _plain(pair[1][j]))
        return {"value": _plain(points[system][key][j]), "low": low, "high": high}

    thresholds = evaluation.ensemble.thresholds
    return [
        {
            "node": node,
            "leaf": taxonomy.is_leaf(node),
            "depth": taxonomy.depth(node),
            "positives": int(counts.tp[j] + counts.fn[j]),
            **{key: int(getattr(counts, key)[j]) for key in ("tp", "fp", "fn", "tn")},
            "threshold": None if thresholds is None else _plain(thresholds[j]),
            **{key: one("ensemble", key, j) for key in PER_NODE},
            "flat": {key: one("flat", key, j) for key in PER_NODE} if "flat" in points else None,
        }
        for j, node in enumerate(taxonomy.nodes)
    ]


def _bounds(drawn: Floats | None, point: Floats, level: float) -> Pair | None:
    if drawn is None:
        return None
    low, high = interval(drawn, point, level)
    return np.clip(low, 0, 1), np.clip(high, 0, 1)


def _widened(pair: Pair | None, hits: Floats, trials: Floats, level: float) -> Pair | None:
    """Widen bootstrap bounds of shares to Wilson's where those are wider.

    Where all of three positives are found, every resample finds all of them too, and the bootstrap alone would be sure.
    """
    if pair is None:
        return None
    low, high = metrics.wilson(hits, trials, level)
    return np.fmin(pair[0], low), np.fmax(pair[1], high)


def _reliability(evaluation: Evaluation, answers: Answers, level: float, bins: int = 10) -> list[dict[str, Any]]:
    """Compare probability with share true, over all leaves together, in bins of equal width."""
    leaves = evaluation.leaf_columns
    sums = metrics.calibration_sums(
        answers.probs[:, leaves], evaluation.targets[:, leaves], evaluation.known[:, leaves], bins
    )
    entries, probs, truth = (values.sum(axis=0) for values in (sums.entries, sums.probs, sums.truth))
    low, high = metrics.wilson(truth, entries, level)
    return [
        {
            "entries": int(entries[k]),
            "prob": _plain(probs[k] / entries[k]),
            "share": _plain(truth[k] / entries[k]),
            "low": _plain(low[k]),
            "high": _plain(high[k]),
        }
        for k in range(bins)
        if entries[k]
    ]


def context(what: Mapping[str, Any]) -> str:
    """Say in one line what figures were measured on: cells, part, split, samples, positives, interval."""
    cells = "simulated cells" if what["simulated"] else "real images"
    unit = "images" if what["units"] == what["samples"] else f"{what['units']:,} units (antibodies, or images alike)"
    spread = f"{100 * what['interval']:g} % intervals from {what['resamples']:,} resamples of {unit}"
    return (
        f"{cells}, {what['part']} part of split {what['split_digest'] or 'unknown'}: {what['samples']:,} images, "
        f"{what['positives']:,} positives of {what['classes']} classes; "
        + (spread if what["resamples"] else "no intervals were asked for")
    )


def shown(
    figure: Mapping[str, float | None] | None, *, signed: bool = False, bounds: bool = True, digits: int = 3
) -> str:
    """Write a figure and its interval: `0.512 [0.480, 0.544]`; a dash where it is not defined."""
    if figure is None or figure["value"] is None:
        return "–"
    text = _number(figure["value"], signed, digits)
    return f"{text} {bracket(figure, signed=signed, digits=digits)}".rstrip() if bounds else text


def bracket(figure: Mapping[str, float | None] | None, *, signed: bool = False, digits: int = 3) -> str:
    """Write a figure's interval alone: `[0.480, 0.544]`; nothing where there is none."""
    if figure is None or figure["low"] is None or figure["high"] is None:
        return ""
    return f"[{_number(figure['low'], signed, digits)}, {_number(figure['high'], signed, digits)}]"


def _number(value: float, signed: bool, digits: int) -> str:
    size = f"{abs(value):.{digits}f}"
    if not float(size):  # what rounds to nothing has no sign
        return size
    return ("−" if value < 0 else "+" if signed else "") + size


def _of_level(line: Mapping[str, Any]) -> str:
    kind = "macro F1" if line["key"].startswith("f1") else "mean AP"
    return f"{kind}, {line['name']} level"


def table(figures: Mapping[str, Any]) -> str:
    """Lay the headline figures out for a terminal, with what they were measured on above them."""
    rows = [("", "hierarchical ensemble", "flat ensemble", "difference", "")]
    for line in figures["headline"] + [row | {"name": _of_level(row)} for row in figures["levels"]]:
        digits = line["digits"]
        ours, flat = (shown(line[system], digits=digits) for system in ("ensemble", "flat"))
        change = shown(line["difference"], signed=True, digits=digits)
        rows.append((line["name"], ours, flat, change, line["verdict"] or ""))
    names = {
        "edges_before": "edges inverted, before",
        "edges_after": "edges inverted, after",
        "samples_before": "images incoherent, before",
        "samples_after": "images incoherent, after",
    }
    peer = figures["coherence"].get("flat", {})
    for key, name in names.items():
        rows.append((name, shown(figures["coherence"]["ensemble"][key]), shown(peer.get(key)), "", ""))
    widths = [max(len(row[k]) for row in rows) for k in range(5)]
    body = "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
    left_out = figures["what"]["left_out"]
    note = f"\nno positives, left out of means over classes: {', '.join(left_out)}" if left_out else ""
    if figures["what"]["fell_back"]:
        note += "\nthe aggregate was not shown to beat the flat mean, so the flat mean answers: both columns are its"
    return f"{context(figures['what'])}\n{body}{note}"
