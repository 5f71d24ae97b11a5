"""Images of a batch: read from the pack's memory map, varied and mixed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hpa_hier.data.pack.pack import ImagePack
from hpa_hier.models.augment.mixing import Mixes, Targets, draw_mixes, mix_images, mix_targets
from hpa_hier.models.augment.style import StyleDraws, Styles, apply_styles, draw_styles
from hpa_hier.models.augment.warp import Draws, draw, to_tensor, warp
from hpa_hier.runs.run import Part
from hpa_hier.settings.training import TrainingSettings
from hpa_hier.training.batches.order import MIXING, STYLE, VARIATION, Batch, PartReader, gather_targets, make_batch


@dataclass(frozen=True)
class Augmentation:
    """How a part's images are varied."""

    settings: TrainingSettings  # its ranges, mixing and sizes
    seed: int
    on_device: bool = False  # the device warps the images, instead of the processor that reads them
    varied: np.ndarray | None = None  # (part,) bool, images that are varied; None: all
    mixable: np.ndarray | None = None  # (part,) bool, images that are mixed with each other; None: all
    chances: np.ndarray | None = None  # (part,) chance of each image to be the partner of a mixed one; None: all alike
    styles: Styles | None = None  # that images take on; None: none


class Seen(NamedTuple):
    """A batch's images, whatever is to be learnt of them."""

    samples: Tensor  # (B, C, S, S) uint8
    draws: Draws  # what of the augmentation is still to be applied
    side: int | None = None  # as `Batch`


class AugmentedImages(PartReader):
    """Reads images of a part as training sees them. A batch's images are in a buffer that the next but one overwrites.

    Attributes:
        pack: where the images are.
        augmentation: how they are varied.
        sides: pixels, to which batches are resized in turn.
        share: is given a batch's number and what makes its images, and returns them; it may have them already.
    """

    slow = True

    def __init__(self, pack: ImagePack, part: Part, augmentation: Augmentation) -> None:
        super().__init__(pack.images, part)
        self.pack, self.augmentation = pack, augmentation
        self.sides = augmentation.settings.sizes or (pack.size,)
        self.share: Callable[[int, Callable[[], Seen]], Seen] = lambda number, make: make()
        self._buffers: dict[tuple[str, int, tuple[int, ...]], np.ndarray] = {}

    def draw_variation(self, epoch: int, order: np.ndarray) -> Draws:
        """Draw how the images at an epoch's places of the part, in its `order`, are varied."""
        augmentation = self.augmentation
        generator = np.random.default_rng([augmentation.seed, epoch, VARIATION])
        draws = draw(augmentation.settings.augment, len(order), self.pack.channels, generator)
        return draws if augmentation.varied is None else draws.vary_only(augmentation.varied[order])

    def side(self, number: int) -> int:
        """Return the side of the images of a batch, in pixels: the sizes in turn by the batch's number."""
        return self.sides[number % len(self.sides)]

    def start_epoch(self, epoch: int, order: np.ndarray) -> Callable[[slice, int], Batch]:
        """Draw an epoch's variation; return what makes a batch, the sizes in turn by the number of the batch."""
        augmentation, pack = self.augmentation, self.pack
        settings = augmentation.settings.augment
        draws = self.draw_variation(epoch, order)
        mixes = None
        if settings.mixing != "none":
            generator = np.random.default_rng([augmentation.seed, epoch, MIXING])
            mixable = np.ones(len(self.part), bool) if augmentation.mixable is None else augmentation.mixable
            mixes = draw_mixes(settings, order, mixable, pack.size, generator, augmentation.chances)
        looks = None
        if augmentation.styles is not None:
            generator = np.random.default_rng([augmentation.seed, epoch, STYLE])
            varied = None if augmentation.varied is None else augmentation.varied[order]
            looks = draw_styles(settings, len(order), len(augmentation.styles.looks), generator, varied)

        def make(which: slice, number: int) -> Batch:
            mixed = None if mixes is None else mixes.rows(which)
            styled = None if looks is None else looks.rows(which)
            seen = self.share(number, lambda: self._see(order[which], number, draws.rows(which), mixed, styled))
            return make_batch(seen.samples, seen.draws, self._targets(order[which], mixed), seen.side)

        return make

    def _targets(self, places: np.ndarray, mixes: Mixes | None) -> Targets:
        targets = gather_targets(self.part, places)
        if mixes is None:
            return targets
        return mix_targets(targets, gather_targets(self.part, mixes.partners[mixes.mixed]), mixes)

    def _see(
        self, places: np.ndarray, number: int, draws: Draws, mixes: Mixes | None, looks: StyleDraws | None
    ) -> Seen:
        count, channels, own = len(places), len(self.pack.channels), self.pack.size
        side = self.side(number)
        kept = number if self.augmentation.on_device else 0  # what is warped here is done with at once
        images = self.pack.images(self.part.rows[places], out=self._buffer("raw", kept, count, channels, own, own))
        if mixes is not None:  # before both partners are moved as one
            mix_images(images, self.pack.images(self.part.rows[mixes.partners[mixes.mixed]]), mixes)
        if looks is not None:
            assert self.augmentation.styles is not None
            apply_styles(images, looks, self.augmentation.styles)
        if self.augmentation.on_device:
            return Seen(torch.from_numpy(images), draws, side)
        warped = self._buffer("warped", number, count, side, side, channels)
        left = warp(images, draws, warped)
        return Seen(to_tensor(warped), left)

    def _buffer(self, name: str, number: int, *shape: int) -> np.ndarray:
        """Return a buffer for a batch of this number; the batches before and after have another one."""
        key = (name, number % 2, shape)
        if key not in self._buffers:
            self._buffers[key] = np.empty(shape, np.uint8)
        return self._buffers[key]
