"""Shared batches: images that several trainings need are read and varied once."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable

import numpy as np

from hpa_hier.training.batches.images import AugmentedImages, Seen
from hpa_hier.training.batches.order import TrainingBatches
from hpa_hier.training.together.turns import Turns


class SharedBatches:
    """The newest two batches of each kind: the one that trainings learn from, and the one that is made ahead.

    Trainings take turns by batches, so none of them still needs an older one when the next is asked for.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[str, dict[int, Seen]] = {}

    def take(self, kind: str, number: int, make: Callable[[], Seen]) -> Seen:
        """Return the images of a batch; `make` makes them where they are not there yet."""
        with self._lock:
            kept = self._seen.setdefault(kind, {})
            if number not in kept:
                for old in [one for one in kept if not number - 1 <= one <= number + 1]:
                    del kept[old]
                kept[number] = make()
            return kept[number]


class Seat:
    """One member's place among those that are trained together.

    Args:
        name: of the member.
        turns: of all of them.
        shared: batches of all of them.
        tell: is told the kind of batches that a training of the member learns from; "" for ones of its own.
    """

    def __init__(self, name: str, turns: Turns, shared: SharedBatches, tell: Callable[[str], None]) -> None:
        self._name, self._turns, self._shared, self._tell = name, turns, shared, tell
        self._round = 0

    def join(self, batches: TrainingBatches) -> None:
        """Have a training wait for its turn before each batch, and share what it reads."""
        self._round += 1
        kind = describe_batches(batches)
        self._tell(kind)
        batches.before = lambda number: self._turns.wait(self._name, (self._round, number))
        if kind:
            reader = batches.reader
            assert isinstance(reader, AugmentedImages)
            reader.share = lambda number, make: self._shared.take(kind, number, make)


def describe_batches(batches: TrainingBatches) -> str:
    """Return hex digits of all that decides a training's images and their order; "" where these are not varied.

    Two trainings with the same digits see the same images in the same order, whatever each of them learns.
    """
    reader = batches.reader
    if not isinstance(reader, AugmentedImages):
        return ""
    what = reader.augmentation
    numbers = (len(batches), batches.batch_size, batches.seed, batches.world, batches.rank, what.seed, what.on_device)
    described = (reader.pack.digest, numbers, reader.sides, what.settings.augment.model_dump_json())
    digest = hashlib.sha256(repr(described).encode())
    for array in (reader.part.rows, batches.factors, what.varied, what.mixable, what.chances):
        digest.update(b"" if array is None else repr(array.dtype).encode() + np.ascontiguousarray(array).tobytes())
        digest.update(b";")
    return digest.hexdigest()[:16]
