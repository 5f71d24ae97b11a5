"""Vector packs: feature vectors and a label table become a pack, in the same files as images do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hpa_hier.data.images.scan import Reject
from hpa_hier.data.labels.class_folders import means_folders
from hpa_hier.data.labels.label_file import read_label_cells
from hpa_hier.data.labels.problems import OnProblem, Problem, stop_at_problems
from hpa_hier.data.labels.table import LabelTable, read_labels
from hpa_hier.data.pack.build import PackReport, open_finished, write_rejects
from hpa_hier.data.pack.matching import CURE
from hpa_hier.data.pack.pack import Pack
from hpa_hier.data.pack.pack_file import FILLED, GAPLESS, PACK, VECTORS, PackFacts, claim_folder, write_pack
from hpa_hier.data.vectors.read import read_vectors
from hpa_hier.data.vectors.source import VectorSource
from hpa_hier.data.vectors.table import VectorTable, refuse_missing_values
from hpa_hier.errors import UserError
from hpa_hier.files.annotated import SUFFIX
from hpa_hier.files.atomic import sha256, text_digest
from hpa_hier.files.lock import lock_folder
from hpa_hier.taxonomy import Taxonomy

_LOOKED_AT = 100  # ids that show whether they are those of cells


@dataclass(frozen=True)
class VectorRequest:
    """Which vectors are to be packed, and how."""

    vectors: VectorSource
    labels: Path
    out: Path
    taxonomy: Taxonomy
    fill: bool = False  # missing values count as the training part's mean; else they are refused
    on_problem: OnProblem = "stop"
    ignore_columns: tuple[str, ...] = ()  # of the label table, that are no labels
    wanted: tuple[str, ...] = ()  # features that members were trained on

    @property
    def digest(self) -> str:
        """16 hex digits of all that the pack follows from."""
        files = (*self.vectors.digests, sha256(self.labels))
        asked = (*self.ignore_columns, *self.vectors.describe_changes())
        return text_digest(VECTORS, str(self.fill), self.taxonomy.text, *files, *asked)


def build_vectors(request: VectorRequest) -> PackReport:
    """Pack feature vectors once; called again with the same request it finds the finished pack.

    Raises:
        UserError: a file cannot be used, vectors and labels do not match and the request says to stop, or the folder
            holds another pack.
    """
    if means_folders(request.labels):
        raise UserError("--labels folders: goes with --images; vectors lie in no class folders, give a label table")
    request.vectors.list_files()
    if not request.labels.is_file():
        raise UserError(f"{request.labels}: no such file")
    with lock_folder(request.out, "packing into"):
        if (request.out / PACK).exists():
            return open_finished(request.out, {request.digest})
        labels = read_labels(request.labels, request.taxonomy, "skip", request.ignore_columns)
        table = read_labelled(request, labels)
        rejects = _mismatches(request, table, labels)
        if not request.fill:
            refuse_missing_values(table.source, table.values, table.ids, table.features)
        row = {sample_id: i for i, sample_id in enumerate(table.ids)}
        kept = [j for j, sample_id in enumerate(labels.ids) if sample_id in row]
        if not kept:
            raise refuse_foreign_ids(request, table, labels)
        ids = [labels.ids[j] for j in kept]
        values = (table.values[row[sample_id]] for sample_id in ids)
        nodes, groups = [labels.nodes[j] for j in kept], [labels.groups[j] for j in kept]
        files = {"vectors": table.source, "labels": str(request.labels)}
        sources = {**files, "labels_sha256": sha256(request.labels), "request": request.digest}
        facts = _facts(table.features, request.fill, "", sources)
        claim_folder(request.out, {"digest": request.digest})
        write_rejects(request.out, rejects)
        write_pack(request.out, values, ids, nodes, groups, facts, request.taxonomy)
        return PackReport(
            Pack.open(request.out), rejects, 0, reused=False, notes=labels.notes, sample_notes=table.notes
        )


def read_labelled(request: VectorRequest, labels: LabelTable) -> VectorTable:
    """Read the vectors of a request; where they are in the file of the labels, its label columns are no features."""
    same = request.labels.resolve() == request.vectors.path.resolve() and request.labels.suffix != SUFFIX
    own = () if not same else {*read_label_cells(request.labels).header} - {*labels.extra}
    return read_vectors(request.vectors, request.wanted, own)


def refuse_foreign_ids(request: VectorRequest, table: VectorTable, labels: LabelTable) -> UserError:
    """Return the error of vectors none of which has a row in the label table."""
    return UserError(
        f"{table.source}: no id has a row in {request.labels}; the first is {table.ids[0]!r}, there "
        f"{labels.ids[0]!r}{_advise_per(table.ids, labels.ids)}"
    )


def _advise_per(ids: Sequence[str], labels: Sequence[str]) -> str:
    """Say how cells become samples, where ids are those of samples with something behind."""
    known, cells = {*labels}, [name for name in ids if "_" in name]
    if not cells or any(name.rpartition("_")[0] not in known for name in cells[:_LOOKED_AT]):
        return ""
    return "; where rows are cells of those, --per '(.+)_' makes each sample the mean of its cells"


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
        cure = CURE + (_advise_per(orphans, labels.ids) if orphans else "")
        stop_at_problems(f"{request.labels} and {table.source}", (*labels.problems, *problems), cure)
    return (
        *(Reject(name, request.labels.name, reason) for name, reason in labels.skipped.items()),
        *(Reject(name, request.vectors.path.name, f"no row in {request.labels.name}") for name in orphans),
        *(Reject(name, "", "no vector") for name in absent),
    )
