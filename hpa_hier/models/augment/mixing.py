"""Mixing: two images become one, and so do their labels; drawn in one function and applied in others."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.random import Generator

from hpa_hier.settings.training import AugmentSettings

_ALONE = -1  # the partner of an image that is not mixed


class Targets(NamedTuple):
    """What is learnt of some samples."""

    present: np.ndarray  # (B, n) float32 in {0, 1}; of mixed images, between them
    known: np.ndarray  # (B, n) float32 in {0, 1}


class Mixes(NamedTuple):
    """What was drawn for B images."""

    kind: str
    partners: np.ndarray  # (B,) int64 place of the other image in the part; -1 where the image stays alone
    own: np.ndarray  # (B,) float64 the image's own share in the mixed one
    corners: np.ndarray  # (B, 2) int64 first row and column of the patch that cutmix takes from the partner, pixels
    sides: np.ndarray  # (B,) int64 side of that patch, pixels

    def rows(self, which: slice) -> Mixes:
        """Return the draws of some of the images."""
        return Mixes(self.kind, *(values[which] for values in self[1:]))

    @property
    def mixed(self) -> np.ndarray:
        """Indices of the images that have a partner."""
        return np.flatnonzero(self.partners != _ALONE)


def draw_mixes(
    settings: AugmentSettings,
    places: np.ndarray,
    eligible: np.ndarray,
    side: int,
    generator: Generator,
    chances: np.ndarray | None = None,
) -> Mixes:
    """Draw who is mixed with whom, and by how much.

    Args:
        settings: kind of mixing, other than none, and its shares.
        places: (B,) int, the images' places in the part, of a whole epoch.
        eligible: (part,) bool, which images of the part may be mixed, on either side.
        side: pixels, of the images.
        generator: numpy's.
        chances: (part,) of each image to be the partner, where only an image's additional copies are to be mixed; None:
            all alike.
    """
    kind, count = settings.mixing, len(places)
    chosen = (generator.random(count) < settings.mixing_share) & eligible[places]
    if chances is not None:  # each image is there once as it is, so that a plan's bounds hold
        once = np.zeros(count, bool)
        once[np.unique(places, return_index=True)[1]] = True
        chosen &= ~once
    candidates = np.flatnonzero(eligible if chances is None else eligible & (chances > 0))
    if chances is None:
        first = generator.integers(0, max(len(candidates), 1), count)
    else:
        reached = np.cumsum(chances[candidates])
        first = np.searchsorted(reached, generator.random(count) * reached[-1:].sum(), side="right")
    alpha = settings.mixing_alpha
    own = np.full(count, 0.5) if kind == "union_mean" else generator.beta(alpha, alpha, count)
    where = generator.random((count, 2))
    if len(candidates) < 2:
        chosen[:] = False
        candidates = np.zeros(2, np.int64)
    # No image is mixed with itself: the next candidate takes that place.
    partners = candidates[first % len(candidates)]
    partners = np.where(partners == places, candidates[(first + 1) % len(candidates)], partners)
    sides = np.rint(np.sqrt(1 - own) * side).astype(np.int64)
    corners = np.floor(where * (side - sides + 1)[:, None]).astype(np.int64)
    if kind == "cutmix":
        own = 1 - (sides / side) ** 2  # of whole pixels, so that labels follow the true area
    return Mixes(kind, np.where(chosen, partners, _ALONE), own, corners, sides)


def mix_images(images: np.ndarray, others: np.ndarray, mixes: Mixes) -> None:
    """Mix images with their partners, all channels alike, in place.

    `images` (B, C, S, S) uint8 are changed at `mixes.mixed`; `others` (M, C, S, S) are the partners in that order.

    >>> image, other = np.full((1, 1, 1, 1), 100, np.uint8), np.full((1, 1, 1, 1), 60, np.uint8)
    >>> mixes = Mixes("mixup", np.array([1]), np.array([0.75]), np.zeros((1, 2), int), np.zeros(1, int))
    >>> mix_images(image, other, mixes)
    >>> image.ravel().tolist()
    [90]
    """
    for index, other in zip(mixes.mixed, others, strict=True):
        if mixes.kind == "cutmix":
            (top, left), side = mixes.corners[index], mixes.sides[index]
            patch = (..., slice(top, top + side), slice(left, left + side))
            images[index][patch] = other[patch]
        else:
            flat, own = images[index].reshape(-1, images.shape[-1]), float(mixes.own[index])
            cv2.addWeighted(flat, own, other.reshape(flat.shape), 1 - own, 0, dst=flat)


def mix_targets(targets: Targets, others: Targets, mixes: Mixes) -> Targets:
    """Mix targets as the images are mixed: by their shares, or for union_mean by the union of the labels.

    By shares, what is unknown of one of the two is unknown. Of a union, a label that one of the two carries is known to
    be there whatever is known of the other.

    `others` are the partners' targets, in the order of `mixes.mixed`.

    >>> one, other = (Targets(np.float32([[on, 1 - on]]), np.ones((1, 2), np.float32)) for on in (1, 0))
    >>> half = Mixes("mixup", np.array([1]), np.array([0.75]), np.zeros((1, 2), int), np.zeros(1, int))
    >>> mix_targets(one, other, half).present
    array([[0.75, 0.25]], dtype=float32)
    """
    present, known = targets.present.copy(), targets.known.copy()
    mixed = mixes.mixed
    mine, mine_known = present[mixed], known[mixed]
    if mixes.kind == "union_mean":
        present[mixed] = np.maximum(mine * mine_known, others.present * others.known)
        known[mixed] = np.maximum(mine_known * others.known, present[mixed])
    else:
        own = mixes.own[mixed, None].astype(np.float32)
        present[mixed] = own * mine + (1 - own) * others.present
        known[mixed] = mine_known * others.known
    return Targets(present, known)
