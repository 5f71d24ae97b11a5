"""Fill: images are decoded in threads into one reused buffer and written shard by shard."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import cv2
import numpy as np
from joblib import Parallel, delayed
from pydantic import TypeAdapter, ValidationError
from tqdm import tqdm

from hpa_hier.data.images.read import read_image
from hpa_hier.data.images.reader import UnreadableImage
from hpa_hier.data.images.scan import Reject
from hpa_hier.data.pack.matching import PackRequest, Plan
from hpa_hier.data.pack.samples import Sample, pixel_hash
from hpa_hier.data.pack.shard import SHARD_STEM, Shard, rows_per_shard, shard_name, write_shard
from hpa_hier.files.atomic import read_json, sha256, write_json

STATE = f"{SHARD_STEM}.json"  # one beside each finished shard, until the pack is finished
_Outcome = tuple[str, ...] | Reject  # the channels that were missing, or why the image cannot be used


@dataclass(frozen=True)
class Part:
    """A finished shard with its samples and rejects."""

    shard: Shard
    samples: tuple[Sample, ...]
    rejects: tuple[Reject, ...]
    reused: bool = False  # finished by an earlier run


_PARTS = TypeAdapter(Part)  # as the file beside each shard holds it


def fill_shards(request: PackRequest, plan: Plan, threads: int) -> list[Part]:
    """Read every planned sample and write the shards; those that an earlier run finished are kept.

    Args:
        request: what and how.
        plan: the samples, in order.
        threads: images decoded at the same time.
    """
    count, C, S = len(plan.samples), len(request.channels), request.size
    step = rows_per_shard(count, C, S)
    buffer = np.empty((min(step, count), C, S, S), dtype=np.uint8)
    cv2.setNumThreads(1)  # a thread for each image is faster than several threads for one
    parts: list[Part] = []
    with (
        tqdm(total=count, desc="pack", unit="image", disable=None) as bar,
        Parallel(threads, prefer="threads", return_as="generator") as pool,  # in order, and ended by Ctrl-C
    ):
        for number, start in enumerate(range(0, count, step)):
            rows = range(start, min(start + step, count))
            part = _finished_part(request.out, number)
            if part is None:
                read = _reader(request, plan, buffer, start)
                outcomes = _count(pool(delayed(read)(row) for row in rows), bar)
                part = _write(request.out, number, buffer, _collect(plan, rows, outcomes, buffer))
            else:
                bar.update(len(rows))
            parts.append(part)
    return parts


def _reader(request: PackRequest, plan: Plan, buffer: np.ndarray, start: int) -> Callable[[int], _Outcome]:
    """Return a function that reads one planned row into its place in the buffer."""

    def read(row: int) -> _Outcome:
        source = plan.samples[row].source
        try:
            reading = read_image(source, request.size, request.channels, request.intensity, request.may_be_missing)
        except UnreadableImage as error:
            return Reject(source.id, error.file.name, error.reason)
        buffer[row - start] = reading.image
        return reading.missing

    return read


@dataclass(frozen=True)
class _Collected:
    """What became of the rows of one shard."""

    samples: tuple[Sample, ...]
    rejects: tuple[Reject, ...]


def _collect(plan: Plan, rows: range, outcomes: Iterable[_Outcome], buffer: np.ndarray) -> _Collected:
    """Take the outcomes in order, closing the gaps that rejected images leave in the buffer."""
    samples: list[Sample] = []
    rejects: list[Reject] = []
    for place, (row, outcome) in enumerate(zip(rows, outcomes, strict=True)):
        if isinstance(outcome, Reject):
            rejects.append(outcome)
            continue
        kept = len(samples)
        if kept != place:  # every place up to this one has been read, so none is overwritten too early
            buffer[kept] = buffer[place]
        planned = plan.samples[row]
        samples.append(Sample(planned.source.id, planned.nodes, planned.group, pixel_hash(buffer[kept]), outcome))
    return _Collected(tuple(samples), tuple(rejects))


def _write(folder: Path, number: int, images: np.ndarray, found: _Collected) -> Part:
    """Write a shard, and after it the note that it is finished."""
    part = Part(write_shard(folder, number, images[: len(found.samples)]), found.samples, found.rejects)
    write_json(_state(folder, number), _PARTS.dump_python(part, mode="json", exclude={"reused"}))
    return part


def _finished_part(folder: Path, number: int) -> Part | None:
    """Return a shard that an earlier run of this request finished; the request was checked at the door."""
    state = _state(folder, number)
    if not state.is_file():
        return None
    try:
        part = replace(_PARTS.validate_python(read_json(state)), reused=True)
    except ValidationError:
        return None
    path = folder / part.shard.file
    return part if path.is_file() and sha256(path) == part.shard.sha256 else None


def _state(folder: Path, number: int) -> Path:
    return folder / shard_name(number).replace(".npy", ".json")


def _count(outcomes: Iterable[_Outcome], bar: tqdm[NoReturn]) -> Iterator[_Outcome]:
    for outcome in outcomes:
        bar.update(1)
        yield outcome
