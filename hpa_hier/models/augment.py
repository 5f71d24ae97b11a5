"""Augmentation: what varies is drawn in one function and applied in another; geometry never changes colour."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn import functional

_WARP_CHANNELS = 4  # cv2 warps at most four channels at once


@dataclass(frozen=True)
class Ranges:
    """How far each thing may vary."""

    flips_and_quarter_turns: bool
    rotate: float  # degrees either way
    scale: float  # share of the size either way
    shift: float  # share of the side either way
    gain: float  # share of each channel's intensity either way
    drop: tuple[float, ...] = ()  # probability that each channel is all zeros; () for none


@dataclass(frozen=True)
class Draws:
    """What was drawn for B images."""

    matrices: np.ndarray  # (B, 2, 3) float32, from output to input places, in shares of the side about the centre
    gain: np.ndarray  # (B, C) float32 factor on each channel's intensity

    def rows(self, which: slice) -> Draws:
        """Return the draws of some of the images."""
        return Draws(self.matrices[which], self.gain[which])


def draw(ranges: Ranges, count: int, channels: int, generator: Generator) -> Draws:
    """Draw the variation of `count` images with `channels` channels."""
    turn, flip, rotate, scale, right, down = generator.random((6, count))
    gain = 1 + ranges.gain * (2 * generator.random((count, channels)) - 1)
    if any(ranges.drop):  # a gain of nothing makes a channel what a missing one is filled with
        gain *= generator.random((count, channels)) >= np.asarray(ranges.drop)
    angle = np.radians(ranges.rotate) * (2 * rotate - 1)
    factor = 1 / (1 + ranges.scale * (2 * scale - 1))
    shifts = ranges.shift * (2 * np.stack([right, down], axis=1) - 1)
    cosine, sine = np.cos(angle) * factor, np.sin(angle) * factor
    linear = np.stack([np.stack([cosine, -sine], axis=1), np.stack([sine, cosine], axis=1)], axis=1)
    if ranges.flips_and_quarter_turns:
        linear = _SYMMETRIES[(turn * 4).astype(int) * 2 + (flip * 2).astype(int)] @ linear
    matrices = np.concatenate([linear, shifts[:, :, None]], axis=2)
    return Draws(matrices.astype(np.float32), gain.astype(np.float32))


def warp(images: np.ndarray, matrices: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Move each image by its matrix, all channels alike, in one resampling; mirrored past the border.

    Args:
        images: (B, C, S, S) uint8.
        matrices: (B, 2, 3) as in Draws.
        out: (B, S, S, C) uint8 that is filled; channels last, as convolutions on CPUs want them.

    Returns:
        `out`.
    """
    side = images.shape[-1]
    for image, matrix, target in zip(images, _in_pixels(matrices, side), out, strict=True):
        for first in range(0, len(image), _WARP_CHANNELS):
            part = cv2.merge(list(image[first : first + _WARP_CHANNELS]))
            moved = cv2.warpAffine(part, matrix, (side, side), flags=_FLAGS, borderMode=cv2.BORDER_REFLECT)
            target[..., first : first + _WARP_CHANNELS] = moved.reshape(side, side, -1)
    return out


def warp_batch(images: Tensor, matrices: Tensor) -> Tensor:
    """Do what `warp` does for a whole batch on the device that holds it, which is faster on a GPU.

    Args:
        images: (B, C, S, S) uint8 or float.
        matrices: (B, 2, 3) as in Draws.

    Returns:
        (B, C, S, S) float32 in 0..255.
    """
    # Places of affine_grid run from -1 to 1 over the side, ours from -1/2 to 1/2: shifts count double.
    theta = matrices * matrices.new_tensor([1.0, 1.0, 2.0])
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(images.float(), grid, padding_mode="reflection", align_corners=False)


def _in_pixels(matrices: np.ndarray, side: int) -> np.ndarray:
    """Turn matrices about the centre, in shares of the side, into cv2's, in pixels from the first pixel's centre."""
    middle = (side - 1) / 2
    linear = matrices[:, :, :2].astype(np.float64)
    offset = matrices[:, :, 2] * side + middle - linear.sum(axis=2) * middle
    return np.concatenate([linear, offset[:, :, None]], axis=2)


def _symmetries() -> np.ndarray:
    """Return the eight symmetries of the square, (8, 2, 2): four quarter turns, each plain and flipped."""
    quarter = np.array([[0.0, -1.0], [1.0, 0.0]])
    flip = np.diag([-1.0, 1.0])
    return np.stack([np.linalg.matrix_power(quarter, turn) @ extra for turn in range(4) for extra in (np.eye(2), flip)])


_SYMMETRIES = _symmetries()
_FLAGS = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP


def to_tensor(buffer: np.ndarray) -> Tensor:
    """Show a (B, S, S, C) buffer as a (B, C, S, S) tensor in channels-last order, without a copy."""
    return torch.from_numpy(buffer).permute(0, 3, 1, 2)
