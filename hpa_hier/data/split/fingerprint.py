"""Fingerprints: 64 bits of an image's coarse structure, which a near-duplicate shares and another image does not."""

from __future__ import annotations

import cv2
import numpy as np

BITS = 64
_SIDE = 32  # pixels of the thumbnail
_FREQUENCIES = 8  # of each axis, from 1: the constant ones would only say how bright a half is
TURNS = 8  # ways to turn and flip a square; the first leaves it alone


def thumbnails(images: np.ndarray) -> np.ndarray:
    """Return (B, 32, 32) float32 that fingerprints are taken from: all channels, each standardised, in one small image.

    Of images (B, C, S, S) uint8; a channel without contrast, as a missing one, adds nothing; without any, all is 0.
    """
    small = np.empty((len(images), _SIDE, _SIDE), np.float32)
    for image, out in zip(images, small, strict=True):
        planes = [cv2.resize(plane, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA) for plane in image]
        stack = np.stack(planes).astype(np.float32)
        stack -= stack.mean(axis=(1, 2), keepdims=True)
        spread = stack.std(axis=(1, 2), keepdims=True)
        out[...] = (stack / np.where(spread > 0, spread, 1.0)).sum(axis=0)
    return small


def fingerprints(small: np.ndarray) -> np.ndarray:
    """Return the signs of the 8 × 8 lowest cosine frequencies of thumbnails (B, 32, 32), as (B,) uint64.

    Source: perceptual hash by the discrete cosine transform, Zauner 2010, here with signs instead of a comparison with
    the median, so that turning an image turns its bits.
    """
    place = (np.arange(_SIDE) + 0.5) * np.pi / _SIDE
    waves = np.cos(np.outer(np.arange(1, _FREQUENCIES + 1), place)).astype(np.float32)
    return _pack_bits((waves @ small @ waves.T) > 0)


def turn_codes(codes: np.ndarray) -> np.ndarray:
    """Return (8, B) uint64, the fingerprints of images turned and flipped in each of the eight ways; first `codes`."""
    bits = np.unpackbits(codes.view(np.uint8).reshape(-1, 8), axis=1).astype(bool).reshape(-1, 8, 8)
    odd = np.arange(1, _FREQUENCIES + 1) % 2 == 1  # a flip changes the sign of the odd frequencies along it
    rows, columns = np.broadcast_to(odd[:, None], (8, 8)), np.broadcast_to(odd[None, :], (8, 8))
    none = np.zeros((8, 8), bool)
    either = (bits, bits.transpose(0, 2, 1))
    return np.stack([_pack_bits(one ^ mask) for one in either for mask in (none, rows, columns, rows ^ columns)])


def turn_images(images: np.ndarray, turn: int) -> np.ndarray:
    """Return (…, S, S) images turned in one of the eight ways, in the order of `turn_codes`.

    >>> turn_images(np.array([[1, 2], [3, 4]]), 4)
    array([[1, 3],
           [2, 4]])
    """
    one = images.swapaxes(-1, -2) if turn >= 4 else images
    one = one[..., ::-1, :] if turn % 4 in (1, 3) else one
    return one[..., :, ::-1] if turn % 4 in (2, 3) else one


def likeness(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the correlation (P,) float32 of P pairs of thumbnails (P, 32, 32); 0 where one of them has no contrast.

    >>> one = np.eye(32, dtype=np.float32)[None]
    >>> likeness(one, 3 * one + 1).round(3)
    array([1.], dtype=float32)
    """
    sides = [side.reshape(len(side), -1) - side.mean(axis=(1, 2))[:, None] for side in (one, other)]
    size = np.linalg.norm(sides[0], axis=1) * np.linalg.norm(sides[1], axis=1)
    return np.asarray((sides[0] * sides[1]).sum(axis=1) / np.where(size > 0, size, 1.0))


def _pack_bits(bits: np.ndarray) -> np.ndarray:
    return np.packbits(bits.reshape(-1, BITS), axis=1).view(np.uint64).ravel()
