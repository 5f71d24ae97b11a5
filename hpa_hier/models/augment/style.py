"""Style: an image takes on how light is spread in other pictures, whose labels nobody needs to know.

Two changes, each mixed in by a strength between 0 and 1, in one channel at a time: the amplitudes of low frequencies
become those of a picture, phases stay; and brightness levels become those of a picture, the order of pixels stays.

Sources: Yang & Soatto, FDA, CVPR 2020; Xu et al., A Fourier-based framework for domain generalization, CVPR 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

import cv2
import numpy as np
from numpy.random import Generator

from hpa_hier.settings.training import AugmentSettings

_LEVELS = 256
_UNCHANGED = -1  # the picture of a channel that is left as it is
_TINY = 1e-6  # an amplitude that is none


@dataclass(frozen=True)
class Band:
    """The Fourier transform of planes of one side, at its low frequencies alone; exact, by two small products."""

    side: int  # S, pixels
    highest: int  # K, the highest frequency along either axis, in periods a side; below S / 2

    @classmethod
    def from_share(cls, side: int, share: float) -> Self:
        """Return the band below a share of the highest frequency that the side can have."""
        return cls(side, min(round(share * side / 2), (side - 1) // 2))

    @cached_property
    def _waves(self) -> np.ndarray:
        """(K + 1, S) complex64, the half of the frequencies that real planes have."""
        turns = np.outer(np.arange(self.highest + 1), np.arange(self.side)) / self.side
        return np.asarray(np.exp(-2j * np.pi * turns), np.complex64)

    @cached_property
    def _both_ways(self) -> np.ndarray:
        """(2 K + 1, S) complex64, frequencies 0 to K and -K to -1."""
        return np.concatenate([self._waves, self._waves[:0:-1].conj()])

    @cached_property
    def _back(self) -> np.ndarray:
        """(2 (K + 1), S) float32, from real and imaginary parts to pixels; other halves are counted here."""
        twice = np.where(np.arange(self.highest + 1) == 0, 1, 2)[:, None] / self.side**2
        return np.concatenate([self._waves.real * twice, self._waves.imag * twice]).astype(np.float32)

    def transform(self, planes: np.ndarray) -> np.ndarray:
        """Return the transforms, (n, 2 K + 1, K + 1) complex64, of planes (n, S, S) float32.

        >>> planes = np.random.default_rng(0).random((1, 8, 8), np.float32)
        >>> bool(np.allclose(Band(8, 2).transform(planes)[0, :3], np.fft.rfft2(planes)[0, :3, :3], atol=1e-4))
        True
        """
        across = planes @ np.concatenate([self._waves.real, self._waves.imag]).T
        half = self.highest + 1
        return np.asarray(self._both_ways @ (across[..., :half] + 1j * across[..., half:]))

    def invert(self, transforms: np.ndarray) -> np.ndarray:
        """Return planes (n, S, S) float32 that have these transforms, and nothing outside of the band.

        >>> planes = np.full((1, 4, 4), 3, np.float32)
        >>> Band(4, 1).invert(Band(4, 1).transform(planes))[0, 0].round(3).tolist()
        [3.0, 3.0, 3.0, 3.0]
        """
        along = self._both_ways.conj().T @ transforms
        return np.asarray(np.concatenate([along.real, along.imag], axis=-1) @ self._back)


class Look(NamedTuple):
    """What P pictures of one channel look like."""

    amplitudes: np.ndarray  # (P, 2 K + 1, K + 1) float32, of the band's frequencies
    levels: np.ndarray  # (P, 256) float32 in 0..255, brightness at equally many pixels, rising


def look_of(planes: np.ndarray, band: Band) -> Look:
    """Return what planes (P, S, S) uint8 of one channel look like."""
    amplitudes = np.abs(band.transform(planes.astype(np.float32)))
    shares = (np.arange(_LEVELS) + 0.5) / _LEVELS
    levels = np.quantile(planes.reshape(len(planes), planes.shape[1] ** 2), shares, axis=1).T if len(planes) else ()
    return Look(amplitudes, np.asarray(levels, np.float32).reshape(len(planes), _LEVELS))


@dataclass(frozen=True)
class Styles:
    """What pictures look like, channel by channel."""

    band: Band
    looks: tuple[Look, ...]  # of the C channels of the images that are to change

    @property
    def counts(self) -> tuple[int, ...]:
        """Pictures of each channel, C numbers."""
        return tuple(len(look.levels) for look in self.looks)


class StyleDraws(NamedTuple):
    """What was drawn for B images."""

    pictures: np.ndarray  # (B, C) int64, whose look each channel takes on; -1 where it stays as it is
    amplitude: np.ndarray  # (B, C) float32 in [0, 1], the share of that picture's amplitudes
    histogram: np.ndarray  # (B, C) float32 in [0, 1], the share of its brightness levels

    def rows(self, which: slice) -> StyleDraws:
        """Return the draws of some of the images."""
        return StyleDraws(*(values[which] for values in self))


def draw_styles(
    settings: AugmentSettings,
    count: int,
    pictures: Sequence[int],
    generator: Generator,
    varied: np.ndarray | None = None,
) -> StyleDraws:
    """Draw which images take on a style, which pictures' and how much of it.

    Args:
        settings: the share of images, and the largest strengths.
        count: B.
        pictures: C numbers of pictures of each channel; a channel without any is never changed.
        generator: numpy's.
        varied: (B,) bool, images that may be changed; None: all.
    """
    shape, most = (count, len(pictures)), np.asarray(pictures)
    chosen = generator.random(count) < settings.style_share
    if varied is not None:
        chosen &= varied
    picture = np.floor(generator.random(shape) * most).astype(np.int64)
    strengths = generator.random((2, *shape), np.float32)
    return StyleDraws(
        np.where(chosen[:, None] & (most > 0), picture, _UNCHANGED),
        strengths[0] * np.float32(settings.style_amplitude),
        strengths[1] * np.float32(settings.style_histogram),
    )


def apply_styles(images: np.ndarray, draws: StyleDraws, styles: Styles) -> None:
    """Change images (B, C, S, S) uint8 in place, as was drawn; a channel of zeros, as a missing one, stays that.

    >>> planes = np.array([[[0, 0], [0, 200]]], np.uint8)
    >>> styles = Styles(Band(2, 0), (look_of(np.array([[[10, 20], [30, 40]]], np.uint8), Band(2, 0)),))
    >>> image = planes[None].copy()
    >>> apply_styles(image, StyleDraws(np.zeros((1, 1), int), np.zeros((1, 1)), np.ones((1, 1))), styles)
    >>> image.ravel().tolist()
    [21, 21, 21, 39]
    """
    for channel, look in enumerate(styles.looks):
        rows = np.flatnonzero(draws.pictures[:, channel] != _UNCHANGED)
        rows = rows[images[rows, channel].any(axis=(1, 2))]
        if not len(rows):
            continue
        picture = draws.pictures[rows, channel]
        amplitude, histogram = draws.amplitude[rows, channel], draws.histogram[rows, channel]
        if amplitude.any():
            images[rows, channel] = mix_amplitudes(
                images[rows, channel], look.amplitudes[picture], amplitude, styles.band
            )
        if histogram.any():
            for row, levels, strength in zip(rows, look.levels[picture], histogram, strict=True):
                cv2.LUT(
                    images[row, channel], match_levels(images[row, channel], levels, strength), images[row, channel]
                )


def mix_amplitudes(planes: np.ndarray, amplitudes: np.ndarray, strength: np.ndarray, band: Band) -> np.ndarray:
    """Mix pictures' amplitudes into planes (n, S, S) uint8, and keep their phases and all above the band.

    `amplitudes` are (n, 2 K + 1, K + 1), `strength` (n,) in [0, 1]; the result is uint8.
    """
    pixels = planes.astype(np.float32)
    found = band.transform(pixels)
    own = np.abs(found)
    change = strength[:, None, None] * (amplitudes - own) / np.maximum(own, _TINY)
    pixels += band.invert(found * change)
    return np.asarray(np.clip(np.rint(pixels), 0, _LEVELS - 1), np.uint8)


def match_levels(plane: np.ndarray, levels: np.ndarray, strength: float) -> np.ndarray:
    """Return what each brightness of a plane (S, S) uint8 becomes, (256,) uint8, rising: histogram matching.

    `levels` are those of a `Look`; a strength of 0 changes nothing, one of 1 gives the plane the picture's histogram.
    """
    own = np.arange(_LEVELS, dtype=np.float32)
    counts = cv2.calcHist([plane], [0], None, [_LEVELS], [0, _LEVELS]).ravel()
    rank = (np.cumsum(counts) - counts / 2) / plane.size  # of the middle one of equally bright pixels
    matched = np.interp(rank * _LEVELS - 0.5, own, levels)
    return np.asarray(np.rint(own + strength * (matched - own)), np.uint8)
