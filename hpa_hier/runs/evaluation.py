"""Evaluation: what an ensemble and its flat baseline answered on the test part, kept in a run's ensemble folder."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from hpa_hier.data.split.split import read_split
from hpa_hier.ensemble.decide.safe import UNSURE
from hpa_hier.ensemble.ensemble import Prediction
from hpa_hier.ensemble.scores.scores import Truth
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_json, sha256, write_json, write_with
from hpa_hier.files.shell import command
from hpa_hier.runs.manifest import Manifest
from hpa_hier.taxonomy import Taxonomy

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.floating]

_OLD_PREFIX = re.compile("^flat_")  # of the baseline's arrays, in the files of older versions
_ARRAYS = ("ids", "nodes", "targets", "known", "raw", "probs", "present", "thresholds")


class MemberCost(BaseModel):
    """What a member is and what its training took; None where that was not kept."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    nodes: int | None = None
    parameters: int | None = None
    images_seen: int | None = None
    steps: int | None = None
    seconds: float | None = None
    seed: int | None = None

    @classmethod
    def from_manifest(cls, manifest: Manifest) -> MemberCost:
        """Read it from what is kept with the member."""
        kept = manifest.model_dump(include=set(cls.model_fields) - {"nodes"})
        return cls(nodes=len(manifest.nodes), **kept)


