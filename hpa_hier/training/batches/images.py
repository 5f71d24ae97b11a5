"""Batches: straight from the pack's memory map, in an order and with a variation that the step number alone decides.

Order is a function of seed and epoch; variation and mixing of seed, epoch and place in the epoch; size of the step.
So a training that stopped at any step goes on with exactly the batches it would have seen, and nothing about the data
needs to be saved. No worker processes: they only make reading a memory map slower.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from hpa_hier.data.balance.repeat import epoch_copies
from hpa_hier.errors import UserError
from hpa_hier.models.augment.mixing import Mixes, Mixing, draw_mixes, mix_images, mix_targets
from hpa_hier.models.augment.warp import Draws, Ranges, draw, to_tensor, warp
from hpa_hier.runs.part import Part

_ORDER, _VARIATION, _MIXING = 1, 2, 3  # which of an epoch's streams of random numbers


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
class BatchSampling:
    """How an epoch is dealt out."""

    seed: int
    batch_size: int  # images a step and process
    ranges: Ranges
    on_device: bool = False  # the device warps the images, instead of the processor that reads them
    world: int = 1  # processes that share the epoch
    sizes: tuple[int, ...] = ()  # pixels, sides that the batches have in turn; (): the pack's
    accumulate: int = 1  # batches of a process that make one optimiser step
    mixing: Mixing | None = None
    varied: np.ndarray | None = None  # (part,) bool, images that are varied; None: all
    mixable: np.ndarray | None = None  # (part,) bool, images that are mixed with each other; None: all


class Batch(NamedTuple):
    """One step's arrays."""

    images: Tensor  # (B, C, S, S) uint8; or (B, F) float32 vectors
    matrices: Tensor | None  # (B, 2, 3) still to be applied, or None where the images have been warped
    gain: Tensor | None  # (B, C)
    present: Tensor  # (B, n) float32 in {0, 1}; between them where images are mixed
    known: Tensor  # (B, n) float32 in {0, 1}
    gamma: Tensor | None = None  # (B, C)
    bends: Tensor | None = None  # (B, G, G, 2), to be applied with the matrices
    side: int | None = None  # pixels that the images are still to be warped to; None: their own


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

    def __init__(self, pack: Images, part: Part, factors: np.ndarray, dealing: BatchSampling) -> None:
        self._pack = pack
        self._share_out(part, factors, dealing)
        side, channels = pack.size, len(pack.channels)
        self._raw = np.empty((self.batch_size, channels, side, side), np.uint8)
        self._warped = {
            side: np.empty((self.batch_size, side, side, channels), np.uint8) for side in self._sides(dealing)
        }

    def _share_out(self, part: Part, factors: np.ndarray, dealing: BatchSampling) -> None:
        self._part, self._dealing = part, dealing
        self._factors = factors
        share = round(float(factors.sum())) // dealing.world
        if share < 2:
            raise UserError(
                f"the training part has {len(part)} images for {dealing.world} processes; each needs at least two"
            )
        self.batch_size = min(dealing.batch_size, share)
        self._length = share // self.batch_size // dealing.accumulate * dealing.accumulate
        if not self._length:
            raise UserError(
                f"training.accumulate: {dealing.accumulate} batches make a step, and an epoch has "
                f"{share // self.batch_size}; lower it, or training.batch_size"
            )
        self._next = 0
        self.rank = 0

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return self._length

    @property
    def steps(self) -> int:
        """Optimiser steps in an epoch."""
        return self._length // self._dealing.accumulate

    def seek(self, step: int) -> None:
        """Set the optimiser step, counted from the start of training, that the next batch begins."""
        self._next = step * self._dealing.accumulate

    def __iter__(self) -> Iterator[Batch]:
        # The trainer asks for the iterator before it calls `seek`; a generator's body runs at the first batch only.
        epoch, start = divmod(self._next, self._length)
        make = self._maker(epoch, self._order(epoch))
        for index in range(start, self._length):
            first = (index * self._dealing.world + self.rank) * self.batch_size
            self._next = epoch * self._length + index + 1
            yield make(slice(first, first + self.batch_size))

    def _order(self, epoch: int) -> np.ndarray:
        """Return the places in the part that an epoch goes through; the same in every process."""
        generator = np.random.default_rng([self._dealing.seed, epoch, _ORDER])
        drawn = np.issubdtype(self._factors.dtype, np.floating)
        copies = epoch_copies(self._factors, generator) if drawn else self._factors
        return generator.permutation(np.repeat(np.arange(len(self._part)), copies))

    def _maker(self, epoch: int, order: np.ndarray) -> Callable[[slice], Batch]:
        """Draw an epoch's variation; return what makes a batch of some places of its order."""
        dealing, pack = self._dealing, self._pack
        generator = np.random.default_rng([dealing.seed, epoch, _VARIATION])
        draws = draw(dealing.ranges, len(order), len(pack.channels), generator)
        if dealing.varied is not None:
            draws = draws.only(dealing.varied[order])
        mixes = None
        if dealing.mixing is not None:
            generator = np.random.default_rng([dealing.seed, epoch, _MIXING])
            mixable = np.ones(len(self._part), bool) if dealing.mixable is None else dealing.mixable
            mixes = draw_mixes(dealing.mixing, order, mixable, pack.size, generator)

        def make(which: slice) -> Batch:
            return self._batch(order[which], draws.rows(which), None if mixes is None else mixes.rows(which))

        return make

    def _batch(self, places: np.ndarray, draws: Draws, mixes: Mixes | None) -> Batch:
        images = self._pack.images(self._part.rows[places], out=self._raw)
        present, known = gather_targets(self._part, places)
        if mixes is not None:
            present, known = self._mix(images, (present, known), mixes)
        sides = self._sides(self._dealing)
        side = sides[(self._next - 1) % len(sides)]
        gain, gamma = torch.from_numpy(draws.gain), None if draws.gamma is None else torch.from_numpy(draws.gamma)
        if self._dealing.on_device:
            bends = None if draws.bends is None else torch.from_numpy(draws.bends)
            matrices = torch.from_numpy(draws.matrices)
            return Batch(torch.from_numpy(images), matrices, gain, present, known, gamma, bends, side)
        warped = warp(images, draws.matrices, self._warped[side], draws.bends)
        return Batch(to_tensor(warped), None, gain, present, known, gamma)

    def _mix(self, images: np.ndarray, targets: tuple[Tensor, Tensor], mixes: Mixes) -> tuple[Tensor, Tensor]:
        """Mix images with their partners, in place, before both are moved as one; return the mixed targets."""
        partners = mixes.partners[mixes.mixed]
        mix_images(images, self._pack.images(self._part.rows[partners]), mixes)
        mine, others = ([t.numpy() for t in pair] for pair in (targets, gather_targets(self._part, partners)))
        present, known = mix_targets((mine[0], mine[1]), (others[0], others[1]), mixes)
        return torch.from_numpy(present), torch.from_numpy(known)

    def _sides(self, dealing: BatchSampling) -> tuple[int, ...]:
        return dealing.sizes or (self._pack.size,)


