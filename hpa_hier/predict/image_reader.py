"""A folder of images, read and predicted in batches: memory stays the same however many there are."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from hpa_hier.ensemble.ensemble import Ensemble
from hpa_hier.ensemble.scores.scores import Scores

if TYPE_CHECKING:  # reading images imports an image library, which other uses of the ensemble do without
    from hpa_hier.data.images.read import Reading
    from hpa_hier.data.images.scan import ImageSource, Reject

_BATCHES_AHEAD = 1  # batches read while one is being predicted


class Scorer(Protocol):
    """A member that can score images."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """What it answers for."""

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Return (B, n) logits of (B, C, S, S) images, or of (B, F) vectors, the same for one in any batch."""


@dataclass(frozen=True)
class Batch:
    """Images that were read together.

    Attributes:
        ids: B sample ids.
        images: (B, C, S, S).
        filled: for each sample, the channels it has not.
        rejects: samples that could not be read.
    """

    ids: tuple[str, ...]
    images: NDArray[np.uint8]
    filled: tuple[tuple[str, ...], ...]
    rejects: tuple[Reject, ...]


def read_batches(
    sources: Sequence[ImageSource], read: Callable[[ImageSource], Reading], batch_size: int, threads: int
) -> Iterator[Batch]:
    """Read images in threads, one batch ahead of the one that is handed out.

    Args:
        sources: the samples, in the order they are handed out.
        read: reads one sample; an UnreadableImage makes it a reject.
        batch_size: samples a batch.
        threads: that read and decode at the same time.
    """
    chunks = (sources[start : start + batch_size] for start in range(0, len(sources), batch_size))
    waiting: deque[tuple[Sequence[ImageSource], list[Future[Reading]]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for chunk in chunks:
            waiting.append((chunk, [pool.submit(read, source) for source in chunk]))
            if len(waiting) > _BATCHES_AHEAD:
                yield _collect(*waiting.popleft())
        while waiting:
            yield _collect(*waiting.popleft())


def score(ensemble: Ensemble, scorers: Mapping[str, Scorer], ids: tuple[str, ...], images: np.ndarray) -> list[Scores]:
    """Score images, or vectors, with every member of an ensemble.

    Args:
        ensemble: the fitted ensemble.
        scorers: its members, by name.
        ids: B sample ids.
        images: (B, C, S, S) uint8, or (B, F) float32.
    """
    return [
        Scores(
            member.name,
            ids,
            tuple(scorers[member.name].nodes),
            scorers[member.name].logits(images).astype(np.float64),
        ).renamed(member.renamed)
        for member in ensemble.members
    ]


def _collect(chunk: Sequence[ImageSource], readings: Sequence[Future[Reading]]) -> Batch:
    from hpa_hier.data.images.reader import UnreadableImage
    from hpa_hier.data.images.scan import Reject

    ids, images, filled, rejects = [], [], [], []
    for source, reading in zip(chunk, readings, strict=True):
        try:
            image, missing = reading.result()
        except UnreadableImage as error:
            rejects.append(Reject(source.id, error.file.name, error.reason))
            continue
        ids.append(source.id)
        images.append(image)
        filled.append(tuple(missing))
    stacked = np.stack(images) if images else np.empty((0, 0, 0, 0), np.uint8)
    return Batch(tuple(ids), stacked, tuple(filled), tuple(rejects))
