"""What every member can do, whatever it is made of."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from hpa_hier.data.pack.pack_file import VECTORS
from hpa_hier.errors import UserError
from hpa_hier.runs.manifest import Manifest


class Scorer(Protocol):
    """A member that can score samples."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """What it answers for: the columns of the logits."""

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Return (B, n) logits of (B, C, S, S) images, or of (B, F) vectors, the same for one in any batch."""


def check_samples(manifest: Manifest, samples: np.ndarray) -> None:
    """Refuse samples that are not what a member of networks scores.

    Args:
        manifest: of the member.
        samples: (B, C, S, S) uint8 images, or (B, F) float32 vectors.

    Raises:
        UserError: another shape or type.
    """
    vectors, C, S = manifest.kind == VECTORS, len(manifest.channels), manifest.image_size
    wanted = (C,) if vectors else (C, S, S)
    kind, dtype = ("float32 vectors", "float32") if vectors else ("uint8 images", "uint8")
    if samples.ndim != len(wanted) + 1 or samples.shape[1:] != wanted or samples.dtype != dtype:
        raise UserError(
            f"member '{manifest.name}' scores {kind} of shape (B, {', '.join(map(str, wanted))}), "
            f"got {samples.dtype} of shape {samples.shape}"
        )
