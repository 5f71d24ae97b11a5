"""A trained member that scores images, or vectors."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from hpa_hier.errors import UserError
from hpa_hier.members.devices import find_device
from hpa_hier.members.engines.passes import find_least
from hpa_hier.members.networks import build_network
from hpa_hier.members.scorer import check_samples
from hpa_hier.models.heads.head import Head
from hpa_hier.runs.manifest import WEIGHTS, Manifest, check_files, read_manifest

# A pass through a network has this many images, the last filled up with zeros: kernels are chosen by shape, and with
# one shape an image gets the same logits, bit for bit, alone or among others. Few images go in smaller passes where
# these were found to give the same bits.
COMPUTE_BATCH = 32
_FEW = COMPUTE_BATCH // 2  # images
_READ_AT_ONCE = 256  # samples of a pack in memory

_Module = TypeVar("_Module", bound=torch.nn.Module)


@dataclass(frozen=True)
class Member:
    """A network with the names of its columns."""

    manifest: Manifest
    network: Head  # (B, C, H, W) uint8, or (B, F) float32 → (B, n) logits
    device: torch.device
    _least: dict[tuple[int, ...], int] = field(
        default_factory=dict, compare=False
    )  # size of a pass by shape of an image

    @classmethod
    def load(cls, folder: Path, device: str = "auto") -> Member:
        """Load the finished member of a folder to `device`: auto, cpu, cuda, cuda:N or mps.

        Raises:
            UserError: not finished, changed since it was written, or no such device.
        """
        manifest = read_manifest(folder)
        check_files(folder, manifest, (WEIGHTS,))
        target = find_device(device)
        network = build_network(manifest)
        try:
            network.load_state_dict(load_file(folder / WEIGHTS))
        except (SafetensorError, RuntimeError) as error:
            raise UserError(f"{folder / WEIGHTS}: {str(error).splitlines()[0]}; train the member again") from None
        return cls(manifest, prepare_for_scoring(network, target), target)

    @property
    def name(self) -> str:
        """The member's name."""
        return self.manifest.name

    @property
    def nodes(self) -> tuple[str, ...]:
        """Columns of the logits, by name."""
        return self.manifest.nodes

    @property
    def channels(self) -> tuple[str, ...]:
        """Axis C of the images, or axis F of the vectors, by name."""
        return self.manifest.channels

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return self.manifest.image_size

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Score images, or vectors; a sample's row does not depend on the other samples.

        Args:
            images: (B, C, S, S) uint8, axis C as `channels`, S as `size`; for a member of vectors, (B, F) float32.

        Returns:
            (B, n) float32, columns as `nodes`.

        Raises:
            UserError: another shape or type.
        """
        check_samples(self.manifest, images)
        return self.compute(images)

    def compute(self, images: np.ndarray) -> np.ndarray:
        """Score images of any side that the network takes, (B, C, T, T), or vectors (B, F)."""
        few = images.ndim == 4 and len(images) <= _FEW and self.device.type == "cpu" and WEIGHTS in self.manifest.files
        return self._score(images, self._find_least(images.shape[1:]) if few else COMPUTE_BATCH)

    def _find_least(self, shape: tuple[int, ...]) -> int:
        """Return the smallest size of a pass of images (C, T, T) that gives the same bits as COMPUTE_BATCH."""
        if shape not in self._least:
            one = self.manifest
            about = " ".join((one.files[WEIGHTS], one.backbone, one.head, json.dumps(one.settings, sort_keys=True)))
            self._least[shape] = find_least(lambda some: self._score(some, len(some)), (COMPUTE_BATCH, *shape), about)
        return self._least[shape]

    def _score(self, images: np.ndarray, size: int) -> np.ndarray:
        return score(self.network, images, len(self.nodes), self.device, size)


def prepare_for_scoring(network: _Module, device: torch.device) -> _Module:
    """Put a network on a device for scoring."""
    return network.eval().to(device).to(memory_format=torch.channels_last)


def score(
    network: Callable[[torch.Tensor], torch.Tensor],
    images: np.ndarray,
    columns: int,
    device: torch.device,
    size: int = COMPUTE_BATCH,
) -> np.ndarray:
    """Return (B, columns) float32 logits of (B, C, S, S) uint8 images or (B, F) float32 vectors.

    They are computed in passes of `size`. `network` may be a part of one, as its `features`.
    """
    logits = np.empty((len(images), columns), np.float32)
    buffer = torch.zeros((size, *images.shape[1:]), dtype=torch.uint8 if images.ndim == 4 else torch.float32)
    if images.ndim == 4:
        buffer = buffer.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        for first in range(0, len(images), size):
            part = images[first : first + size]
            buffer[: len(part)] = torch.from_numpy(np.ascontiguousarray(part))
            buffer[len(part) :] = 0
            logits[first : first + len(part)] = network(buffer.to(device))[: len(part)].cpu().numpy()
    return logits


def score_rows(
    network: Callable[[torch.Tensor], torch.Tensor],
    read: Callable[[np.ndarray], np.ndarray],
    rows: np.ndarray,
    out: np.ndarray,
    device: torch.device,
) -> np.ndarray:
    """Score rows (B,) of a pack as `score` does, into `out` (B, columns) float32; only some are in memory at a time."""
    for first in range(0, len(rows), _READ_AT_ONCE):
        samples = read(rows[first : first + _READ_AT_ONCE])
        out[first : first + len(samples)] = score(network, samples, out.shape[1], device)
    return out
