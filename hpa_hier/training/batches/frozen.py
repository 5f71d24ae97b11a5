"""Frozen features: a backbone is run once over a pack, and its features serve all members that start from it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import nn

from hpa_hier.data.pack.pack import ImagePack
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_json, replacing, sha256, text_digest, write_json
from hpa_hier.files.faults.leftovers import sweep
from hpa_hier.members.score import prepare_for_scoring, score_rows
from hpa_hier.models.backbones.create import Backbone
from hpa_hier.models.network import Normalise


def cached_features(
    folder: Path, pack: ImagePack, normalise: Normalise, backbone: Backbone, device: torch.device
) -> np.ndarray:
    """Return a backbone's features of every sample of a pack, computed at most once.

    Args:
        folder: where features are kept; a file's name says which pack, weights and kind of device it belongs to.
        pack: of images, which are not varied.
        normalise: of the images, before the backbone.
        backbone: whose features they are.
        device: where they are computed, if they are not there yet.

    Returns:
        (B, F) float32, a memory map; rows as the pack's.
    """
    path, shape = folder / f"{_digest(pack, normalise, backbone, device)}.npy", (len(pack), backbone.features)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):  # members side by side wait for the first one's features
        sweep(folder, path.stem)
        if not path.exists():
            extract = prepare_for_scoring(nn.Sequential(normalise, backbone.module), device)
            with replacing(path) as temporary:
                array = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
                _allocate(temporary)  # a full disk is an error here, and would end the process in a map
                score_rows(extract, pack.images, np.arange(len(pack)), array, device)
                array.flush()
                del array
                # First, so that no process can be killed between the two and leave features that nothing checks.
                write_json(path.with_suffix(".json"), {"sha256": sha256(temporary)})
    return open_features(path, *shape)


def open_features(path: Path, samples: int, features: int) -> np.ndarray:
    """Open a file of (samples, features) float32 as a memory map.

    Raises:
        UserError: it is damaged, or of another shape.
    """
    beside = path.with_suffix(".json")  # older files have none
    if beside.is_file() and path.is_file() and read_json(beside).get("sha256") != sha256(path):
        raise UserError(f"{path}: does not match the checksum beside it; remove both, and they are made again")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path}: damaged ({error}); remove it, and it is made again") from None
    wanted = (samples, features)
    if array.shape != wanted or array.dtype != np.float32:
        raise UserError(f"{path}: holds {array.shape}, needed is {wanted}; remove it, and it is made again")
    return np.asarray(array)


def _allocate(path: Path) -> None:
    """Have the system reserve the space of a whole file."""
    with path.open("rb+") as handle:
        size = os.fstat(handle.fileno()).st_size
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(handle.fileno(), 0, size)
            return
        header = handle.read(1 << 12)  # as on a Mac: what is written is there
        handle.seek(0)
        for start in range(0, size, 1 << 20):
            handle.write(bytes(min(1 << 20, size - start)))
        handle.seek(0)
        handle.write(header[:size])


def _digest(pack: ImagePack, normalise: Normalise, backbone: Backbone, device: torch.device) -> str:
    """Hash what the features follow from: pixels, normalisation, backbone, and what kind of device computes them."""
    parts = [pack.digest, device.type, type(backbone.module).__qualname__]
    for name, tensor in sorted({**normalise.state_dict(), **backbone.module.state_dict()}.items()):
        content = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        parts += [name, str(tuple(tensor.shape)), text_digest(content.hex())]
    return text_digest(*parts)