class EvaluationFacts(BaseModel):
    """What evaluation.json holds, and what belongs beside every result."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    part: str = "test"
    split_digest: str | None = None
    pack_digest: str | None = None
    simulated: bool = False
    members: dict[str, MemberCost] = {}
    baseline_members: dict[str, MemberCost] = Field(
        default={}, validation_alias=AliasChoices("baseline_members", "flat_members", "flat")
    )  # older files have the latter names
    settings: dict[str, Any] = {}  # of the ensemble
    acceptance: dict[str, Any] | None = None  # the verdict
    ensemble_sha256: str | None = None  # of ensemble.json; older files have none


@dataclass(frozen=True)
class SystemAnswers:
    """One system's answers; rows as the evaluation's ids, columns as its nodes."""

    raw: Floats  # (B, N) calibrated and aggregated, before reconciling
    probs: Floats  # (B, N) in [0, 1], reconciled
    present: Bools  # (B, N) decisions, closed
    thresholds: Floats | None  # (N,); None where the file does not hold them


@dataclass(frozen=True)
class Evaluation:
    """Answers and truth on the test part; columns in the order of taxonomy.nodes."""

    taxonomy: Taxonomy
    ids: tuple[str, ...]
    groups: tuple[str, ...]  # antibody of each sample; "" where unknown
    targets: Bools  # (B, N) closed
    known: Bools  # (B, N)
    ensemble: SystemAnswers
    baseline: SystemAnswers | None  # the compute-matched mean of flat members
    facts: EvaluationFacts
    safe: tuple[str, ...] = ()  # each sample's safe answer, a node or "unsure"; empty where the file holds none

    @property
    def leaf_columns(self) -> npt.NDArray[np.intp]:
        """Columns of the leaves, in taxonomy order."""
        return np.array([self.taxonomy.column[leaf] for leaf in self.taxonomy.leaves], dtype=np.intp)

    @property
    def edges(self) -> npt.NDArray[np.intp]:
        """(E, 2) child and parent columns."""
        column = self.taxonomy.column
        pairs = [(column[n], column[p]) for n in self.taxonomy.nodes for p in self.taxonomy.parents(n)]
        return np.array(pairs, dtype=np.intp).reshape(-1, 2)


def read_evaluation(run: Path) -> Evaluation:
    """Read the evaluation that a run's folder holds.

    Raises:
        UserError: there is no evaluation, or its files do not belong together.
    """
    file = run / "ensemble" / "evaluation.npz"
    again = command("ensemble", "evaluate", run=run)
    if not file.is_file():
        raise UserError(f"{file}: no evaluation yet; run: {again}")
    arrays = _read_arrays(file)
    kept = next((p for p in (file.parent / "taxonomy.yaml", run / "taxonomy.yaml") if p.is_file()), None)
    if kept is None:
        raise UserError(f"{run / 'taxonomy.yaml'}: no such file; the evaluation's columns need the run's taxonomy")
    taxonomy = Taxonomy.load(kept).without_virtual  # without virtual nodes, which are no answers
    columns = _columns(file, arrays["nodes"], taxonomy)
    ids = tuple(str(name) for name in arrays["ids"])
    facts = _read_facts(file.with_suffix(".json"))
    fitted = file.parent / "ensemble.json"
    if fitted.is_file() and facts.ensemble_sha256 not in (None, sha256(fitted)):
        raise UserError(
            f"{file}: belongs to another ensemble than {fitted.name}; run: {command('ensemble', 'evaluate', run=run)}"
        )
    return Evaluation(
        taxonomy=taxonomy,
        ids=ids,
        groups=_groups(run / "split.csv", ids),
        targets=arrays["targets"][:, columns].astype(bool),
        known=arrays["known"][:, columns].astype(bool),
        ensemble=_answers(arrays, "", columns),
        baseline=_answers(arrays, "baseline_", columns) if "baseline_present" in arrays else None,
        facts=facts,
        safe=tuple(str(name) for name in arrays.get("safe", ())),
    )


def write_evaluation(
    folder: Path, truth: Truth, ensemble: Prediction, baseline: Prediction | None, facts: EvaluationFacts
) -> Path:
    """Write `evaluation.npz` and `evaluation.json`.

    Args:
        folder: the run's ensemble folder.
        truth: of at least the predicted samples.
        ensemble: the hierarchical ensemble's prediction of the test part.
        baseline: the compute-matched flat mean's, of the same samples; None where the recipe names none.
        facts: what the results need to be read right.

    Returns:
        The path of `evaluation.npz`. Its arrays: ids (B,), nodes (N,), targets and known (B, N), raw, probs and present
        (B, N), thresholds (N,), safe (B,) names of safe answers or unsure, safe_confidence (B,); and, with the prefix
        baseline_, raw to thresholds of the flat baseline where there is one.
    """
    truth = truth.take(ensemble.ids)
    arrays: dict[str, Any] = {
        "ids": np.array(ensemble.ids),
        "nodes": np.array(ensemble.nodes),
        "targets": truth.present,
        "known": truth.known,
        "member_names": np.array(list(facts.members)),
        "safe": np.array([UNSURE if j < 0 else ensemble.nodes[j] for j in ensemble.safe.column]),
        "safe_confidence": ensemble.safe.confidence,
    }
    for prefix, system in (("", ensemble), ("baseline_", baseline)):
        if system is not None:
            arrays |= {f"{prefix}{name}": getattr(system, name) for name in ("raw", "probs", "present", "thresholds")}
    write_json(folder / "evaluation.json", facts.model_dump(mode="json"))
    path = folder / "evaluation.npz"
    write_with(path, lambda handle: np.savez_compressed(handle, **arrays))
    return path


def _read_facts(path: Path) -> EvaluationFacts:
    try:
        return EvaluationFacts.model_validate(read_json(path) if path.is_file() else {})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "content"
        raise UserError(f"{path}: is damaged ({where}: {first['msg']}); run `ensemble evaluate` again") from None


def _read_arrays(file: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        with np.load(file, allow_pickle=False) as stored:
            arrays = {_OLD_PREFIX.sub("baseline_", name): array for name, array in stored.items()}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{file}: not an evaluation ({error}); run `ensemble evaluate` again") from None
    missing = [name for name in _ARRAYS if name not in arrays]
    if missing:
        raise UserError(f"{file}: array '{missing[0]}' is missing; run `ensemble evaluate` again")
    shape = (len(arrays["ids"]), len(arrays["nodes"]))
    for name in ("targets", "known", "raw", "probs", "present"):
        if arrays[name].shape != shape:
            raise UserError(f"{file}: '{name}' has shape {arrays[name].shape}, but ids × nodes are {shape}")
    if not shape[0]:
        raise UserError(f"{file}: holds no samples; the test part of the split is empty")
    return arrays


def _columns(file: Path, stored: npt.NDArray[Any], taxonomy: Taxonomy) -> list[int]:
    """Return the file's column of each node of the taxonomy."""
    place = {str(node): j for j, node in enumerate(stored)}
    absent = [node for node in taxonomy.nodes if node not in place]
    if absent:
        raise UserError(f"{file}: no column for node '{absent[0]}' of {taxonomy.source}; fit and evaluate again")
    return [place[node] for node in taxonomy.nodes]


def _answers(arrays: Mapping[str, npt.NDArray[Any]], prefix: str, columns: list[int]) -> SystemAnswers:
    probs, thresholds = arrays[f"{prefix}probs"], arrays.get(f"{prefix}thresholds")
    return SystemAnswers(
        raw=arrays.get(f"{prefix}raw", probs)[:, columns],
        probs=probs[:, columns],
        present=arrays[f"{prefix}present"][:, columns].astype(bool),
        thresholds=None if thresholds is None else thresholds[columns],
    )


def _groups(split: Path, ids: tuple[str, ...]) -> tuple[str, ...]:
    """Look the samples' antibodies up in split.csv; "" for all where the run keeps none."""
    if not split.is_file():
        return ("",) * len(ids)
    kept = read_split(split)
    group = dict(zip(kept.ids, kept.groups, strict=True))
    return tuple(group.get(name, "") for name in ids)
