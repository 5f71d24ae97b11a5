"""Inputs: what an ensemble's members take, and samples of any form read as that, batch by batch."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

import numpy as np

from hpa_hier.ensemble.ensemble import Ensemble
from hpa_hier.errors import UserError
from hpa_hier.files.faults.shown import show
from hpa_hier.predict.magnify import WHOLE, Tiles, cut_tiles, magnified_side, stack_tiles
from hpa_hier.predict.tables import Rejected

if TYPE_CHECKING:  # reading images imports an image library, which other uses of the ensemble do without
    import pandas as pd

    from hpa_hier.data.images.exposure import Look
    from hpa_hier.data.images.read import Reading
    from hpa_hier.data.images.scan import ImageSource, Scan
    from hpa_hier.data.images.stacks import StackRules
    from hpa_hier.data.vectors.table import FeatureOrder, VectorTable
    from hpa_hier.ensemble.scores.scores import Scores

_BATCHES_AHEAD = 1  # batches read while one is being answered for


@dataclass(frozen=True)
class InputSpec:
    """What samples must be like for an ensemble's members.

    Attributes:
        kind: images or vectors.
        channels: of images, along axis C; of vectors, the names of the features.
        size: pixels, side of the images; 1 for vectors.
        intensity: rule by which images become 8 bits, depth or percentile; of vectors, "mean" where gaps are filled.
        may_be_missing: channels that an image may lack; they are zeros.
        projection: how a z stack becomes one image: max, mean or middle.
        frame: which frame of a time series is taken; None: time series are refused.
        range_used: share of their files' range that training images used, their 1 % and 99 % quantiles; None: unknown.
    """

    kind: str
    channels: tuple[str, ...]
    size: int
    intensity: str
    may_be_missing: tuple[str, ...] = ()
    range_used: tuple[float, float] | None = None
    projection: str = "max"
    frame: str | None = None

    @property
    def stacks(self) -> StackRules:
        """How z stacks and time series become one image."""
        from hpa_hier.data.images.stacks import StackRules

        return StackRules(self.projection, self.frame)

    def to_json(self) -> dict[str, Any]:
        """Return what an ensemble's file keeps of it."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}

    @classmethod
    def from_ensemble(cls, ensemble: Ensemble) -> InputSpec | None:
        """Return what the members of an ensemble take; None where it was fitted on score tables alone."""
        about: Any = ensemble.about.get("images")
        if not about:
            return None
        channels, missing = tuple(about["channels"]), tuple(about["may_be_missing"])
        low, high = about.get("range_used") or (None, None)
        return cls(
            kind=about.get("kind", "images"),
            channels=channels,
            size=int(about["size"]),
            intensity=str(about["intensity"]),
            may_be_missing=missing,
            range_used=None if low is None or high is None else (float(low), float(high)),
            projection=about.get("projection", "max"),
            frame=about.get("frame"),
        )

    def allowed(self, also: Sequence[str]) -> tuple[str, ...]:
        """Return the channels that may be missing, with further ones.

        Raises:
            UserError: one is no channel of the members, or the protein.
        """
        from hpa_hier.data.images.channels import check_may_be_missing

        check_may_be_missing(also)
        unknown = sorted(set(also) - set(self.channels))
        if unknown:
            raise UserError(
                f"--may-be-missing {unknown[0]}: the members know the channels {', '.join(self.channels)}; "
                "name some of these"
            )
        return (*self.may_be_missing, *also)


@dataclass(frozen=True)
class Batch:
    """Samples that were read together."""

    ids: tuple[str, ...]  # (B,)
    values: np.ndarray  # (B, C, S, S) uint8 images, or (B, F) float32 vectors
    filled: tuple[tuple[str, ...], ...]  # for each sample, the channels that it lacks
    rejected: tuple[Rejected, ...] = ()  # could not be read
    notes: tuple[tuple[str, ...], ...] = ()  # for each sample, what looks wrong with it, in short; (): nothing with any
    files: tuple[str, ...] = ()  # for each sample, the picture of the protein, or the file that has it; (): no files
    bits: tuple[str, ...] = ()  # as "12 of 16", of each sample that uses little of its file's range
    stacks: tuple[tuple[int, int], ...] = ()  # for each sample, (sections, frames) of its files; (): no files
    tiles: tuple[Tiles, ...] = ()  # at each magnification that is not that of `values`
    held: tuple[Scores, ...] = ()  # each member's scores of those samples that it has not learned from; (): of none


