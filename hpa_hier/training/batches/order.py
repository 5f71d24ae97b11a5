"""Batches: which samples each one has, in an order that seed and step alone decide.

Order is a function of seed and epoch; variation and mixing of seed, epoch and place in the epoch; size of the number of
the batch. So a training that stopped at any step resumes with exactly the batches it would have seen, and nothing about
the data needs to be saved. No worker processes: they only make reading a memory map slower.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from hpa_hier.data.balance.repeat import epoch_copies
from hpa_hier.errors import UserError
from hpa_hier.models.augment.mixing import Targets
from hpa_hier.models.augment.warp import Draws
from hpa_hier.runs.run import Part
from hpa_hier.settings.training import TrainingSettings

ORDER, VARIATION, MIXING = 1, 2, 3  # which of an epoch's streams of random numbers


class Batch(NamedTuple):
    """One step's arrays."""

    samples: Tensor  # (B, C, S, S) uint8 images; or (B, F) float32 vectors
    draws: Draws  # what of the augmentation is still to be applied
    present: Tensor  # (B, n) float32 in {0, 1}; between them where images are mixed
    known: Tensor  # (B, n) float32 in {0, 1}
    side: int | None = None  # pixels that the images are still to be warped to; None: their own


class PartReader(Protocol):
    """Reads samples of a part as they are."""

    def read(self, places: np.ndarray) -> Batch:
        """Return the samples at some places (B,) of the part."""
        ...


class EpochReader(Protocol):
    """Reads samples of a part as training sees them."""

    def start_epoch(self, epoch: int, order: np.ndarray) -> Callable[[slice, int], Batch]:
        """Draw an epoch's variation.

        Args:
            epoch: from 0.
            order: places in the part that the epoch goes through.

        Returns:
            From a slice of `order`, and the number of the batch from the start of training, to the batch.
        """
        ...


class SampleOrder:
    """Deals a part's samples to an epoch's batches, all of one size; what is left over at an epoch's end is dropped.

    Several processes take turns with the batches of one common order, so that no image is met twice in an epoch.

    Attributes:
        batch_size: samples in every batch.
        batches: of each process in an epoch; whole optimiser steps.

    Args:
        factors: (B,) int, how often each sample is met in an epoch; or float, how often on average, drawn again for
            each epoch.
        settings: sizes of batches and steps, and the number of processes.
        seed: of the order.

    Raises:
        UserError: fewer than two samples for each process, or too few for one step.

    >>> order = SampleOrder(np.array([1, 3, 1, 1]), TrainingSettings(batch_size=2), seed=0)
    >>> order.batches, sorted(order.places(epoch=0).tolist())
    (3, [0, 1, 1, 1, 2, 3])
    """

    def __init__(self, factors: np.ndarray, settings: TrainingSettings, seed: int) -> None:
        self._factors, self._seed, self._world = factors, seed, settings.devices * settings.nodes
        share = round(float(factors.sum())) // self._world
        if share < 2:
            raise UserError(
                f"the training part has {len(factors)} images for {self._world} processes; each needs at least two"
            )
        self.batch_size = min(settings.batch_size, share)
        self.batches = share // self.batch_size // settings.accumulate * settings.accumulate
        if not self.batches:
            raise UserError(
                f"training.accumulate: {settings.accumulate} batches make a step, and an epoch has "
                f"{share // self.batch_size}; lower it, or training.batch_size"
            )

    def places(self, epoch: int) -> np.ndarray:
        """Return the places in the part that an epoch goes through; the same in every process."""
        generator = np.random.default_rng([self._seed, epoch, ORDER])
        drawn = np.issubdtype(self._factors.dtype, np.floating)
        copies = epoch_copies(self._factors, generator) if drawn else self._factors
        return generator.permutation(np.repeat(np.arange(len(self._factors)), copies))

    def batch(self, index: int, rank: int) -> slice:
        """Return which of an epoch's `places` a process has in its batch of that index."""
        first = (index * self._world + rank) * self.batch_size
        return slice(first, first + self.batch_size)


class TrainingBatches:
    """Epoch after epoch of training batches; each iteration is one epoch, from the step that `seek` set.

    A batch holds until the next one is taken: readers use their buffers again. Lightning takes a batch only when the
    one before has been trained on, as the number of batches is known; whoever keeps batches copies them.

    Attributes:
        rank: which of the processes this one is.

    Args:
        order: which samples come when.
        reader: of these samples.
        accumulate: batches of a process that make one optimiser step.
    """

    def __init__(self, order: SampleOrder, reader: EpochReader, accumulate: int = 1) -> None:
        self._order, self._reader, self._accumulate = order, reader, accumulate
        self._next = 0  # batches from the start of training
        self.rank = 0

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return self._order.batches

    @property
    def batch_size(self) -> int:
        """Samples in every batch."""
        return self._order.batch_size

    @property
    def steps(self) -> int:
        """Optimiser steps in an epoch."""
        return len(self) // self._accumulate

    def seek(self, step: int) -> None:
        """Set the optimiser step, counted from the start of training, that the next batch begins."""
        self._next = step * self._accumulate

    def __iter__(self) -> Iterator[Batch]:
        # The trainer asks for the iterator before it calls `seek`; a generator's body runs at the first batch only.
        epoch, start = divmod(self._next, len(self))
        make = self._reader.start_epoch(epoch, self._order.places(epoch))
        for index in range(start, len(self)):
            number = epoch * len(self) + index
            self._next = number + 1
            yield make(self._order.batch(index, self.rank), number)


class PartBatches:
    """One part in its own order, not varied, each sample once; several processes take turns.

    The last sample is repeated where the processes' shares would differ, as a gathering needs equal shapes.

    Attributes:
        rank: which of the processes this one is.

    Args:
        reader: of the part's samples.
        count: samples of the part.
        batch_size: samples a batch, at most.
        world: processes.
    """

    def __init__(self, reader: PartReader, count: int, batch_size: int, world: int = 1) -> None:
        self._reader, self._count, self._batch_size, self._world = reader, count, batch_size, world
        self._share = -(-count // world)
        self.rank = 0

    def __len__(self) -> int:
        """Return the number of batches."""
        return -(-self._share // self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        mine = np.minimum(np.arange(self._share) * self._world + self.rank, self._count - 1)
        for first in range(0, self._share, self._batch_size):
            yield self._reader.read(mine[first : first + self._batch_size])


def gather_targets(part: Part, places: np.ndarray) -> Targets:
    """Return what is to be learnt of the samples at some places of a part.

    >>> part = Part(np.arange(2), np.array([[True], [False]]), np.ones((2, 1), bool))
    >>> gather_targets(part, np.array([1, 0])).present.ravel().tolist()
    [0.0, 1.0]
    """
    return Targets(part.present[places].astype(np.float32), part.known[places].astype(np.float32))


def make_batch(samples: Tensor, draws: Draws, targets: Targets, side: int | None = None) -> Batch:
    """Put a batch together."""
    return Batch(samples, draws, torch.from_numpy(targets.present), torch.from_numpy(targets.known), side)
