"""Optics: from drawn intensities to what a camera writes: blur, haze, uneven light, bleed-through, noise, depth."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from hpa_hier.data.images.channels import CHANNELS
from hpa_hier.simulate.splat import Map, blur, noise

# Brightness that a channel's highlights reach, as a share of full scale: median and spread (of the logarithm), chosen
# so that simulated fields have the quantiles of real competition images (benchmarks/simulate_statistics.py).
HIGHLIGHT = {"red": (1.05, 0.40), "green": (0.62, 0.45), "blue": (0.85, 0.40), "yellow": (0.78, 0.45)}
FEWEST = {"red": 20, "green": 15, "blue": 50, "yellow": 20}  # photons at full scale in the noisiest images
_FEWEST_REAL = {"red": 6, "green": 8, "blue": 60, "yellow": 25}  # the same of images as the competition's


@dataclass(frozen=True)
class Optics:
    """How one field was taken."""

    psf: dict[str, float]  # pixels, blur's sigma per channel
    haze: dict[str, float]  # share of the light that comes from out of focus
    haze_width: float  # pixels, its blur's sigma
    unevenness: float  # relative difference of light across the field
    bleed: dict[tuple[str, str], float]  # share of the first channel's light that shows in the second
    highlight: dict[str, float]  # share of full scale
    offset: dict[str, float]  # share of full scale that is cut away below
    photons: dict[str, float]  # at full scale; fewer is noisier
    read_noise: float  # share of full scale
    jpeg: int  # quality, 0 for none


def draw_optics(rng: np.random.Generator, size: int) -> Optics:
    """Make up the microscope of one field of `size` pixels; ranges are wider than nature's."""
    sharp = rng.uniform(0.05, 0.55) * max(1.0, size / 512) ** 0.5
    return Optics(
        psf={c: float(sharp * rng.uniform(0.8, 1.3)) for c in CHANNELS},
        haze={c: float(rng.beta(1.2, 11)) for c in CHANNELS},
        haze_width=float(rng.uniform(0.02, 0.08) * size),
        unevenness=float(rng.beta(1.2, 5) * 0.8),
        bleed={
            ("red", "green"): float(rng.beta(1, 30)),
            ("yellow", "green"): float(rng.beta(1, 25)),
            ("green", "yellow"): float(rng.beta(1, 25)),
            ("yellow", "red"): float(rng.beta(1, 40)),
            ("blue", "green"): float(rng.beta(1, 60)),
        },
        highlight={c: float(min(1.6, m * np.exp(rng.normal(0, s)))) for c, (m, s) in HIGHLIGHT.items()},
        offset={c: float(rng.uniform(0.0, {"red": 0.06, "green": 0.06, "blue": 0.07}.get(c, 0.04))) for c in CHANNELS},
        photons={c: float(np.exp(rng.uniform(np.log(FEWEST[c]), np.log(1200)))) for c in CHANNELS},
        read_noise=float(rng.uniform(0.002, 0.02)),
        jpeg=int(rng.integers(60, 96)) if rng.random() < 0.15 else 0,
    )


def draw_real_optics(rng: np.random.Generator, size: int) -> Optics:
    """Make up the microscope of a whole field of the competition: as others, but often short of light."""
    noise = {c: float(rng.uniform(0.002, 0.012)) for c in CHANNELS}
    usual = draw_optics(rng, size)
    return replace(
        usual,
        highlight={
            c: h * float(np.exp(rng.uniform(0.0, 0.0 if c == "blue" else 0.35))) for c, h in usual.highlight.items()
        },
        haze={c: float(rng.beta(1.2, 20 if c != "blue" else 60)) for c in CHANNELS},
        offset={c: float(rng.uniform(0.0, 2.0) * noise[c] + (0.04 if c == "blue" else 0.01)) for c in CHANNELS},
        read_noise=float(np.mean(list(noise.values()))),
        psf={c: float(rng.uniform(0.0, 0.4) * max(1.0, size / 256)) for c in CHANNELS},
        photons={c: float(np.exp(rng.uniform(np.log(_FEWEST_REAL[c]), np.log(800)))) for c in CHANNELS},
    )


def expose(rng: np.random.Generator, light: dict[str, Map], optics: Optics, depth: int) -> NDArray[np.generic]:
    """Return what the camera writes.

    Args:
        rng: source of the noise.
        light: channel → (S, S), any scale.
        optics: as `draw_optics` gives them.
        depth: bits, 8 or 16.

    Returns:
        (4, S, S) uint8 or uint16, channels as CHANNELS.
    """
    scaled = {c: _scale(light[c], optics.highlight[c]) for c in CHANNELS}
    mixed = {c: scaled[c] for c in CHANNELS}
    for (source, target), share in optics.bleed.items():
        mixed[target] = mixed[target] + np.float32(share) * scaled[source]
    full = 255 if depth == 8 else 65535
    lamp = _lamp(rng, optics.unevenness, light["red"].shape[0])
    planes = []
    for channel in CHANNELS:
        seen = _focus(mixed[channel], optics.psf[channel], optics.haze[channel], optics.haze_width) * lamp
        spread = np.sqrt(np.maximum(seen, 0) / np.float32(optics.photons[channel]) + np.float32(optics.read_noise**2))
        seen = seen + spread * rng.standard_normal(seen.shape, dtype=np.float32) - np.float32(optics.offset[channel])
        plane = np.rint(np.clip(seen, 0, 1) * full).astype(np.uint8 if depth == 8 else np.uint16)
        planes.append(_recompress(plane, optics.jpeg) if depth == 8 else plane)
    return np.stack(planes)


def _scale(light: Map, highlight: float) -> Map:
    """Scale so that the brightest spots reach `highlight`."""
    small = blur(light, 0.5)
    rank = max(1, small.size // 1000)
    bright = small[small > 0.3 * small.max()]  # a few pixels are sorted sooner than all
    several = bright if len(bright) >= rank else small.ravel()
    brightest = np.partition(several, -rank)[-rank:]
    reference = 0.5 * float(brightest.min() + brightest.max())
    return light * np.float32(highlight / max(reference, 1e-3))


def _focus(light: Map, psf: float, haze: float, width: float) -> Map:
    return np.float32(1 - haze) * blur(light, psf) + np.float32(haze) * blur(light, width)


def _lamp(rng: np.random.Generator, unevenness: float, size: int) -> Map:
    """Light across the field: a slope and a slow wave, mean 1."""
    across = np.linspace(-1, 1, size, dtype=np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    slope = np.float32(np.cos(angle)) * across[None] + np.float32(np.sin(angle)) * across[:, None]
    wave = noise(rng, size, size / 2)
    return np.asarray(np.clip(1 + np.float32(unevenness) * (0.35 * slope + 0.15 * wave), 0.2, 2), np.float32)


def _recompress(plane: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    if quality == 0:
        return plane
    _, coded = cv2.imencode(".jpg", plane, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE))
