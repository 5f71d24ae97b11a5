"""Evaluation: what an ensemble and its baselines answered on the test part, kept in a run's ensemble folder."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from hpa_hier.ensemble.decide.safe import UNSURE
from hpa_hier.ensemble.ensemble import Prediction
from hpa_hier.ensemble.scores.scores import Truth
from hpa_hier.ensemble.trivial import TrivialBaseline
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_model, sha256, write_bytes, write_json
from hpa_hier.files.faults.arrays import read_npz
from hpa_hier.files.faults.together import remove_file, together
from hpa_hier.files.lock import settle
from hpa_hier.files.shell import command
from hpa_hier.metrics.arrays import Bools, Floats
from hpa_hier.runs.manifest import Manifest
from hpa_hier.taxonomy import Taxonomy

_OLD_PREFIX = re.compile("^flat_")  # of the baseline's arrays, in the files of older versions
_FILES = ("evaluation.npz", "evaluation.json", "results.json", "figures.json")
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
        return cls(**manifest.model_dump(include=set(cls.model_fields)) | {"nodes": len(manifest.nodes)})


class EvaluationFacts(BaseModel):
    """What evaluation.json holds, and what belongs beside every result."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    part: str = "test"
    compared_with: str = ""  # what the baseline is, where it is no flat ensemble
    source: str = ""  # what the samples are where they are no part of the run's split, such as "images of my_images"
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
    arrays_sha256: str | None = None  # of evaluation.npz; older files have none


@dataclass(frozen=True)
class SystemAnswers:
    """One system's answers; rows as the evaluation's ids, columns as its nodes."""

    raw: Floats  # (B, N) calibrated and aggregated, before reconciling
    probs: Floats  # (B, N) in [0, 1], reconciled
    present: Bools  # (B, N) decisions, closed
    thresholds: Floats | None  # (N,); None where the file does not hold them
    ranking: Floats | None = None  # (B, N) that compares samples better than probs of different fits do; None: probs

    def take(self, rows: Sequence[int], columns: Sequence[int]) -> SystemAnswers:
        """Return the answers for some samples, with these columns in this order."""
        cut = np.ix_(rows, columns)
        return SystemAnswers(
            raw=self.raw[cut],
            probs=self.probs[cut],
            present=self.present[cut],
            thresholds=None if self.thresholds is None else self.thresholds[list(columns)],
            ranking=None if self.ranking is None else self.ranking[cut],
        )


@dataclass(frozen=True)
class Evaluation:
    """Answers and truth on the test part; columns in the order of taxonomy.nodes."""

    taxonomy: Taxonomy
    ids: tuple[str, ...]
    groups: tuple[str, ...]  # antibody of each sample; "" where unknown
    targets: Bools  # (B, N) closed
    known: Bools  # (B, N)
    ensemble: SystemAnswers
    baseline: SystemAnswers | None  # the compute-matched flat members
    facts: EvaluationFacts
    trivial: SystemAnswers | None = None  # always the most frequent labels; None where the file holds none
    safe: tuple[str, ...] = ()  # each sample's safe answer, a node or "unsure"; empty where the file holds none

    @property
    def systems(self) -> dict[str, SystemAnswers]:
        """Answers by system: "ensemble" and, where there are, "baseline" and "trivial"."""
        every = {"ensemble": self.ensemble, "baseline": self.baseline, "trivial": self.trivial}
        return {name: answers for name, answers in every.items() if answers}

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


def take_samples(evaluation: Evaluation, ids: Sequence[str], taxonomy: Taxonomy, nodes: Sequence[str]) -> Evaluation:
    """Return the evaluation of some samples, in this order, under a tree that calls its nodes otherwise.

    Args:
        evaluation: of at least these samples.
        ids: of the samples.
        taxonomy: the tree whose nodes are the columns of what is returned.
        nodes: for each of its nodes, the node of `evaluation` that it is.
    """
    row = {sample: i for i, sample in enumerate(evaluation.ids)}
    rows = [row[sample] for sample in ids]
    columns = [evaluation.taxonomy.column[node] for node in nodes]
    cut = np.ix_(rows, columns)
    baseline, trivial = evaluation.baseline, evaluation.trivial
    return replace(
        evaluation,
        taxonomy=taxonomy,
        ids=tuple(ids),
        groups=tuple(evaluation.groups[i] for i in rows),
        targets=evaluation.targets[cut],
        known=evaluation.known[cut],
        ensemble=evaluation.ensemble.take(rows, columns),
        safe=tuple(evaluation.safe[i] for i in rows) if evaluation.safe else (),
        baseline=baseline and baseline.take(rows, columns),
        trivial=trivial and trivial.take(rows, columns),
    )


