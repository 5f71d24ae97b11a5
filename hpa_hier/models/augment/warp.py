"""Augmentation: what varies is drawn in one function and applied in another; geometry never changes colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn import functional

from hpa_hier.settings.training import AugmentSettings

_WARP_CHANNELS = 4  # cv2 warps at most four channels at once
_BEND_NODES = 5  # a side; bends are drawn on a grid and smooth between its nodes


class Draws(NamedTuple):
    """What was drawn for B images; None where nothing of it is varied, or it has been applied."""

    matrices: Tensor | None = None  # (B, 2, 3) from output to input places, in shares of the side about the centre
    gain: Tensor | None = None  # (B, C) factor on each channel's intensity
    gamma: Tensor | None = None  # (B, C) exponent of each channel's intensity
    bends: Tensor | None = None  # (B, G, G, 2) moves right and down of output places, shares of the side

    def rows(self, which: slice) -> Draws:
        """Return the draws of some of the images."""
        return Draws(*(None if values is None else values[which] for values in self))

    def vary_only(self, varied: np.ndarray) -> Draws:
        """Return draws that leave all but the `varied` (B,) images as they are."""
        chosen = torch.from_numpy(varied)

        def vary(values: Tensor | None, still: Tensor) -> Tensor | None:
            return None if values is None else torch.where(chosen.reshape(-1, *[1] * (values.ndim - 1)), values, still)

        return Draws(*map(vary, self, _STILL))


def draw(settings: AugmentSettings, count: int, channels: Sequence[str], generator: Generator) -> Draws:
    """Draw the variation of `count` images with these channels, float32.

    >>> still = AugmentSettings(flips_and_quarter_turns=False, rotate=0, scale=0, shift=0, gain=0)
    >>> draw(still, 1, ("green",), np.random.default_rng(0)).gain
    tensor([[1.]])
    """
    turn, flip, rotate, scale, right, down = generator.random((6, count))
    shape = (count, len(channels))
    gain = 1 + settings.gain * (2 * generator.random(shape) - 1)
    dropped: dict[str, float] = {str(channel): share for channel, share in settings.drop_channels.items()}
    if any(drop := [dropped.get(channel, 0.0) for channel in channels]):
        gain *= generator.random(shape) >= np.asarray(drop)  # a gain of nothing fills a channel as a missing one is
    angle = np.radians(settings.rotate) * (2 * rotate - 1)
    factor = 1 / (1 + settings.scale * (2 * scale - 1))
    shifts = settings.shift * (2 * np.stack([right, down], axis=1) - 1)
    cosine, sine = np.cos(angle) * factor, np.sin(angle) * factor
    linear = np.stack([np.stack([cosine, -sine], axis=1), np.stack([sine, cosine], axis=1)], axis=1)
    if settings.flips_and_quarter_turns:
        linear = _SYMMETRIES[(turn * 4).astype(int) * 2 + (flip * 2).astype(int)] @ linear
    # What follows draws only where it is asked for, so that the stream of numbers stays what it was without it.
    if settings.crop < 1:  # a square window, `crop` to all of the area, anywhere in the image
        area, right, down = generator.random((3, count))
        window = np.sqrt(settings.crop + (1 - settings.crop) * area)[:, None]
        linear = linear * window[:, :, None]
        shifts = shifts + (1 - window) * (np.stack([right, down], axis=1) - 0.5)
    matrices = np.concatenate([linear, shifts[:, :, None]], axis=2)
    gamma = bends = None
    if settings.gamma:
        gamma = 1 + settings.gamma * (2 * generator.random(shape) - 1)
    if settings.elastic:
        bends = 2 * generator.random((count, _BEND_NODES, _BEND_NODES, 2), np.float32) - 1
        bends *= np.float32(settings.elastic)
    drawn = (matrices, gain, gamma, bends)
    return Draws(*(None if values is None else torch.from_numpy(values.astype(np.float32)) for values in drawn))


def warp(images: np.ndarray, draws: Draws, out: np.ndarray) -> Draws:
    """Move each image, all channels alike, in one resampling; return what is left of the draws to be applied.

    Args:
        images: (B, C, S, S) uint8, mirrored past the border.
        draws: of these images, with matrices.
        out: (B, T, T, C) uint8 that is filled; channels last, as convolutions on CPUs want them. T may be another side
            than S: then the same resampling also resizes, which is fair down to about half the side.

    >>> image, moved = np.array([[[[1, 2], [3, 4]]]], np.uint8), np.empty((1, 2, 2, 1), np.uint8)
    >>> mirror = Draws(torch.tensor([[[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]), gain=torch.ones(1, 1))
    >>> warp(image, mirror, moved)
    Draws(matrices=None, gain=tensor([[1.]]), gamma=None, bends=None)
    >>> moved[0, :, :, 0].tolist()
    [[2, 1], [4, 3]]
    """
    assert draws.matrices is not None
    side = out.shape[1]
    moves = _in_pixels(draws.matrices.numpy(), images.shape[-1], side)
    for index, (image, matrix, target) in enumerate(zip(images, moves, out, strict=True)):
        places = None if draws.bends is None else _bent_places(matrix, draws.bends[index].numpy(), side)
        for first in range(0, len(image), _WARP_CHANNELS):
            part = cv2.merge(list(image[first : first + _WARP_CHANNELS]))
            if places is None:
                moved = cv2.warpAffine(part, matrix, (side, side), flags=_FLAGS, borderMode=cv2.BORDER_REFLECT)
            else:
                moved = cv2.remap(part, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
            target[..., first : first + _WARP_CHANNELS] = moved.reshape(side, side, -1)
    return draws._replace(matrices=None, bends=None)


def _bent_places(matrix: np.ndarray, bend: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the input column and row of each output pixel, (T, T) float32 each: bent first, then moved."""
    moved = cv2.resize(bend, (side, side), interpolation=cv2.INTER_CUBIC) * side
    rows, columns = np.mgrid[:side, :side]
    places = moved + np.stack([columns, rows], axis=2)
    columns, rows = np.moveaxis(places @ matrix[:, :2].T + matrix[:, 2], 2, 0).astype(np.float32)
    return columns, rows


def augment_batch(images: Tensor, draws: Draws, side: int | None = None) -> Tensor:
    """Apply to a batch, on its device, what is left of its draws, but for the gain, which normalising applies.

    `images` are (B, C, S, S) uint8. Where they are moved, they are resized to `side` T; the result is (B, C, T, T) in
    0..255, float32 where they were changed.
    """
    if draws.matrices is not None:
        images = warp_batch(images, draws, side).contiguous(memory_format=torch.channels_last)
    return images if draws.gamma is None else apply_gamma(images, draws.gamma)


def warp_batch(images: Tensor, draws: Draws, side: int | None = None) -> Tensor:
    """Do what `warp` does on the device that holds the batch, which is faster on a GPU.

    `images` are (B, C, S, S), the draws have matrices, and the result is (B, C, T, T) float32 in 0..255, T the `side`.
    """
    assert draws.matrices is not None
    # Places of affine_grid run from -1 to 1 over the side, ours from -1/2 to 1/2: shifts count double.
    theta = draws.matrices * draws.matrices.new_tensor([1.0, 1.0, 2.0])
    side = side or images.shape[-1]
    grid = functional.affine_grid(theta, [*images.shape[:2], side, side], align_corners=False)
    if draws.bends is not None:
        bends = draws.bends.permute(0, 3, 1, 2)
        moved = functional.interpolate(bends, (side, side), mode="bicubic", align_corners=False)
        grid = grid + 2 * torch.einsum("bij,bjhw->bhwi", draws.matrices[:, :, :2], moved)
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


# The eight symmetries of the square, (8, 2, 2): four quarter turns, each plain and flipped.
_QUARTER = np.array([[0.0, -1.0], [1.0, 0.0]])
_SYMMETRIES = np.stack(
    [np.linalg.matrix_power(_QUARTER, turn) @ flip for turn in range(4) for flip in (np.eye(2), np.diag([-1.0, 1.0]))]
)
_STILL = (torch.eye(2, 3), torch.ones(()), torch.ones(()), torch.zeros(()))  # what leaves images as they are
_FLAGS = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP


def to_tensor(buffer: np.ndarray) -> Tensor:
    """Show a (B, S, S, C) buffer as a (B, C, S, S) tensor in channels-last order, without a copy."""
    return torch.from_numpy(buffer).permute(0, 3, 1, 2)
