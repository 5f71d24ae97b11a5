"""Labelled samples that a run has not seen: read as its members take them, and scored by each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hpa_hier.data.labels.problems import OnProblem
from hpa_hier.data.pack.build import PackReport, build_pack
from hpa_hier.data.pack.matching import PackRequest
from hpa_hier.data.pack.pack import Pack, VectorPack
from hpa_hier.data.pack.pack_file import FILLED
from hpa_hier.data.pack.vector_pack import VectorRequest, build_vectors
from hpa_hier.data.vectors.source import VectorSource
from hpa_hier.data.vectors.table import order_features
from hpa_hier.ensemble.scores.scores import Scores
from hpa_hier.errors import UserError
from hpa_hier.predict.inputs import InputSpec
from hpa_hier.predict.predictor import Predictor
from hpa_hier.runs.run import SPLIT_FILE, Run
from hpa_hier.taxonomy import Taxonomy

_AT_ONCE = 256  # samples in memory


@dataclass(frozen=True)
class LabelledRequest:
    """Where labelled samples are, and how they are to be read."""

    labels: Path
    images: Path | None = None  # a folder; None where `vectors` is given
    vectors: VectorSource | None = None
    channels: str | None = None  # which channel is where, if names do not say
    may_be_missing: tuple[str, ...] = ()  # beside those that training images lacked
    on_problem: OnProblem = "stop"
    ignore_columns: tuple[str, ...] = ()
    threads: int = 2
    follow_links: bool = False  # enter linked folders, and take links that leave the folder
    frame: str | None = None  # of a time series, the one that is taken; None: as training images were

    @property
    def source(self) -> Path:
        """The folder of images, or the file of vectors."""
        if self.images is not None:
            return self.images
        assert self.vectors is not None
        return self.vectors.path


@dataclass(frozen=True)
class Seen:
    """Labelled samples that a run was trained or calibrated on, so that they tell too much good of it."""

    pixels: tuple[str, ...]  # ids of samples that are the same, pixel by pixel
    ids: tuple[str, ...]  # ids that one of the run's samples has too, with other pixels

    def describe(self, samples: int) -> str:
        """Say how many of the samples those are; "" where none is."""
        lines = []
        if self.pixels:
            lines.append(
                f"{len(self.pixels):,} of {samples:,} samples are among those that this run was trained or calibrated "
                f"on, as {self.pixels[0]}: the figures flatter it"
            )
        if self.ids:
            lines.append(
                f"{len(self.ids):,} of {samples:,} ids are also those of other samples that it was trained or "
                f"calibrated on, as {self.ids[0]}"
            )
        return "\n".join(lines)


def pack_labelled(predictor: Predictor, request: LabelledRequest, taxonomy: Taxonomy, out: Path) -> PackReport:
    """Pack labelled samples as the members of an ensemble take them.

    Args:
        predictor: of the ensemble.
        request: where the samples are.
        taxonomy: that the label table speaks of.
        out: folder of the pack; the same request finds the finished one there.

    Raises:
        UserError: the samples are not what the members take, or they and the labels do not match.
    """
    spec = check_kind(predictor, request)
    if request.images is None:
        assert request.vectors is not None
        fill, kept = spec.intensity == FILLED, (request.on_problem, request.ignore_columns)
        return build_vectors(
            VectorRequest(request.vectors, request.labels, out, taxonomy, fill, *kept, wanted=spec.channels)
        )
    wanted = PackRequest(
        images=request.images,
        labels=request.labels,
        out=out,
        taxonomy=taxonomy,
        size=spec.size,
        channels=spec.channels,
        may_be_missing=spec.allowed(request.may_be_missing),
        intensity=spec.intensity,
        hint=request.channels,
        stacks=replace(spec.stacks, frame=request.frame or spec.frame),
        on_problem=request.on_problem,
        ignore_columns=request.ignore_columns,
        follow_links=request.follow_links,
    )
    return build_pack(wanted, request.threads)


def check_kind(predictor: Predictor, request: LabelledRequest) -> InputSpec:
    """Return what samples must be like, where they are of the kind that the members take.

    Raises:
        UserError: they are of another kind, or the ensemble was fitted on score tables.
    """
    return predictor.check_kind("images" if request.images else "vectors", str(request.source))


def score_pack(predictor: Predictor, pack: Pack, names: Iterable[str]) -> tuple[Scores, ...]:
    """Score a pack by members of a run, under the test-time augmentation that its ensemble was fitted with.

    Returns:
        Each member's logits of all samples, nodes called as the ensemble's taxonomy calls them.
    """
    wanted = sorted(set(names))
    scorers = predictor.load_members(wanted)
    order = find_columns(pack, predictor.spec)
    logits: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
    for first in range(0, len(pack), _AT_ONCE):
        values = pack.read(np.arange(first, min(first + _AT_ONCE, len(pack))))
        values = values if order is None else np.ascontiguousarray(values[:, order])
        for name in wanted:
            logits[name].append(scorers[name].logits(values))
    renamed = {record.name: record.renamed(predictor.ensemble.taxonomy) for record in predictor.run.members}
    return tuple(
        Scores(name, pack.ids, tuple(scorers[name].nodes), np.concatenate(logits[name])).renamed(renamed[name])
        for name in wanted
    )


def find_columns(pack: Pack, spec: InputSpec | None) -> np.ndarray | None:
    """Return the columns of a pack's vectors in the order of the members; None: as they are.

    Raises:
        UserError: other features than the members were trained on.
    """
    if not isinstance(pack, VectorPack) or spec is None:
        return None
    return order_features(pack.path, pack.features, spec.channels).columns


def find_seen(run: Run, pack: Pack) -> Seen | None:
    """Find the samples of a pack that a run was trained or calibrated on; None where that cannot be told.

    Test images of the run count as not seen. Nobody has the bundled run's images, which were simulated.
    """
    if run.facts is None:
        return Seen((), ()) if run.origin.networks == "simulated" else None
    try:
        own = run.pack
    except UserError:  # it was moved away
        return None
    test = set(run.split.part_ids("test")) if (run.folder / SPLIT_FILE).is_file() else set()
    known = {sample.id: sample.pixels for sample in own.samples if sample.id not in test}
    pixels = set(known.values())
    same = [sample.id for sample in pack.samples if sample.pixels in pixels]
    alike = [sample.id for sample in pack.samples if sample.id in known and sample.pixels not in pixels]
    return Seen(tuple(same), tuple(alike))


def name_source(source: Path) -> str:
    """Return a folder's name for what is made of the samples of a folder or file.

    >>> name_source(Path("data/my images"))
    'my-images'
    """
    stem = source.stem if source.is_file() else source.resolve().name
    return "".join(c if c.isalnum() or c in "._-" else "-" for c in stem) or "samples"
