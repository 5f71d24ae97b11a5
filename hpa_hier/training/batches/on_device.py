"""Images on the device: the training part kept there as 8-bit numbers, so that a step waits for no copying."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from hpa_hier.data.pack.pack import ImagePack
from hpa_hier.errors import UserError
from hpa_hier.models.augment.warp import Draws
from hpa_hier.runs.run import Part
from hpa_hier.settings.training import TrainingSettings
from hpa_hier.training.batches.images import Augmentation, AugmentedImages
from hpa_hier.training.batches.order import Batch

_SHARE = 0.5  # of the device's free memory that images may take; the network's passes need the rest
_AT_ONCE = 256  # images on their way to the device


class DeviceImages(AugmentedImages):
    """Reads images of a part that are kept on the device, and has the device move them.

    Images, targets and an epoch's draws are there before its first step: a batch is a selection of rows.

    Args:
        pack: of the images.
        part: the training part; all of it is kept.
        augmentation: without mixing and styles, which are made on the processor.
        device: that keeps them.
    """

    slow = False  # a batch is made by the device, so that none need be made ahead

    def __init__(self, pack: ImagePack, part: Part, augmentation: Augmentation, device: torch.device) -> None:
        super().__init__(pack, part, augmentation)
        self._device = device
        self._images = torch.empty((len(part), len(pack.channels), pack.size, pack.size), dtype=torch.uint8).to(device)
        for first in range(0, len(part), _AT_ONCE):
            read = pack.images(part.rows[first : first + _AT_ONCE])
            self._images[first : first + len(read)] = torch.from_numpy(np.ascontiguousarray(read)).to(device)
        masks = part.present, part.known
        self._present, self._known = (torch.from_numpy(mask.astype(np.float32)).to(device) for mask in masks)

    def start_epoch(self, epoch: int, order: np.ndarray) -> Callable[[slice, int], Batch]:
        """Draw an epoch's variation, move it to the device, and return what makes a batch."""
        drawn = self.draw_variation(epoch, order)
        draws = Draws(*(None if values is None else values.to(self._device) for values in drawn))
        places = torch.from_numpy(order).to(self._device)

        def make(which: slice, number: int) -> Batch:
            rows = places[which]
            present, known = self._present.index_select(0, rows), self._known.index_select(0, rows)
            return Batch(self._images.index_select(0, rows), draws.rows(which), present, known, self.side(number))

        return make


def keeps_on_device(settings: TrainingSettings, pack: ImagePack, count: int, device: torch.device) -> bool:
    """Say whether a training's images are kept on the device.

    Args:
        settings: of the training; `keep_on_device` decides.
        pack: of the images.
        count: training images.
        device: of this process.

    Raises:
        UserError: they are to be kept, and the processor has to mix them or give them styles.
    """
    augment = settings.augment
    mixed = "mixing" if augment.mixing != "none" else "styles" if augment.styles else ""
    if settings.keep_on_device == "always" and mixed:
        raise UserError(
            f"training.keep_on_device: the processor makes what training.augment.{mixed} asks for, from images that it "
            "reads; set keep_on_device to auto"
        )
    if settings.keep_on_device != "auto" or device.type != "cuda" or mixed:
        return settings.keep_on_device == "always"
    free, _ = torch.cuda.mem_get_info(device)
    return count * len(pack.channels) * pack.size**2 <= _SHARE * free
