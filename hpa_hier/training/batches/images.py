"""Images of a batch: read from the pack's memory map, varied and mixed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from hpa_hier.data.pack.pack import ImagePack
from hpa_hier.models.augment.mixing import Mixes, draw_mixes, mix_images, mix_targets
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


class AugmentedImages(PartReader):
    """Reads images of a part as training sees them. A batch's images are in a buffer that the next one overwrites."""

    def __init__(self, pack: ImagePack, part: Part, augmentation: Augmentation) -> None:
        super().__init__(pack.images, part)
        self._pack, self._augmentation = pack, augmentation
        self._sides = augmentation.settings.sizes or (pack.size,)
        self._buffers: dict[tuple[str, tuple[int, ...]], np.ndarray] = {}

    def start_epoch(self, epoch: int, order: np.ndarray) -> Callable[[slice, int], Batch]:
        """Draw an epoch's variation; return what makes a batch, the sizes in turn by the number of the batch."""
        augmentation, pack = self._augmentation, self._pack
        settings = augmentation.settings.augment
        generator = np.random.default_rng([augmentation.seed, epoch, VARIATION])
        draws = draw(settings, len(order), pack.channels, generator)
        if augmentation.varied is not None:
            draws = draws.vary_only(augmentation.varied[order])
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

        return lambda which, number: self._make(
            order[which],
            draws.rows(which),
            mixes and mixes.rows(which),
            looks and looks.rows(which),
            self._sides[number % len(self._sides)],
        )

    def _make(
        self, places: np.ndarray, draws: Draws, mixes: Mixes | None, looks: StyleDraws | None, side: int
    ) -> Batch:
        count, channels, own = len(places), len(self._pack.channels), self._pack.size
        images = self._pack.images(self.part.rows[places], out=self._buffer("raw", count, channels, own, own))
        targets = gather_targets(self.part, places)
        if mixes is not None:  # before both partners are moved as one
            partners = mixes.partners[mixes.mixed]
            mix_images(images, self._pack.images(self.part.rows[partners]), mixes)
            targets = mix_targets(targets, gather_targets(self.part, partners), mixes)
        if looks is not None:
            assert self._augmentation.styles is not None
            apply_styles(images, looks, self._augmentation.styles)
        if self._augmentation.on_device:
            return make_batch(torch.from_numpy(images), draws, targets, side)
        warped = self._buffer("warped", count, side, side, channels)
        left = warp(images, draws, warped)
        return make_batch(to_tensor(warped), left, targets)

    def _buffer(self, name: str, *shape: int) -> np.ndarray:
        if (name, shape) not in self._buffers:
            self._buffers[name, shape] = np.empty(shape, np.uint8)
        return self._buffers[name, shape]
