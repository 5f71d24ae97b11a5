"""Style: an image takes on how light is spread in other pictures, whose labels nobody needs to know.

Two changes, each of one channel and mixed in by a strength between 0 and 1. Its spectrum becomes that of a picture:
amplitudes are multiplied by one factor for all frequencies of one length, phases stay, so that an image gets as soft or
as grainy as the picture is, and no structure of it. Its levels of brightness become those of a picture: the order of
pixels stays. The picture is one of those that are nearest in this respect, since not every look goes with every place.

Sources: Yang & Soatto, FDA, CVPR 2020, and Xu et al., A Fourier-based framework for domain generalization, CVPR 2021,
who mix the amplitude of each frequency; benchmarks/styles.py compares.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np
from numpy.random import Generator
from scipy import fft

from hpa_hier.settings.training import AugmentSettings

_BITS = 4096  # whole numbers that pixels are counted by
_STEPS = 2048  # of levels of brightness, from the darkest to the brightest pixel
_UNCHANGED = -1.0  # where a channel is left as it is
_NEAREST = 0.25  # share of the pictures that a style is drawn from
_LEAST = 1e-3  # power that is none


@dataclass(frozen=True)
class Rings:
    """Frequencies of planes of one side by their length: ring k has those of about k periods a side."""

    side: int  # S, pixels

    @cached_property
    def number(self) -> np.ndarray:
        """(S, S // 2 + 1) the ring of each frequency, 0 to S // 2; the corners are in the last."""
        down, across = fft.fftfreq(self.side, 1 / self.side), fft.rfftfreq(self.side, 1 / self.side)
        return np.asarray(np.minimum(np.rint(np.hypot(down[:, None], across)), self.side // 2), np.intp)

    @cached_property
    def _order(self) -> tuple[np.ndarray, np.ndarray]:
        """Frequencies ring by ring, and where each ring begins."""
        order = np.argsort(self.number, axis=None, kind="stable")
        return order, np.searchsorted(self.number.ravel()[order], np.arange(self.side // 2 + 1))

    def measure(self, transforms: np.ndarray) -> np.ndarray:
        """Return the logarithm of the mean amplitude in each ring, (n, S // 2 + 1) float32.

        `transforms` are (n, S, S // 2 + 1) of planes.
        """
        order, starts = self._order
        power = (transforms.real**2 + transforms.imag**2).reshape(len(transforms), len(order))[:, order]
        mean = np.add.reduceat(power, starts, axis=1) / np.diff(starts, append=len(order))
        return np.asarray(np.log(mean + _LEAST) / 2, np.float32)


class Look(NamedTuple):
    """What P pictures of one channel look like."""

    spectra: np.ndarray  # (P, S // 2 + 1) float32, as `Rings.measure` returns them
    levels: np.ndarray  # (P, 2049) float32 in 0..255, brightness from the darkest to the brightest pixel, evenly spaced


def look_of(planes: np.ndarray, rings: Rings) -> Look:
    """Return what planes (P, S, S) uint8 of one channel look like."""
    levels = [levels_of(plane) for plane in planes]
    shape = (len(planes), _STEPS + 1)
    return Look(rings.measure(_transform(planes)), np.asarray(levels, np.float32).reshape(shape))


def levels_of(plane: np.ndarray) -> np.ndarray:
    """Return the levels of brightness of a plane (S, S) uint8, (2049,) float32, rising.

    >>> levels_of(np.array([[0, 0], [10, 200]], np.uint8))[[0, 1024, 2048]].tolist()
    [0.0, 10.0, 200.0]
    """
    reached = np.cumsum(cv2.calcHist([plane], [0], None, [256], [0, 256]).ravel())
    places = np.arange(_STEPS + 1) * ((plane.size - 1) / _STEPS)
    return np.asarray(np.searchsorted(reached, np.rint(places), side="right"), np.float32)


@dataclass(frozen=True)
class Styles:
    """What pictures look like, channel by channel."""

    rings: Rings
    looks: tuple[Look, ...]  # of the C channels of the images that are to change

    @property
    def counts(self) -> tuple[int, ...]:
        """Pictures of each channel, C numbers."""
        return tuple(len(look.levels) for look in self.looks)


class StyleDraws(NamedTuple):
    """What was drawn for B images."""

    picture: np.ndarray  # (B, C) float64 in [0, 1), which of the nearest pictures; -1 where a channel stays as it is
    spectrum: np.ndarray  # (B, C) float32 in [0, 1], the share of that picture's spectrum
    histogram: np.ndarray  # (B, C) float32 in [0, 1], the share of its levels of brightness

    def rows(self, which: slice) -> StyleDraws:
        """Return the draws of some of the images."""
        return StyleDraws(*(values[which] for values in self))


def draw_styles(
    settings: AugmentSettings, count: int, channels: int, generator: Generator, varied: np.ndarray | None = None
) -> StyleDraws:
    """Draw which images take on a style, and how much of it.

    Args:
        settings: the share of images, and the largest strengths.
        count: B.
        channels: C.
        generator: numpy's.
        varied: (B,) bool, images that may be changed; None: all.
    """
    chosen = generator.random(count) < settings.style_share
    if varied is not None:
        chosen &= varied
    picture = generator.random((count, channels))
    strengths = generator.random((2, count, channels), np.float32)
    return StyleDraws(
        np.where(chosen[:, None], picture, _UNCHANGED),
        strengths[0] * np.float32(settings.style_spectrum),
        strengths[1] * np.float32(settings.style_histogram),
    )


def apply_styles(images: np.ndarray, draws: StyleDraws, styles: Styles) -> None:
    """Change images (B, C, S, S) uint8 in place, as was drawn.

    A channel that is all zeros, as a missing one, stays that, and one that no picture has stays as it is.

    >>> rings = Rings(2)
    >>> styles = Styles(rings, (look_of(np.array([[[10, 20], [30, 40]]], np.uint8), rings),))
    >>> image = np.array([[[[0, 3], [9, 200]]]], np.uint8)
    >>> apply_styles(image, StyleDraws(np.zeros((1, 1)), np.zeros((1, 1)), np.ones((1, 1))), styles)
    >>> image.ravel().tolist()
    [10, 20, 30, 40]
    """
    for channel, look in enumerate(styles.looks):
        rows = np.flatnonzero(draws.picture[:, channel] != _UNCHANGED)
        rows = rows[images[rows, channel].any(axis=(1, 2))]
        if not (len(rows) and len(look.levels)):
            continue
        planes, drawn = images[rows, channel], draws.picture[rows, channel]
        spectrum, histogram = draws.spectrum[rows, channel], draws.histogram[rows, channel]
        own = np.array([levels_of(plane) for plane in planes])
        wanted = own
        if histogram.any():
            picture = _choose_near(own[:, :: _STEPS // 64], look.levels[:, :: _STEPS // 64], drawn)
            wanted = own + histogram[:, None] * (look.levels[picture] - own)
        spread = mix_spectra(planes, look.spectra, drawn, spectrum, styles.rings) if spectrum.any() else planes
        for row, plane, levels in zip(rows, spread, wanted, strict=True):
            images[row, channel] = match_levels(plane, levels)


def _choose_near(own: np.ndarray, pictures: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Return for each of n planes a picture among those nearest to it, (n,): `own` (n, F), `pictures` (P, F)."""
    distance = np.abs(own[:, None] - pictures).mean(axis=2)
    rank = np.floor(drawn * max(1.0, _NEAREST * len(pictures))).astype(np.intp)
    return np.asarray(np.take_along_axis(np.argsort(distance, axis=1), rank[:, None], axis=1)[:, 0])


def mix_spectra(
    planes: np.ndarray, spectra: np.ndarray, drawn: np.ndarray, strength: np.ndarray, rings: Rings
) -> np.ndarray:
    """Mix pictures' spectra into planes (n, S, S) uint8, and keep their phases; the result is float32, of any range.

    `spectra` are those of a `Look`, `drawn` (n,) in [0, 1) says which of the nearest, `strength` is (n,) in [0, 1].
    """
    found = _transform(planes)
    own = rings.measure(found)
    change = strength[:, None] * (spectra[_choose_near(own[:, 1:], spectra[:, 1:], drawn)] - own)
    change[:, 0] = 0  # the mean is a matter of levels
    return np.asarray(fft.irfft2(found * np.exp(change)[:, rings.number], s=planes.shape[1:]), np.float32)


def match_levels(plane: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Give a plane (S, S) of any range these levels of brightness (2049,): histogram matching, to uint8."""
    low, high = float(plane.min()), float(plane.max())
    if high <= low:
        return np.full(plane.shape, np.rint(levels[_STEPS // 2]), np.uint8)
    steps = ((plane.astype(np.float32) - low) * ((_BITS - 1) / (high - low)) + 0.5).astype(np.uint16)
    counts = cv2.calcHist([steps], [0], None, [_BITS], [0, _BITS]).ravel()
    rank = np.cumsum(counts) - (counts + 1) / 2  # of the middle one of equally bright pixels
    table = np.interp(rank * (_STEPS / (plane.size - 1)), np.arange(_STEPS + 1), levels)
    return np.asarray(np.rint(table).astype(np.uint8)[steps])


def _transform(planes: np.ndarray) -> np.ndarray:
    return np.asarray(fft.rfft2(planes.astype(np.float32)))