class PartBatches:
    """One part in its own order, not varied, each sample once; several processes take turns.

    The last sample is repeated where the processes' shares would differ, as a gathering needs equal shapes.

    Attributes:
        rank: which of the processes this one is.
    """

    def __init__(self, pack: Images, part: Part, batch_size: int, world: int = 1) -> None:
        self._pack = pack
        self._share_out(part, batch_size, world)

    def _share_out(self, part: Part, batch_size: int, world: int) -> None:
        self._part, self._batch_size, self._world = part, batch_size, world
        self._share = -(-len(part) // world)
        self.rank = 0

    def __len__(self) -> int:
        """Return the number of batches."""
        return -(-self._share // self._batch_size)

    def _places(self) -> Iterator[np.ndarray]:
        mine = np.minimum(np.arange(self._share) * self._world + self.rank, len(self._part) - 1)
        for first in range(0, self._share, self._batch_size):
            yield mine[first : first + self._batch_size]

    def __iter__(self) -> Iterator[Batch]:
        for places in self._places():
            images = np.ascontiguousarray(self._pack.images(self._part.rows[places]).transpose(0, 2, 3, 1))
            yield Batch(to_tensor(images), None, None, *gather_targets(self._part, places))


def gather_targets(part: Part, places: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return present and known, (B, n) float32 in {0, 1}, of the samples at some places of a part."""
    present, known = part.present[places], part.known[places]
    return torch.from_numpy(present.astype(np.float32)), torch.from_numpy(known.astype(np.float32))
