"""Batches: which samples each one has, in an order that seed and step alone decide.

Order is a function of seed and epoch; variation and mixing of seed, epoch and place in the epoch; size of the number of
the batch. So a training that stopped at any step resumes with exactly the batches it would have seen, and nothing about
the data needs to be saved. No worker processes: they only make reading a memory map slower.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hpa_hier.data.balance.repeat import epoch_copies
from hpa_hier.errors import UserError
from hpa_hier.models.augment.mixing import Targets
from hpa_hier.models.augment.warp import Draws
from hpa_hier.runs.run import Part
from hpa_hier.settings.training import TrainingSettings
from hpa_hier.training.batches.ahead import look_ahead

ORDER, VARIATION, MIXING, STYLE = 1, 2, 3, 4  # which of an epoch's streams of random numbers

Read = Callable[[np.ndarray], np.ndarray]  # (B,) rows of a pack → (B, C, S, S) uint8 images, or (B, F) float32 vectors


class Batch(NamedTuple):
    """One step's arrays."""

    samples: Tensor  # (B, C, S, S) uint8 images; or (B, F) float32 vectors
    draws: Draws  # what of the augmentation is still to be applied
    present: Tensor  # (B, n) float32 in {0, 1}; between them where images are mixed
    known: Tensor  # (B, n) float32 in {0, 1}
    side: int | None = None  # pixels that the images are still to be warped to; None: their own


class PartReader:
    """Reads samples of a part of a pack as they are, by their places in the part.

    Attributes:
        slow: whether batches take so long that the next one is made ahead, in a thread.
    """

    slow = False

    def __init__(self, read: Read, part: Part) -> None:
        self._read, self.part = read, part

    def read_batch(self, places: np.ndarray) -> Batch:
        """Return the samples at some places (B,) of the part, images channels last."""
        samples = torch.from_numpy(self._read(self.part.rows[places]))
        if samples.ndim == 4:
            samples = samples.contiguous(memory_format=torch.channels_last)
        return make_batch(samples, Draws(), gather_targets(self.part, places))

    def start_epoch(self, epoch: int, order: np.ndarray) -> Callable[[slice, int], Batch]:
        """Return what makes a batch of a slice of `order`, an epoch's places in the part, and of the batch's number."""
        return lambda which, number: self.read_batch(order[which])


class TrainingBatches:
    """Epoch after epoch of training batches, all of one size; what is left over at an epoch's end is dropped.

    Each iteration is one epoch, from the step that `seek` set. Several processes take turns with the batches of one
    common order, so that no sample is met twice in an epoch. A batch holds until the next one is taken: readers use
    their buffers again, and make the next batch in a thread meanwhile. Lightning takes a batch only when the one before
    has been trained on, as the number of batches is known; whoever keeps batches copies them.

    Attributes:
        reader: of the samples.
        factors: how often each is met in an epoch.
        seed: of the order.
        world: processes that take turns.
        rank: which of the processes this one is.
        batch_size: samples in every batch.
        steps: optimiser steps in an epoch.
        before: is called with the number of a batch, counted from the start of training, before it is taken.
        held: seconds that `before` has taken so far.

    Args:
        reader: of the samples.
        factors: (B,) int, how often each sample is met in an epoch; or float, how often on average, drawn again for
            each epoch.
        settings: sizes of batches and steps, and the number of processes.
        seed: of the order.

    Raises:
        UserError: fewer than two samples for each process, or too few for one step.

    >>> part = Part(np.arange(4), *np.ones((2, 4, 1), bool))
    >>> reader = PartReader(lambda rows: rows[:, None].astype(np.float32), part)
    >>> batches = TrainingBatches(reader, np.array([1, 3, 1, 1]), TrainingSettings(batch_size=2), seed=0)
    >>> len(batches), sorted(row for batch in batches for row in batch.samples.int().flatten().tolist())
    (3, [0, 1, 1, 1, 2, 3])
    """

    def __init__(self, reader: PartReader, factors: np.ndarray, settings: TrainingSettings, seed: int) -> None:
        self.reader, self.factors, self.seed = reader, factors, seed
        self.world, self._accumulate = settings.devices * settings.nodes, settings.accumulate
        self.before: Callable[[int], None] = lambda number: None
        self.held = 0.0
        share = round(float(factors.sum())) // self.world
        if share < 2:
            raise UserError(
                f"the training part has {len(factors)} images for {self.world} processes; each needs at least two"
            )
        self.batch_size = min(settings.batch_size, share)
        self.steps = share // self.batch_size // self._accumulate
        if not self.steps:
            raise UserError(
                f"training.accumulate: {self._accumulate} batches make a step, and an epoch has "
                f"{share // self.batch_size}; lower it, or training.batch_size"
            )
        self._next = 0  # batches from the start of training
        self.rank = 0

    def __len__(self) -> int:
        """Return the number of batches in an epoch, of each process."""
        return self.steps * self._accumulate

    def seek(self, step: int) -> None:
        """Set the optimiser step, counted from the start of training, that the next batch begins."""
        self._next = step * self._accumulate

    def __iter__(self) -> Iterator[Batch]:
        # The trainer asks for the iterator before it calls `seek`; a generator's body runs at the first batch only.
        epoch, start = divmod(self._next, len(self))
        generator = np.random.default_rng([self.seed, epoch, ORDER])
        drawn = np.issubdtype(self.factors.dtype, np.floating)
        copies = epoch_copies(self.factors, generator) if drawn else self.factors
        order = generator.permutation(np.repeat(np.arange(len(copies)), copies))  # the same in every process
        make = self.reader.start_epoch(epoch, order)

        def take(index: int) -> Batch:
            first = (index * self.world + self.rank) * self.batch_size
            return make(slice(first, first + self.batch_size), epoch * len(self) + index)

        left = range(start, len(self))
        made = look_ahead(take, left) if self.reader.slow else map(take, left)
        for index in left:
            number = epoch * len(self) + index
            began = time.monotonic()
            self.before(number)
            self.held += time.monotonic() - began
            batch = next(made)
            self._next = number + 1
            yield batch


class PartBatches:
    """One part in its own order, not varied, each sample once; several processes take turns.

    The last sample is repeated where the processes' shares would differ, as a gathering needs equal shapes.

    Attributes:
        rank: which of the processes this one is.

    Args:
        reader: of the part's samples.
        batch_size: samples a batch, at most.
        world: processes.
    """

    def __init__(self, reader: PartReader, batch_size: int, world: int = 1) -> None:
        self._reader, self._batch_size, self._world = reader, batch_size, world
        self._share = -(-len(reader.part) // world)
        self.rank = 0

    def __len__(self) -> int:
        """Return the number of batches."""
        return -(-self._share // self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        mine = np.minimum(np.arange(self._share) * self._world + self.rank, len(self._reader.part) - 1)
        for first in range(0, self._share, self._batch_size):
            yield self._reader.read_batch(mine[first : first + self._batch_size])


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