def check_scores(run: Path) -> None:
    """Check that the scores of a run's members are there, on which it can be evaluated as it is.

    Raises:
        UserError: none came with it, as with the bundled ensemble; the message says how it is tested.
    """
    members = [path.parent for path in run.glob("members/*/member.json")]
    if members and not any((member / "scores.npz").is_file() for member in members):
        line = command("ensemble", "evaluate", run=run, images="DIR", labels="CSV", report=True)
        raise UserError(f"{run}: no scores of a test part came with it; test it on labelled images: {line}")


def read_evaluation(folder: Path, taxonomy: Taxonomy, groups: Mapping[str, str]) -> Evaluation:
    """Read the evaluation in a run's ensemble folder.

    Args:
        folder: the ensemble folder.
        taxonomy: the label tree that the ensemble was fitted under.
        groups: antibody of samples, by id.

    Raises:
        UserError: there is no evaluation, or its files do not belong together.
    """
    file, fitted = folder / "evaluation.npz", folder / "ensemble.json"
    evaluate = command("ensemble", "evaluate", run=folder.parent)
    settle(folder)
    if not file.is_file():
        check_scores(folder.parent)
        raise UserError(f"{file}: no evaluation yet; run: {evaluate}")
    arrays = _read_arrays(file, evaluate)
    taxonomy = taxonomy.without_virtual  # virtual nodes are no answers
    place = {str(node): j for j, node in enumerate(arrays["nodes"])}
    absent = [node for node in taxonomy.nodes if node not in place]
    if absent:
        raise UserError(f"{file}: no column for node '{absent[0]}' of {taxonomy.source}; fit and evaluate again")
    columns = [place[node] for node in taxonomy.nodes]
    kept = file.with_suffix(".json")
    facts = _read_facts(kept, evaluate) if kept.is_file() else EvaluationFacts()
    if facts.arrays_sha256 not in (None, sha256(file)):
        raise UserError(f"{file}: does not match the checksum in {kept.name}; run: {evaluate}")
    if fitted.is_file() and facts.ensemble_sha256 not in (None, sha256(fitted)):
        raise UserError(f"{file}: belongs to another ensemble than {fitted.name}; run: {evaluate}")
    ids = tuple(map(str, arrays["ids"]))
    kept_groups = tuple(map(str, arrays["groups"])) if "groups" in arrays else None
    return Evaluation(
        taxonomy=taxonomy,
        ids=ids,
        groups=kept_groups or tuple(groups.get(name, "") for name in ids),
        targets=arrays["targets"][:, columns].astype(bool),
        known=arrays["known"][:, columns].astype(bool),
        ensemble=_answers(arrays, "", columns),
        baseline=_answers(arrays, "baseline_", columns) if "baseline_present" in arrays else None,
        facts=facts,
        trivial=_trivial_answers(arrays, len(ids), columns) if "trivial_probs" in arrays else None,
        safe=tuple(map(str, arrays.get("safe", ()))),
    )


def _read_facts(path: Path, evaluate: str) -> EvaluationFacts:
    facts = read_model(path, EvaluationFacts, f"run: {evaluate}")
    if "part" not in facts.model_fields_set:  # which the files of every version have
        raise UserError(f"{path}: is damaged (it does not name the part that was evaluated); run: {evaluate}")
    return facts


