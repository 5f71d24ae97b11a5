"""Results: every metric of an evaluation with its interval, as named values, and the JSON file that holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from hpa_hier.errors import UserError
from hpa_hier.files.atomic import describe_invalid, read_json, sha256, write_json
from hpa_hier.files.lock import PATIENCE, lock_folder
from hpa_hier.files.shell import command
from hpa_hier.runs.evaluation import EvaluationFacts

FILE = "results.json"

Verdict = Literal["better", "worse", "no clear difference", "too few to tell", "same answers"]


@dataclass(frozen=True)
class Estimate:
    """A metric and its interval; None where the data do not define it. A 0 by construction has no interval."""

    value: float | None
    low: float | None = None
    high: float | None = None

    def times(self, factor: float) -> Estimate:
        """Return it in another unit, such as of 100.

        >>> Estimate(0.5, 0.25, None).times(100)
        Estimate(value=50.0, low=25.0, high=None)
        """
        return Estimate(*(None if one is None else factor * one for one in (self.value, self.low, self.high)))


@dataclass(frozen=True)
class Compared:
    """One metric of another system, and the ensemble's paired difference to it."""

    estimate: Estimate
    difference: Estimate  # the ensemble minus the other
    verdict: Verdict | None  # of the difference; None where that is not defined


@dataclass(frozen=True)
class Row:
    """One metric of the ensemble and of what it is compared with."""

    key: str
    name: str
    higher_is_better: bool
    digits: int  # shown after the decimal point
    ensemble: Estimate
    others: Mapping[str, Compared]  # by system, of those that there are: "baseline", "trivial"


@dataclass(frozen=True)
class LevelRows:
    """How far one level of the tree is right."""

    name: str
    nodes: tuple[str, ...]
    f1: Row  # mean over the nodes that have positives
    ap: Row  # the same
    top: Row  # share of samples whose most likely node is annotated


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
class NodeRow(NodeEstimates):
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

    @property
    def estimate(self) -> Estimate:
        """The share of the answers that is right."""
        return Estimate(self.right, self.low, self.high)


@dataclass(frozen=True)
class Scope:
    """What the metrics were measured on."""

    part: str
    simulated: bool
    split_digest: str | None
    pack_digest: str | None
    taxonomy: str
    samples: int
    units: int  # what was drawn together: antibodies, or single samples where these are unknown
    positives: int
    classes: int  # with positives
    left_out: tuple[str, ...]  # leaves without positives
    interval: float
    members: Mapping[str, Mapping[str, Any]]  # name → its cost
    baseline_members: Mapping[str, Mapping[str, Any]]
    uses_baseline: bool  # the aggregate was not accepted, so that the flat baseline answers
    acceptance: str  # how that was decided, in a sentence; "" where it was not kept
    always: tuple[str, ...]  # the leaves that the trivial baseline answers for every sample, or for most
    compared_with: str = ""  # what the baseline is, where it is no flat ensemble
    source: str = ""  # what the samples are where they are no part of the run's split


@dataclass(frozen=True)
class AloneRow:
    """One member alone: its metrics on its own nodes, and the ensemble's on the same ones.

    The keys are "macro_f1", "mean_ap" and "log_loss".
    """

    name: str
    nodes: int  # that it is measured on: the leaves it answers for, else its groups
    given: str  # the group whose images alone it is measured on; "" for all images
    ensemble: Mapping[str, Estimate]  # metric → the ensemble's
    metrics: Mapping[str, Compared]  # metric → the member's, and the ensemble's difference to it


@dataclass(frozen=True)
class Results:
    """All metrics of an evaluation; mappings have a key for each system: "ensemble", "baseline", "trivial"."""

    scope: Scope
    headline: tuple[Row, ...]
    levels: tuple[LevelRows, ...]
    coherence: Mapping[str, Coherence]
    nodes: tuple[NodeRow, ...]
    reliability: Mapping[str, tuple[ReliabilityBin, ...]]
    risk: Mapping[str, tuple[RiskPoint, ...]]
    safe: tuple[SafeShare, ...]
    alone: tuple[AloneRow, ...] = ()  # each member by itself; none in files of older versions
    alone_missing: str = ""  # why there are none

    def row(self, key: str) -> Row:
        """Return the headline row of a metric, such as "macro_f1"."""
        return next(row for row in self.headline if row.key == key)


_ADAPTER = TypeAdapter(Results)


def write_results(folder: Path, results: Results, of: EvaluationFacts | None = None) -> Path:
    """Write results.json into an ensemble's folder and return its path.

    Args:
        folder: of the ensemble, or of the evaluation.
        results: of the evaluation that is there.
        of: what it says of itself, by which another one is noticed that has taken its place; None: none has.

    Raises:
        UserError: the evaluation is gone, or another one is there.
    """
    with lock_folder(folder, "writing results into", wait=PATIENCE, flag=""):
        arrays = folder / "evaluation.npz"
        if of and not (arrays.is_file() and of.arrays_sha256 in (None, sha256(arrays))):
            what = "was replaced" if arrays.is_file() else "was removed"
            raise UserError(f"{arrays}: {what} by another command meanwhile; give this one again")
        write_json(folder / FILE, _ADAPTER.dump_python(results, mode="json"))
    return folder / FILE


def read_results(folder: Path) -> Results:
    """Read the results of an ensemble's folder.

    Raises:
        UserError: there are none, they are those of an older version, or the file is damaged.
    """
    path, evaluate = folder / FILE, f"run: {command('ensemble', 'evaluate', run=folder.parent)}"
    if not path.is_file():
        old = " (figures.json is of an older version and is not read)" if (folder / "figures.json").is_file() else ""
        raise UserError(f"{path}: no such file{old}; {evaluate}")
    try:
        return _ADAPTER.validate_python(read_json(path))
    except ValidationError as error:
        raise UserError(f"{path}: is damaged ({describe_invalid(error)}); {evaluate}") from None