class _Described(TypedDict):
    notes: tuple[tuple[str, ...], ...]
    bits: tuple[str, ...]


@dataclass
class Samples:
    """Samples that wait to be read."""

    source: str  # where they are from, for people
    total: int  # how many, without those that are rejected already
    batches: Iterator[Batch]  # reads them, once
    rejected: list[Rejected] = field(default_factory=list)  # cannot be read; more may be found on the way
    simulated: bool = False  # simulated cells, known by the file beside them
    bits: Counter[str] = field(default_factory=Counter)  # "12 of 16" → those that use little of their file's range
    notes: tuple[str, ...] = ()  # what of the images' names was taken for what
    stacks: Counter[tuple[int, int]] = field(default_factory=Counter)  # (sections, frames) → how many were read
    spec: InputSpec | None = None  # by which images are read
    shared: bool = False  # with other processes, or an interrupted prediction, which have answers for the others
    refused: tuple[Rejected, ...] = ()  # of the rejected, those that were before any was read

    def describe_stacks(self) -> tuple[str, ...]:
        """Say what became of z stacks and time series among the images that have been read."""
        from hpa_hier.data.images.stacks import describe_stacks

        return () if self.spec is None else describe_stacks(self.stacks.elements(), self.spec.stacks)

    def forget(self) -> None:
        """Forget what reading has shown; those of the images' names that cannot be read stay rejected."""
        self.rejected = list(self.refused)
        self.bits.clear()
        self.stacks.clear()

    def refuse_unanswered(self) -> None:
        """Raise the UserError of samples none of which can be predicted."""
        raise UserError(f"{self.source}: none of {len(self.rejected)} images can be predicted; {self.first}")

    @property
    def first(self) -> str:
        """The first of the rejected, for people."""
        sample, file, reason = min(self.rejected)
        return f"first: {file} ({sample}): {reason}"

    def refuse_rejected(self) -> None:
        """Raise the UserError of samples that cannot be read, where there are any."""
        if self.rejected:
            raise UserError(
                f"{self.first}; {len(self.rejected)} such among {self.total} images so far, nothing was written; "
                "fix them, or predict the rest with --on-problem skip"
            )


