"""Vector packs: feature vectors and a label table become a pack, in the same files as images do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hpa_hier.data.images.scan import Reject
from hpa_hier.data.labels.class_folders import means_folders
from hpa_hier.data.labels.problems import OnProblem, Problem, stop_at_problems
from hpa_hier.data.labels.table import LabelTable, read_labels
from hpa_hier.data.pack.build import PackReport, open_finished, write_rejects
from hpa_hier.data.pack.matching import CURE
from hpa_hier.data.pack.pack import Pack
from hpa_hier.data.pack.pack_file import FILLED, GAPLESS, PACK, VECTORS, PackFacts, claim_folder, write_pack
from hpa_hier.data.pack.vector_table import VectorTable, read_vectors, refuse_missing_values
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import sha256, text_digest
from hpa_hier.files.lock import lock_folder
from hpa_hier.taxonomy import Taxonomy


@dataclass(frozen=True)
class VectorRequest:
    """Which vectors are to be packed, and how."""

    vectors: Path  # .csv, or .npy with `ids`
    ids: Path | None
    labels: Path
    out: Path
    taxonomy: Taxonomy
    fill: bool = False  # missing values count as the training part's mean; else they are refused
    on_problem: OnProblem = "stop"
    ignore_columns: tuple[str, ...] = ()  # of the label table, that are no labels

    @property
    def digest(self) -> str:
        """16 hex digits of all that the pack follows from."""
        files = [sha256(path) for path in (self.vectors, self.ids, self.labels) if path]
        return text_digest(VECTORS, str(self.fill), self.taxonomy.text, *files, *self.ignore_columns)


def build_vectors(request: VectorRequest) -> PackReport:
    """Pack feature vectors once; called again with the same request it finds the finished pack.

    Raises:
        UserError: a file cannot be used, vectors and labels do not match and the request says to stop, or the folder
            holds another pack.
    """
    if means_folders(request.labels):
        raise UserError("--labels folders: goes with --images; vectors lie in no class folders, give a label table")
    for path in (request.vectors, request.ids, request.labels):
        if path and not path.is_file():
            raise UserError(f"{path}: no such file")
    with lock_folder(request.out, "packing into"):
        if (request.out / PACK).exists():
            return open_finished(request.out, {request.digest})
        table = read_vectors(request.vectors, request.ids)
        labels = read_labels(request.labels, request.taxonomy, "skip", request.ignore_columns)
        rejects = _mismatches(request, table, labels)
        if not request.fill:
            refuse_missing_values(request.vectors, table.values, table.ids, table.features)
        row = {sample_id: i for i, sample_id in enumerate(table.ids)}
        kept = [j for j, sample_id in enumerate(labels.ids) if sample_id in row]
        if not kept:
            raise UserError(f"{request.vectors}: no id has a row in {request.labels}; the first is {table.ids[0]}")
        ids = [labels.ids[j] for j in kept]
        values = table.values[[row[sample_id] for sample_id in ids]]
        nodes, groups = [labels.nodes[j] for j in kept], [labels.groups[j] for j in kept]
        files = {"vectors": str(request.vectors), "labels": str(request.labels)}
        sources = {**files, "labels_sha256": sha256(request.labels), "request": request.digest}
        facts = _facts(table.features, request.fill, "", sources)
        claim_folder(request.out, {"digest": request.digest})
        write_rejects(request.out, rejects)
        write_pack(request.out, values, ids, nodes, groups, facts, request.taxonomy)
        return PackReport(Pack.open(request.out), rejects, 0, reused=False, notes=labels.notes)


def write_vector_pack(
    out: Path,
    vectors: np.ndarray,
    ids: Sequence[str],
    nodes: Sequence[Sequence[str]],
    groups: Sequence[str],
    features: Sequence[str],
    taxonomy: Taxonomy,
    note: str,
    *,
    fill: bool = False,
) -> None:
    """Write feature vectors as a pack.

    Args:
        out: folder to fill.
        vectors: (B, F) numbers, finite; NaN where `fill` allows for missing values.
        ids: B sample ids.
        nodes: annotated node names of each sample, at any depth; none at all: every node is absent.
        groups: keys that must not cross a split; "" where there is none.
        features: F names.
        taxonomy: the words that `nodes` are in.
        note: where the vectors are from, kept in `pack.json`.
        fill: missing values count as the training part's mean.

    Raises:
        UserError: `out` already holds a finished pack, or values are missing or infinite.
    """
    values = np.asarray(vectors, dtype=np.float32)
    if values.shape != (len(ids), len(features)):
        raise UserError(f"{out}: vectors of shape {values.shape} for {len(ids)} ids and {len(features)} features")
    if np.isinf(values).any():
        raise UserError(f"{out}: {int(np.isinf(values).sum()):,} values are infinite or too large for float32")
    if not fill:
        refuse_missing_values(out, values, ids, features)
    claim_folder(out, {"note": note})
    write_pack(out, values, ids, nodes, groups, _facts(features, fill, note, {}), taxonomy)


def _facts(features: Sequence[str], fill: bool, note: str, sources: dict[str, str]) -> PackFacts:
    gaps = FILLED if fill else GAPLESS
    return PackFacts(
        channels=tuple(features), size=1, intensity=gaps, simulated=False, note=note, sources=sources, kind=VECTORS
    )


def _mismatches(request: VectorRequest, table: VectorTable, labels: LabelTable) -> tuple[Reject, ...]:
    """Return what cannot be packed, or raise where the request says to stop at it."""
    rows, vectors = set(labels.ids), set(table.ids)
    orphans = [name for name in table.ids if name not in rows and name not in labels.skipped]
    absent = [name for name in labels.ids if name not in vectors]
    problems = (Problem("vector without row", tuple(orphans)), Problem("row without vector", tuple(absent)))
    if request.on_problem == "stop":
        stop_at_problems(f"{request.labels} and {request.vectors}", (*labels.problems, *problems), CURE)
    return (
        *(Reject(name, request.labels.name, reason) for name, reason in labels.skipped.items()),
        *(Reject(name, request.vectors.name, f"no row in {request.labels.name}") for name in orphans),
        *(Reject(name, "", "no vector") for name in absent),
    )
