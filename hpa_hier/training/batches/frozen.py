"""Frozen features: a backbone is run once over a pack, and its features serve all members that start from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import nn

from hpa_hier.data.pack.pack import ImagePack
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import replacing, text_digest
from hpa_hier.members.score import prepare_for_scoring, score
from hpa_hier.models.backbones.create import Backbone
from hpa_hier.models.network import Normalise

_AT_ONCE = 256  # images read into memory at a time


class CachedFeatures:
    """A backbone's features of a pack's samples, by row, as a memory map.

    Args:
        path: of the (B, F) float32 array.
        samples: B.
        features: F.

    Raises:
        UserError: it is damaged.
    """

    def __init__(self, path: Path, samples: int, features: int) -> None:
        try:
            self._array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise UserError(f"{path}: damaged ({error}); remove it, and it is made again") from None
        wanted = (samples, features)
        if self._array.shape != wanted or self._array.dtype != np.float32:
            raise UserError(f"{path}: holds {self._array.shape}, needed is {wanted}; remove it, and it is made again")

    def vectors(self, rows: np.ndarray) -> np.ndarray:
        """Read (B, F) float32."""
        return np.asarray(self._array[rows])


def cached_features(
    folder: Path, pack: ImagePack, normalise: Normalise, backbone: Backbone, device: torch.device
) -> CachedFeatures:
    """Return a backbone's features of every sample of a pack, computed at most once.

    Args:
        folder: where features are kept; a file's name says which pack, weights and kind of device it belongs to.
        pack: of images, which are not varied.
        normalise: of the images.
        backbone: on what that returns.
        device: where they are computed, if they are not there yet.
    """
    path = folder / f"{_digest(pack, normalise, backbone, device)}.npy"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):  # members side by side wait for the first one's features
        if not path.exists():
            extract = prepare_for_scoring(nn.Sequential(normalise, backbone.module), device)
            _write(path, pack, extract, backbone.features, device)
    return CachedFeatures(path, len(pack), backbone.features)


def _write(path: Path, pack: ImagePack, extract: nn.Module, features: int, device: torch.device) -> None:
    with replacing(path) as temporary:
        array = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=(len(pack), features))
        for first in range(0, len(pack), _AT_ONCE):
            rows = np.arange(first, min(first + _AT_ONCE, len(pack)))
            array[rows] = score(extract, pack.images(rows), features, device)
        array.flush()
        del array


def _digest(pack: ImagePack, normalise: Normalise, backbone: Backbone, device: torch.device) -> str:
    """Hash what the features follow from: pixels, normalisation, backbone, and what kind of device computes them."""
    parts = [pack.digest, device.type, type(backbone.module).__qualname__]
    weights = {**normalise.state_dict(), **backbone.module.state_dict()}
    for name, tensor in sorted(weights.items()):
        content = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        parts += [name, str(tuple(tensor.shape)), text_digest(content.hex())]
    return text_digest(*parts)