def read_files(
    chunks: Iterable[Sequence[ImageSource]],
    spec: InputSpec,
    allowed: Sequence[str],
    threads: int,
    scales: Sequence[float] = WHOLE,
) -> Iterator[Batch]:
    """Read images in threads, one batch ahead of the one that is handed out.

    Args:
        chunks: the samples of each batch; the next are asked for when they are to be read.
        spec: what images must be like.
        allowed: channels that may be missing.
        threads: that read and decode at the same time.
        scales: magnifications at which images are read too.
    """
    from hpa_hier.data.images.read import read_image

    read_at: Callable[..., Reading] = partial(
        read_image,
        channels=spec.channels,
        intensity=spec.intensity,
        may_be_missing=allowed,
        stacks=spec.stacks,
    )
    sides = [magnified_side(spec.size, scale) for scale in scales if scale != 1]

    def read(source: ImageSource) -> _Magnified:
        whole = read_at(source, size=spec.size)
        return _Magnified(whole, tuple(cut_tiles(read_at(source, size=side).image, spec.size) for side in sides))

    waiting: deque[tuple[Sequence[ImageSource], list[Future[_Magnified]]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for chunk in chunks:
            waiting.append((chunk, [pool.submit(read, source) for source in chunk]))
            if len(waiting) > _BATCHES_AHEAD:
                yield _collect(*waiting.popleft(), spec)
        while waiting:
            yield _collect(*waiting.popleft(), spec)


class _Magnified(NamedTuple):
    """One sample, read."""

    whole: Reading
    tiles: tuple[np.ndarray, ...]  # at each further magnification, (n, C, S, S)


def read_array(
    images: np.ndarray,
    ids: Sequence[str],
    channels: str | None,
    spec: InputSpec,
    allowed: Sequence[str],
    rows: int,
    scales: Sequence[float] = WHOLE,
) -> Iterator[Batch]:
    """Convert an array of images as files are: each channel resized, padded to a square, and brought to 8 bits.

    Args:
        images: (B, C, H, W) uint8 or uint16.
        ids: B sample ids.
        channels: names along axis C, such as ``green,blue`` or ``blue,-,green``; None: those of the members.
        spec: what images must be like.
        allowed: channels that may be missing.
        rows: images a batch.
        scales: magnifications at which images are taken too.

    Raises:
        UserError: another shape or type, channels that do not fit, or a channel lacks that may not.
    """
    from hpa_hier.data.images.channels import PROTEIN, parse_hint
    from hpa_hier.data.images.exposure import look_at
    from hpa_hier.data.images.read import convert_plane

    order = parse_hint(channels).order if channels else spec.channels
    if images.ndim != 4 or images.dtype not in (np.uint8, np.uint16):
        raise UserError(
            f"an array of images has shape (B, C, H, W) and type uint8 or uint16, got {images.dtype} of shape "
            f"{images.shape}; add a batch axis with array[None], or convert it"
        )
    if len(order) != images.shape[1]:
        names = ", ".join(name or "-" for name in order)
        raise UserError(
            f"an array of {images.shape[1]} channels, where {len(order)} are named ({names}); name them in order, as "
            "in channels='red,green,blue,yellow'"
        )
    missing = tuple(channel for channel in spec.channels if channel not in order)
    refused = [channel for channel in missing if channel not in allowed]
    if len(missing) == len(spec.channels):
        raise UserError(f"an array without any of {', '.join(spec.channels)}; channels= names what is along axis C")
    if refused:
        cure = f"may_be_missing={refused!r} allows it, and zeros stand for it"
        cure = f"{PROTEIN} is the protein and is never zeros; name it in channels=" if PROTEIN in refused else cure
        raise UserError(f"an array without {', '.join(refused)}; {cure}")
    plane = {channel: order.index(channel) for channel in spec.channels if channel in order}

    def convert(image: np.ndarray, side: int) -> np.ndarray:
        values = np.zeros((len(spec.channels), side, side), np.uint8)
        for c, channel in enumerate(spec.channels):
            if channel in plane:
                values[c] = convert_plane(image[plane[channel]], side, spec.intensity)
        return values

    for first in range(0, len(images), rows):
        some = images[first : first + rows]
        values = np.zeros((len(some), len(spec.channels), spec.size, spec.size), np.uint8)
        looks, tiles = [], []
        for row, image in enumerate(some):
            values[row] = convert(image, spec.size)
            sides = [magnified_side(spec.size, scale) for scale in scales if scale != 1]
            tiles.append([cut_tiles(convert(image, side), spec.size) for side in sides])
            planes = {channel: image[number] for channel, number in plane.items()}
            looks.append(look_at(planes))
        yield Batch(
            tuple(ids[first : first + rows]),
            values,
            (missing,) * len(some),
            tiles=tuple(stack_tiles(tiles, spec.channels.index(PROTEIN))),
            **_describe_looks(looks, spec),
        )


def convert_frame(frame: pd.DataFrame) -> VectorTable:
    """Convert a data frame to vectors: ids as index, one column of numbers a feature.

    Raises:
        UserError: a column holds no numbers, values are infinite, or ids are bad or double.
    """
    from hpa_hier.data.vectors.table import VectorTable, check_vectors

    for name, kind in frame.dtypes.items():
        if kind.kind not in "fiub":
            raise UserError(f"a data frame: the column '{name}' is of type {kind}, not of numbers; ids are the index")
    ids, features = (tuple(map(str, labels)) for labels in (frame.index, frame.columns))
    with np.errstate(over="ignore"):  # what overflows becomes infinite, which is refused
        table = VectorTable("a data frame", ids, features, frame.to_numpy(np.float64).astype(np.float32))
    check_vectors(table)
    return table


def read_vectors(table: VectorTable, order: FeatureOrder, spec: InputSpec, rows: int) -> Iterator[Batch]:
    """Give out vectors in batches, features in the order of the members.

    Raises:
        UserError: missing values where the members know none.
    """
    from hpa_hier.data.pack.pack_file import FILLED
    from hpa_hier.data.vectors.table import refuse_missing_values

    if spec.intensity != FILLED:
        refuse_missing_values(table.source, table.values, table.ids, table.features, order)
    for first in range(0, len(table.ids), rows):
        some = order.apply(table.values[first : first + rows])
        yield Batch(table.ids[first : first + rows], some, ((),) * len(some))


def scan_images(
    images: Path | str | Sequence[Path | str],
    channels: str | None,
    only: str | None = None,
    follow_links: bool = False,
) -> Scan:
    """Find the samples of a folder, or among files.

    Args:
        images: a folder, files, a pattern, or a table of paths.
        channels: which channel is where, as the user says it; None: found from names.
        only: id of the one sample that is wanted, or the name or path of a file of it.
        follow_links: enter linked folders, and take links that leave the folder.

    Raises:
        UserError: there are no images, or not the one that is wanted.
    """
    from hpa_hier.data.images.scan import scan

    found = scan(images, channels, follow_links)
    if only is None:
        return found
    (sample_id,), unclear = found.names.find_ids([only], [], [[]])
    wanted = tuple(source for source in found.sources if source.id == sample_id)
    if unclear:
        raise UserError(f"{only}: {unclear[0].rpartition(', or ')[0]}")
    if not wanted:
        reason = next((f": {one.file}: {one.reason}" for one in found.rejects if one.id == show(sample_id)), "")
        there = ", ".join(source.id for source in found.sources[:3]) or "none"
        where = images if isinstance(images, (str, Path)) else "the files"
        raise UserError(f"{where}: no readable image '{only}'{reason}; the first ids here: {there}")
    return found._replace(sources=wanted, rejects=())


def _collect(chunk: Sequence[ImageSource], readings: Sequence[Future[_Magnified]], spec: InputSpec) -> Batch:
    from hpa_hier.data.images.channels import PROTEIN
    from hpa_hier.data.images.reader import UnreadableImage

    ids, images, filled, rejected, looks, files, stacks, tiles = [], [], [], [], [], [], [], []
    for source, reading in zip(chunk, readings, strict=True):
        try:
            one, magnified = reading.result()
        except UnreadableImage as error:
            rejected.append(Rejected(source.id, error.shown, error.reason))
            continue
        ids.append(source.id)
        images.append(one.image)
        tiles.append(magnified)
        filled.append(one.missing)
        looks.append(one.look)
        stacks.append((one.sections, one.frames))
        files.append(str(source.planes[PROTEIN if PROTEIN in source.planes else next(iter(source.planes))].file))
    stacked = np.stack(images) if images else np.empty((0, 0, 0, 0), np.uint8)
    told = _describe_looks(looks, spec)
    return Batch(
        tuple(ids),
        stacked,
        tuple(filled),
        tuple(rejected),
        files=tuple(files),
        stacks=tuple(stacks),
        tiles=tuple(stack_tiles(tiles, spec.channels.index(PROTEIN))),
        **told,
    )


def _describe_looks(looks: Sequence[Look], spec: InputSpec) -> _Described:
    """Return what a batch says of the looks of its samples."""
    return {
        "notes": tuple(look.doubts(spec.intensity, spec.range_used) for look in looks),
        "bits": tuple(f"{look.bits} of {look.depth}" for look in looks if look.dark),
    }
