"""Fill: images are decoded in threads into one reused buffer and written shard by shard."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from joblib import Parallel, delayed
from pydantic import TypeAdapter, ValidationError
from tqdm import tqdm

from hpa_hier.data.images.exposure import Look
from hpa_hier.data.images.kernels.switch import SWITCH
from hpa_hier.data.images.read import Reading, read_image
from hpa_hier.data.images.reader import UnreadableImage
from hpa_hier.data.images.scan import ImageSource, Reject, count_files
from hpa_hier.data.pack.inspect import make_copy_reject
from hpa_hier.data.pack.matching import PackRequest, Plan, Planned
from hpa_hier.data.pack.samples import Sample, pixel_hash
from hpa_hier.data.pack.shard import SHARD_STEM, Shard, is_inside, rows_per_shard, shard_name, write_shard
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_json, sha256, write_json

if TYPE_CHECKING:
    from hpa_hier.places.place import Place

STATE = f"{SHARD_STEM}.json"  # one beside each finished shard, until the pack is finished


@dataclass(frozen=True)
class Filled:
    """What became of the samples of a shard."""

    samples: tuple[Sample, ...]
    looks: tuple[Look, ...]  # of the samples
    rejects: tuple[Reject, ...]  # cannot be read
    copies: tuple[Reject, ...]  # have channels that are one picture
    stacks: tuple[tuple[int, int], ...] = ()  # (sections, frames) of the samples' files
    micrometres: tuple[float | None, ...] = ()  # side of a pixel of each sample's image


@dataclass(frozen=True)
class Part:
    """A finished shard with what became of its samples."""

    shard: Shard
    filled: Filled
    reused: bool = False  # finished by an earlier run


_PARTS = TypeAdapter(Part)  # as the file beside each shard holds it


def fill_shards(request: PackRequest, plan: Plan, threads: int, place: Place | None = None) -> list[Part]:
    """Read every planned sample in threads and write the shards; those that an earlier run finished are kept.

    Args:
        request: what is packed.
        plan: its samples.
        threads: how many read at the same time, in this process or in each worker.
        place: fills a shard in each of its workers; None: one after the other in this process.
    """
    count = len(plan.samples)
    step = rows_per_shard(count, len(request.channels), request.size)
    if place is not None:
        shards = [(number, plan.samples[start : start + step]) for number, start in enumerate(range(0, count, step))]
        with tqdm(total=count, desc="pack", unit="image", disable=None) as bar:
            parts = []
            for part in place.map(partial(_fill_there, request, threads), shards, lambda one: shard_name(one[0])):
                parts.append(part)
                bar.update(len(shards[len(parts) - 1][1]))
            return parts
    buffer = make_buffer(request, min(step, count))
    with tqdm(total=count, desc="pack", unit="image", disable=None) as bar, _start_threads(threads) as pool:
        return [
            fill_shard(request, plan.samples[start : start + step], number, pool, bar.update, buffer)
            for number, start in enumerate(range(0, count, step))
        ]


def _fill_there(request: PackRequest, threads: int, shard: tuple[int, Sequence[Planned]]) -> Part:
    number, planned = shard
    return fill_shard(request, planned, number, threads)


def make_buffer(request: PackRequest, rows: int) -> np.ndarray:
    """Return room for the images of a shard: (rows, C, S, S) uint8."""
    return np.empty((rows, len(request.channels), request.size, request.size), dtype=np.uint8)


def fill_shard(
    request: PackRequest,
    planned: Sequence[Planned],
    number: int,
    threads: Parallel | int,
    tell: Callable[[int], object] = lambda images: None,
    buffer: np.ndarray | None = None,
) -> Part:
    """Read the samples of one shard and write it; one that an earlier run of this request finished is kept.

    Args:
        request: what is packed.
        planned: the shard's samples.
        number: of the shard, from 0.
        threads: how many read at the same time, or those that do already.
        tell: is called with the number of images that are done since the last call.
        buffer: from `make_buffer`, used again for shard after shard; None: one of its own.
    """
    finished = _finished_part(request.out, planned, number)
    if finished is not None:
        tell(len(planned))
        return finished
    if isinstance(threads, int):
        with _start_threads(threads) as pool:
            return fill_shard(request, planned, number, pool, tell, buffer)
    if buffer is None:
        buffer = make_buffer(request, len(planned))
    SWITCH.allow(count_files([sample.source for sample in planned]))
    cv2.setNumThreads(1)  # a thread for each image is faster than several threads for one
    places = zip(planned, buffer, strict=False)
    outcomes = threads(delayed(_read)(request, sample.source, place) for sample, place in places)
    filled = _collect(planned, outcomes, buffer, tell)
    part = Part(write_shard(request.out, number, buffer[: len(filled.samples)]), filled)
    write_json(_state(request.out, number), _PARTS.dump_python(part, mode="json", exclude={"reused"}))
    return part


def _start_threads(threads: int) -> Parallel:
    return Parallel(threads, prefer="threads", return_as="generator")  # in order, and ended by Ctrl-C


def _read(request: PackRequest, source: ImageSource, place: np.ndarray) -> Reading | Reject:
    """Read one sample into its place in the buffer; what is returned holds no image of its own."""
    try:
        reading = read_image(
            source, request.size, request.channels, request.intensity, request.may_be_missing, request.stacks
        )
    except UnreadableImage as error:
        return Reject(source.id, error.shown, error.reason)
    place[...] = reading.image
    return reading._replace(image=place)


def _collect(
    planned: Sequence[Planned],
    outcomes: Iterable[Reading | Reject],
    buffer: np.ndarray,
    tell: Callable[[int], object],
) -> Filled:
    """Take the outcomes in order, closing the gaps that rejected images leave in the buffer."""
    samples: list[Sample] = []
    looks: list[Look] = []
    rejects: list[Reject] = []
    copies: list[Reject] = []
    stacks: list[tuple[int, int]] = []
    micrometres: list[float | None] = []
    for place, (one, outcome) in enumerate(zip(planned, outcomes, strict=True)):
        tell(1)
        if isinstance(outcome, Reject):
            rejects.append(outcome)
        elif outcome.look.equal:
            copies.append(make_copy_reject(one.source.id, outcome))
        else:
            kept = len(samples)
            if kept != place:  # every place up to this one has been read, so none is overwritten too early
                buffer[kept] = buffer[place]
            samples.append(Sample(one.source.id, one.nodes, one.group, pixel_hash(buffer[kept]), outcome.missing))
            looks.append(outcome.look)
            stacks.append((outcome.sections, outcome.frames))
            micrometres.append(outcome.micrometres)
    return Filled(tuple(samples), tuple(looks), tuple(rejects), tuple(copies), tuple(stacks), tuple(micrometres))


def _finished_part(folder: Path, planned: Sequence[Planned], number: int) -> Part | None:
    """Return a shard that an earlier run of this request finished; None: it is to be filled.

    The request was checked at the door.
    """
    state = _state(folder, number)
    if not state.is_file():
        return None
    try:
        part = replace(_PARTS.validate_python(read_json(state)), reused=True)
    except (UserError, ValidationError):  # damaged
        return None
    path = folder / shard_name(number)  # whatever the state calls it
    whole = part.shard.file == path.name and is_inside(path) and sha256(path) == part.shard.sha256
    return part if whole and _fits(part, planned) else None


def _fits(part: Part, planned: Sequence[Planned]) -> bool:
    """Tell whether a part is of these samples, each once, with as much said of each that is packed."""
    filled = part.filled
    packed = [one.id for one in filled.samples]
    told = {part.shard.rows, len(filled.looks), len(filled.stacks), len(filled.micrometres)}
    every = [*packed, *(one.id for one in (*filled.rejects, *filled.copies))]
    return told == {len(packed)} and sorted(every) == sorted(one.source.id for one in planned)


def _state(folder: Path, number: int) -> Path:
    return folder / shard_name(number).replace(".npy", ".json")
