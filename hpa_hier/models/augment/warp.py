"""Augmentation: what varies is drawn in one function and applied in another; geometry never changes colour."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn import functional

_WARP_CHANNELS = 4  # cv2 warps at most four channels at once
_BEND_NODES = 5  # a side; bends are drawn on a grid and smooth between its nodes


@dataclass(frozen=True)
class Ranges:
    """How far each thing may vary."""

    flips_and_quarter_turns: bool
    rotate: float  # degrees either way
    scale: float  # share of the size either way
    shift: float  # share of the side either way
    gain: float  # share of each channel's intensity either way
    drop: tuple[float, ...] = ()  # probability that each channel is all zeros; () for none
    gamma: float = 0.0  # each channel's exponent lies between 1 - gamma and 1 + gamma
    crop: float = 1.0  # least share of the area that a crop keeps; 1 for no crop
    elastic: float = 0.0  # share of the side that bending moves a place at most


@dataclass(frozen=True)
class Draws:
    """What was drawn for B images."""

    matrices: np.ndarray  # (B, 2, 3) float32, from output to input places, in shares of the side about the centre
    gain: np.ndarray  # (B, C) float32 factor on each channel's intensity
    gamma: np.ndarray | None = None  # (B, C) float32 exponent of each channel's intensity
    bends: np.ndarray | None = None  # (B, G, G, 2) float32 moves right and down of output places, shares of the side

    def rows(self, which: slice) -> Draws:
        """Return the draws of some of the images."""
        gamma = None if self.gamma is None else self.gamma[which]
        bends = None if self.bends is None else self.bends[which]
        return Draws(self.matrices[which], self.gain[which], gamma, bends)

    def only(self, varied: np.ndarray) -> Draws:
        """Return draws that leave all but the `varied` (B,) images as they are."""
        return replace(
            self,
            matrices=np.where(varied[:, None, None], self.matrices, np.eye(2, 3, dtype=np.float32)),
            gain=np.where(varied[:, None], self.gain, np.float32(1)),
            gamma=None if self.gamma is None else np.where(varied[:, None], self.gamma, np.float32(1)),
            bends=None if self.bends is None else np.where(varied[:, None, None, None], self.bends, np.float32(0)),
        )


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
    # What follows draws only where it is asked for, so that the stream of numbers stays what it was without it.
    if ranges.crop < 1:
        linear, shifts = _cropped(linear, shifts, ranges.crop, generator)
    matrices = np.concatenate([linear, shifts[:, :, None]], axis=2)
    gamma = bends = None
    if ranges.gamma:
        gamma = (1 + ranges.gamma * (2 * generator.random((count, channels)) - 1)).astype(np.float32)
    if ranges.elastic:
        bends = 2 * generator.random((count, _BEND_NODES, _BEND_NODES, 2), np.float32) - 1
        bends *= np.float32(ranges.elastic)
    return Draws(matrices.astype(np.float32), gain.astype(np.float32), gamma, bends)


def _cropped(
    linear: np.ndarray, shifts: np.ndarray, least: float, generator: Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Narrow moves to a square window, `least` to all of the area, anywhere in the image."""
    area, right, down = generator.random((3, len(linear)))
    side = np.sqrt(least + (1 - least) * area)[:, None]
    return linear * side[:, :, None], shifts + (1 - side) * (np.stack([right, down], axis=1) - 0.5)


def warp(images: np.ndarray, matrices: np.ndarray, out: np.ndarray, bends: np.ndarray | None = None) -> np.ndarray:
    """Move each image by its matrix, all channels alike, in one resampling; mirrored past the border.

    Args:
        images: (B, C, S, S) uint8.
        matrices: (B, 2, 3) as in Draws.
        out: (B, T, T, C) uint8 that is filled; channels last, as convolutions on CPUs want them. T may be another side
            than S: then the same resampling also resizes, which is fair down to about half the side.
        bends: (B, G, G, 2) as in Draws, or None.

    Returns:
        `out`.
    """
    side = out.shape[1]
    moves = _in_pixels(matrices, images.shape[-1], side)
    for index, (image, matrix, target) in enumerate(zip(images, moves, out, strict=True)):
        places = None if bends is None else _bent_places(matrix, bends[index], side)
        for first in range(0, len(image), _WARP_CHANNELS):
            part = cv2.merge(list(image[first : first + _WARP_CHANNELS]))
            if places is None:
                moved = cv2.warpAffine(part, matrix, (side, side), flags=_FLAGS, borderMode=cv2.BORDER_REFLECT)
            else:
                moved = cv2.remap(part, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
            target[..., first : first + _WARP_CHANNELS] = moved.reshape(side, side, -1)
    return out


def _bent_places(matrix: np.ndarray, bend: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the input column and row of each output pixel, (T, T) float32 each: bent first, then moved."""
    moved = cv2.resize(bend, (side, side), interpolation=cv2.INTER_CUBIC) * side
    rows, columns = np.mgrid[:side, :side]
    places = moved + np.stack([columns, rows], axis=2)
    columns, rows = np.moveaxis(places @ matrix[:, :2].T + matrix[:, 2], 2, 0).astype(np.float32)
    return columns, rows


def warp_batch(images: Tensor, matrices: Tensor, bends: Tensor | None = None, side: int | None = None) -> Tensor:
    """Do what `warp` does for a whole batch on the device that holds it, which is faster on a GPU.

    Args:
        images: (B, C, S, S) uint8 or float.
        matrices: (B, 2, 3) as in Draws.
        bends: (B, G, G, 2) as in Draws, or None.
        side: T; None for S.

    Returns:
        (B, C, T, T) float32 in 0..255.
    """
    # Places of affine_grid run from -1 to 1 over the side, ours from -1/2 to 1/2: shifts count double.
    theta = matrices * matrices.new_tensor([1.0, 1.0, 2.0])
    side = side or images.shape[-1]
    grid = functional.affine_grid(theta, [*images.shape[:2], side, side], align_corners=False)
    if bends is not None:
        moved = functional.interpolate(bends.permute(0, 3, 1, 2), (side, side), mode="bicubic", align_corners=False)
        grid = grid + 2 * torch.einsum("bij,bjhw->bhwi", matrices[:, :, :2], moved)
    return functional.grid_sample(images.float(), grid, padding_mode="reflection", align_corners=False)


def apply_gamma(images: Tensor, gamma: Tensor) -> Tensor:
    """Raise each channel of images (B, C, S, S) in 0..255 to its exponent (B, C); black and white stay what they are.

    >>> apply_gamma(torch.tensor([[[[0, 51, 255]]]], dtype=torch.uint8), torch.tensor([[2.0]])).flatten()
    tensor([  0.0000,  10.2000, 255.0000])
    """
    return 255 * (images / 255) ** gamma[:, :, None, None]


def _in_pixels(matrices: np.ndarray, side: int, out_side: int) -> np.ndarray:
    """Turn matrices about the centre, in shares of the side, into cv2's, in pixels from the first pixel's centre."""
    linear = matrices[:, :, :2].astype(np.float64) * (side / out_side)
    offset = matrices[:, :, 2] * side + (side - 1) / 2 - linear.sum(axis=2) * ((out_side - 1) / 2)
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