def write_evaluation(
    folder: Path,
    truth: Truth,
    ensemble: Prediction,
    baseline: Prediction | None,
    trivial: TrivialBaseline,
    facts: EvaluationFacts,
    groups: Sequence[str] | None = None,
    ranking: Floats | None = None,
) -> Path:
    """Write `evaluation.npz` and `evaluation.json` together, and remove the results of an earlier evaluation.

    Args:
        folder: the run's ensemble folder, or one for samples that are not of its split; the caller has its lock.
        truth: of at least the predicted samples.
        ensemble: its prediction of the test part.
        baseline: the flat baseline's, of the same samples; None where there is none.
        trivial: always the most frequent labels, chosen on other samples; columns as the ensemble's.
        facts: what belongs beside the results.
        groups: antibody of each predicted sample; None: the run's split has them.
        ranking: (B, N) what ranks samples where the ensemble's probs are of different fits; None: probs.

    Returns:
        The path of `evaluation.npz`. Its arrays: ids (B,), nodes (N,), targets and known (B, N), raw, probs and present
        (B, N), thresholds (N,), safe (B,) names of safe answers or unsure, safe_confidence (B,); with the prefix
        baseline_, raw to thresholds of the flat baseline where there is one; groups (B,) where given; and trivial_probs
        and trivial_present, (N,) where they are the same for every sample, else (B, N).
    """
    truth = truth.take(ensemble.ids)
    safe = [UNSURE if j < 0 else ensemble.nodes[j] for j in ensemble.safe.column]
    names = {"ids": ensemble.ids, "nodes": ensemble.nodes, "member_names": list(facts.members), "safe": safe}
    arrays: dict[str, Any] = {name: np.array(values) for name, values in names.items()}
    arrays |= {"targets": truth.present, "known": truth.known, "safe_confidence": ensemble.safe.confidence}
    for prefix, system in (("", ensemble), ("baseline_", baseline)):
        if system is not None:
            arrays |= {f"{prefix}{name}": getattr(system, name) for name in ("raw", "probs", "present", "thresholds")}
    arrays |= {"trivial_probs": trivial.probs, "trivial_present": trivial.present}
    if groups is not None:
        arrays["groups"] = np.array(groups)
    if ranking is not None:
        arrays["ranking"] = ranking
    path, content = folder / "evaluation.npz", io.BytesIO()
    np.savez_compressed(content, **arrays)
    facts = facts.model_copy(update={"arrays_sha256": hashlib.sha256(content.getvalue()).hexdigest()})
    with together(folder):
        remove_evaluation(folder)
        write_bytes(path, content.getvalue())
        write_json(folder / "evaluation.json", facts.model_dump(mode="json"))
    return path


def remove_evaluation(folder: Path) -> None:
    """Remove the evaluation of an ensemble that is no more, and the results that were computed from it."""
    for name in _FILES:
        remove_file(folder / name)


def _read_arrays(file: Path, evaluate: str) -> dict[str, npt.NDArray[Any]]:
    stored = read_npz(file, "an evaluation", f"run: {evaluate}")
    arrays = {_OLD_PREFIX.sub("baseline_", name): array for name, array in stored.items()}
    missing = [name for name in _ARRAYS if name not in arrays]
    if missing:
        raise UserError(f"{file}: array '{missing[0]}' is missing; run: {evaluate}")
    shape = (len(arrays["ids"]), len(arrays["nodes"]))
    for name in ("targets", "known", "raw", "probs", "present"):
        if arrays[name].shape != shape:
            raise UserError(f"{file}: '{name}' has shape {arrays[name].shape}, but ids × nodes are {shape}")
    for name in ("trivial_probs", "trivial_present"):
        if name in arrays and arrays[name].shape not in (shape, shape[1:]):
            raise UserError(f"{file}: '{name}' has shape {arrays[name].shape}, but there are {shape[1]} nodes")
    if not shape[0]:
        raise UserError(f"{file}: holds no samples; the test part of the split is empty")
    return arrays


def _answers(arrays: Mapping[str, npt.NDArray[Any]], prefix: str, columns: list[int]) -> SystemAnswers:
    probs, thresholds = arrays[f"{prefix}probs"], arrays.get(f"{prefix}thresholds")
    return SystemAnswers(
        raw=arrays.get(f"{prefix}raw", probs)[:, columns],
        probs=probs[:, columns],
        present=arrays[f"{prefix}present"][:, columns].astype(bool),
        thresholds=None if thresholds is None else thresholds[columns],
        ranking=arrays["ranking"][:, columns] if "ranking" in arrays and not prefix else None,
    )


def _trivial_answers(arrays: Mapping[str, npt.NDArray[Any]], samples: int, columns: list[int]) -> SystemAnswers:
    """Return the trivial baseline's answers: one for all samples, (N,), or one for each, (B, N)."""
    kept = (arrays["trivial_probs"][..., columns], arrays["trivial_present"][..., columns].astype(bool))
    probs, present = (np.broadcast_to(one, (samples, len(columns))) for one in kept)
    return SystemAnswers(raw=probs, probs=probs, present=present, thresholds=None)
