"""Passes: with how few images a pass through a network gives each the same bits as with many, tried once here."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import torch

from hpa_hier import __version__
from hpa_hier.members.engines.cache import can_keep, keep
from hpa_hier.places.processor import describe_processor

_SIZES = (4, 8, 16)  # images; passes of one or two save little more, and few networks round alike in them
_LIBRARIES = ("ONEDNN_", "DNNL_", "MKL_", "ATEN_", "TORCH_")  # variables that change which kernels they choose


def find_least(compute: Callable[[np.ndarray], np.ndarray], shape: tuple[int, ...], about: str) -> int:
    """Return the smallest size of a pass that gives each image the same logits, to the bit, as the usual one.

    Libraries choose kernels by the shape of a pass, and these add in other orders. Which shapes get the same ones
    depends on the network, the processor, the versions and the number of threads, so nothing is assumed: passes of
    noise are compared, once for all of these, and the result is kept; where none can be, passes are the usual ones.

    Args:
        compute: one pass on the processor, (n, C, S, S) uint8 → (n, N).
        shape: (B, C, S, S) of the usual pass.
        about: all that the network is, its weights included.
    """

    def compare() -> bytes:
        images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        whole = compute(images)
        same = (size for size in _SIZES if np.array_equal(compute(images[:size]), whole[:size]))
        return str(next(same, len(images))).encode()

    if not can_keep():
        return shape[0]
    asked = sorted(f"{name}={value}" for name, value in os.environ.items() if name.startswith(_LIBRARIES))
    library = (torch.__version__, torch.backends.cpu.get_cpu_capability(), str(torch.get_num_threads()))
    return int(keep("pass", (about, str(shape), *library, describe_processor(), *asked, __version__), compare))
