"""Batches: straight from the pack's memory map, in an order and with a variation that the step number alone decides.

Order is a function of seed and epoch; variation of seed, epoch and place in the epoch. So a training that stopped at
any step goes on with exactly the batches it would have seen, and nothing about the data needs to be saved. No worker
processes: they only make reading a memory map slower.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from hpa_hier.data.balance import epoch_copies
from hpa_hier.errors import UserError
from hpa_hier.models.augment import Ranges, draw, to_tensor, warp

_ORDER, _VARIATION = 1, 2  # which of an epoch's two streams of random numbers


class Images(Protocol):
    """What is asked of a pack."""

    @property
    def channels(self) -> tuple[str, ...]:
        """Names along axis C."""
        ...

    @property
    def size(self) -> int:
        """Side in pixels."""
        ...

    def images(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Read (B, C, S, S) uint8."""
        ...


@dataclass(frozen=True)
class Part:
    """Samples of one part with a member's targets."""

    rows: np.ndarray  # (B,) int64 rows of the pack
    present: np.ndarray  # (B, n) bool, columns as the member's nodes
    known: np.ndarray  # (B, n) bool

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Dealing:
    """How an epoch is dealt out."""

    seed: int
    batch_size: int  # images a step and process
    ranges: Ranges
    on_device: bool = False  # the device warps the images, instead of the processor that reads them
    world: int = 1  # processes that share the epoch


class Batch(NamedTuple):
    """One step's arrays."""

    images: Tensor  # (B, C, S, S) uint8
    matrices: Tensor | None  # (B, 2, 3) still to be applied, or None where the images have been warped
    gain: Tensor | None  # (B, C)
    present: Tensor  # (B, n) float32 in {0, 1}
    known: Tensor  # (B, n) float32 in {0, 1}


class TrainingBatches:
    """Epoch after epoch of training batches, all of one size; what is left over at an epoch's end is dropped.

    Each iteration deals one epoch, from the step that `seek` set. Several processes take turns with the batches of one
    common order, so that no image stands twice in an epoch.

    Attributes:
        rank: which of the processes this one is.
        batch_size: images in every batch.

    Args:
        pack: where the images are.
        part: the training part.
        factors: (B,) int, how often each sample stands in an epoch; or float, how often it does so on average, drawn
            anew for each epoch.
        dealing: seed, sizes and shares.

    Raises:
        UserError: fewer than two images for each process.
    """

    def __init__(self, pack: Images, part: Part, factors: np.ndarray, dealing: Dealing) -> None:
        self._pack, self._part, self._dealing = pack, part, dealing
        self._factors = factors
        share = round(float(factors.sum())) // dealing.world
        if share < 2:
            raise UserError(
                f"the training part has {len(part)} images for {dealing.world} processes; each needs at least two"
            )
        self.batch_size = min(dealing.batch_size, share)
        self._length = share // self.batch_size
        self._step = 0
        self.rank = 0
        side, channels = pack.size, len(pack.channels)
        self._raw = np.empty((self.batch_size, channels, side, side), np.uint8)
        self._warped = np.empty((self.batch_size, side, side, channels), np.uint8)

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return self._length

    def seek(self, step: int) -> None:
        """Set the step, counted from the start of training, that the next batch belongs to."""
        self._step = step

    def __iter__(self) -> Iterator[Batch]:
        # The trainer asks for the iterator before it calls `seek`; a generator's body runs at the first batch only.
        epoch, start = divmod(self._step, self._length)
        dealing = self._dealing
        order = self._order(epoch)
        generator = np.random.default_rng([dealing.seed, epoch, _VARIATION])
        draws = draw(dealing.ranges, len(order), len(self._pack.channels), generator)
        for index in range(start, self._length):
            first = (index * dealing.world + self.rank) * self.batch_size
            which = slice(first, first + self.batch_size)
            self._step = epoch * self._length + index + 1
            drawn = draws.rows(which)
            yield self._batch(order[which], drawn.matrices, torch.from_numpy(drawn.gain))

    def _order(self, epoch: int) -> np.ndarray:
        """Return the places in the part that an epoch goes through; the same in every process."""
        generator = np.random.default_rng([self._dealing.seed, epoch, _ORDER])
        drawn = np.issubdtype(self._factors.dtype, np.floating)
        copies = epoch_copies(self._factors, generator) if drawn else self._factors
        return generator.permutation(np.repeat(np.arange(len(self._part)), copies))

    def _batch(self, places: np.ndarray, matrices: np.ndarray, gain: Tensor) -> Batch:
        images = self._pack.images(self._part.rows[places], out=self._raw)
        present, known = _targets(self._part, places)
        if self._dealing.on_device:
            return Batch(torch.from_numpy(images), torch.from_numpy(matrices), gain, present, known)
        return Batch(to_tensor(warp(images, matrices, self._warped)), None, gain, present, known)


class PartBatches:
    """One part in its own order, not varied, each sample once; several processes take turns.

    The last sample is repeated where the processes' shares would differ, as a gathering needs equal shapes.

    Attributes:
        rank: which of the processes this one is.
    """

    def __init__(self, pack: Images, part: Part, batch_size: int, world: int = 1) -> None:
        self._pack, self._part, self._batch_size, self._world = pack, part, batch_size, world
        self._share = -(-len(part) // world)
        self.rank = 0

    def __len__(self) -> int:
        """Return the number of batches."""
        return -(-self._share // self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        mine = np.minimum(np.arange(self._share) * self._world + self.rank, len(self._part) - 1)
        for first in range(0, self._share, self._batch_size):
            places = mine[first : first + self._batch_size]
            images = np.ascontiguousarray(self._pack.images(self._part.rows[places]).transpose(0, 2, 3, 1))
            yield Batch(to_tensor(images), None, None, *_targets(self._part, places))


def _targets(part: Part, places: np.ndarray) -> tuple[Tensor, Tensor]:
    present, known = part.present[places], part.known[places]
    return torch.from_numpy(present.astype(np.float32)), torch.from_numpy(known.astype(np.float32))
