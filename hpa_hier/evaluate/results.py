"""Results: every metric of an evaluation with its interval, as named values, and the JSON file that holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_json, write_json

FILE = "results.json"
OLD_FILE = "figures.json"  # the name and the layout of older runs

Verdict = Literal["better", "worse", "no clear difference"]


@dataclass(frozen=True)
class Estimate:
    """A metric and its interval; None where the data do not define it, or where no interval was asked for."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Row:
    """One metric of the ensemble, of the flat baseline and of their paired difference."""

    key: str
    name: str
    ensemble: Estimate
    baseline: Estimate | None
    difference: Estimate | None
    verdict: Verdict | None
    higher_is_better: bool = True
    digits: int = 3  # shown after the decimal point


@dataclass(frozen=True)
class LevelRows:
    """The means over one level's nodes that have positives."""

    name: str
    nodes: int
    f1: Row
    ap: Row


@dataclass(frozen=True)
class Coherence:
    """Shares of edges whose child is above its parent, and of samples with an incoherent decision."""

    edges_before: Estimate  # before reconciling
    edges_after: Estimate
    samples_before: Estimate  # before closing
    samples_after: Estimate


@dataclass(frozen=True)
class NodeEstimates:
    """One system's metrics of one node."""

    precision: Estimate
    recall: Estimate
    f1: Estimate
    ap: Estimate


@dataclass(frozen=True)
class NodeRow:
    """One node: its counts of decisions, its threshold, and its metrics."""

    node: str
    leaf: bool
    depth: int  # 1 at the top
    positives: int
    tp: int
    fp: int
    fn: int
    tn: int
    threshold: float | None
    precision: Estimate
    recall: Estimate
    f1: Estimate
    ap: Estimate
    baseline: NodeEstimates | None


@dataclass(frozen=True)
class ReliabilityBin:
    """Entries (sample × leaf) of similar probability: their mean probability, and the share of them that is true."""

    entries: int
    prob: float
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class RiskPoint:
    """The share of samples answered, most confident first, and the share of these answers that is wrong."""

    coverage: float
    risk: float


@dataclass(frozen=True)
class SafeShare:
    """Safe answers of one kind: how many samples get one, and the share of these answers that is right."""

    name: str
    samples: int
    share: float  # of all samples
    right: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Scope:
    """What the metrics were measured on."""

    part: str
    simulated: bool
    split_digest: str | None
    pack_digest: str | None
    taxonomy: str
    samples: int
    units: int  # what is resampled: antibodies, or single samples where these are unknown
    positives: int
    classes: int  # with positives
    left_out: tuple[str, ...]  # leaves without positives
    resamples: int
    interval: float
    members: Mapping[str, Mapping[str, Any]]  # name → its cost
    baseline_members: Mapping[str, Mapping[str, Any]]
    uses_baseline: bool  # the aggregate was not accepted, so that the flat baseline answers


@dataclass(frozen=True)
class Results:
    """All metrics of an evaluation; mappings have the keys "ensemble" and, where there is one, "baseline"."""

    scope: Scope
    headline: tuple[Row, ...]
    levels: tuple[LevelRows, ...]
    coherence: Mapping[str, Coherence]
    nodes: tuple[NodeRow, ...]
    reliability: Mapping[str, tuple[ReliabilityBin, ...]]
    risk: Mapping[str, tuple[RiskPoint, ...]]
    safe: tuple[SafeShare, ...]

    def row(self, key: str) -> Row:
        """Return the headline row of a metric, such as "macro_f1"."""
        return next(row for row in self.headline if row.key == key)


_ADAPTER = TypeAdapter(Results)


def write_results(folder: Path, results: Results) -> Path:
    """Write results.json into an ensemble's folder and return its path."""
    path = folder / FILE
    write_json(path, _ADAPTER.dump_python(results, mode="json"))
    return path


def read_results(folder: Path) -> Results:
    """Read the results of an ensemble's folder; the figures.json of older runs is converted.

    Raises:
        UserError: there are none, or the file is damaged.
    """
    path = next((folder / name for name in (FILE, OLD_FILE) if (folder / name).is_file()), None)
    if path is None:
        raise UserError(f"{folder / FILE}: no such file; run: python -m hpa_hier.ensemble evaluate")
    stored = read_json(path)
    try:
        return _ADAPTER.validate_python(_convert_old(stored) if path.name == OLD_FILE else stored)
    except (ValidationError, KeyError, TypeError, AttributeError) as error:
        reason = str(error).replace("\n", " ")[:200]
        raise UserError(f"{path}: not a results file ({reason}); run `ensemble evaluate` again") from None


_OLD_NAMES = {
    "what": "scope",
    "flat": "baseline",
    "fell_back": "uses_baseline",
}
_OLD_VERDICT = "not told apart"


def _convert_old(stored: dict[str, Any]) -> dict[str, Any]:
    """Convert the layout of figures.json."""
    renamed = _rename(stored)
    members = {"members": stored["what"]["members"], "baseline_members": stored["what"]["flat_members"]}
    levels: dict[str, dict[str, Any]] = {}
    for row in renamed["levels"]:  # two rows a level, "f1 of coarse" and "ap of coarse"
        level = levels.setdefault(row["name"], {"name": row["name"], "nodes": row["nodes"]})
        level[row["key"].split()[0]] = row
    scope = {"uses_baseline": False} | renamed["scope"] | members  # members' own names stay
    return {"risk": {}, "safe": []} | renamed | {"scope": scope, "levels": list(levels.values())}


def _rename(stored: dict[str, Any]) -> dict[str, Any]:
    """Give the fields of dictionaries, those in lists included, their new names."""
    renamed: dict[str, Any] = {}
    for key, value in stored.items():
        new: Any = value
        if isinstance(value, dict):
            new = _rename(value)
        elif isinstance(value, list):
            new = [_rename(below) if isinstance(below, dict) else below for below in value]
        elif value == _OLD_VERDICT:
            new = "no clear difference"
        renamed[_OLD_NAMES.get(key, key)] = new
    return renamed
