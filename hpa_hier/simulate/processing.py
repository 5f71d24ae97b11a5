"""Processing: what happens to an image after it was taken: contrast, sharpness, weak channels, compression.

Real images have been through hands and programs before they are looked at. Training on simulated cells for use on real
images varies all of it more than nature does (`simulate.variety`).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hpa_hier.simulate.splat import Map, blur

CHANNELS = 4


@dataclass(frozen=True)
class Processing:
    """How one image was processed; 0 leaves it as it is."""

    gamma: NDArray[np.float64]  # (4,) exponent of each channel's intensity; below 1 lifts what is dark
    black: NDArray[np.float64]  # (4,) share of full scale that is cut away below
    gain: NDArray[np.float64]  # (4,) factor; what exceeds full scale is saturated
    veil: NDArray[np.float64]  # (4,) share of full scale of even light on top
    ghost: NDArray[np.float64]  # (4,) share of the other channels that stands in for an absent one, 0 where present
    sharpen: float  # above 0: share of the detail that is added; below 0: pixels of blur
    jpeg: int  # quality of a colour JPEG of red, green and blue, 0 for none


def draw_processing(rng: np.random.Generator, variety: float) -> Processing:
    """Draw how an image is processed.

    Args:
        rng: source of randomness.
        variety: from 0, which changes nothing, to 1, wider than nature.
    """
    saturated = np.where(rng.random(CHANNELS) < 0.4, np.exp(rng.uniform(0, 1.4, CHANNELS)), 1.0)
    weak = np.where(rng.random(CHANNELS) < (0.15, 0.05, 0.05, 0.1), rng.uniform(0.05, 0.5, CHANNELS), 1.0)
    kind = rng.random()
    edge = rng.uniform(0.3, 1.2) if kind < 0.2 else -rng.uniform(0.3, 1.0) if kind < 0.45 else 0.0
    veiled = rng.random(CHANNELS) < 0.15
    absent = rng.random(CHANNELS) < np.multiply(variety, (0.05, 0.0, 0.1, 0.1))
    compressed = rng.random() < 0.4 * variety
    return Processing(
        gamma=np.exp(variety * rng.normal(0, 0.3, CHANNELS)),
        black=variety * rng.uniform(0, 0.08, CHANNELS),
        gain=(saturated * weak) ** variety,
        veil=variety * veiled * rng.uniform(0, 0.08, CHANNELS),
        ghost=np.where(absent, np.exp(rng.uniform(np.log(0.004), np.log(0.05), CHANNELS)), 0.0),
        sharpen=variety * edge,
        jpeg=int(rng.integers(50, 96)) if compressed else 0,
    )


def process_image(image: NDArray[np.uint8], how: Processing) -> NDArray[np.uint8]:
    """Process an image.

    Args:
        image: (4, S, S) uint8, red, green, blue, yellow.
        how: as `draw_processing` gives it.

    Returns:
        (4, S, S) uint8.

    >>> plain = draw_processing(np.random.default_rng(0), 0.0)
    >>> image = np.arange(64, dtype=np.uint8).reshape(4, 4, 4)
    >>> bool((process_image(image, plain) == image).all())
    True
    """
    seen = image.astype(np.float32) / np.float32(255)
    planes = []
    for c, (gamma, black, gain, veil) in enumerate(zip(how.gamma, how.black, how.gain, how.veil, strict=True)):
        present = seen[c] if how.ghost[c] == 0 else np.float32(how.ghost[c] / gain) * (seen.sum(axis=0) - seen[c])
        light = _edges(present, how.sharpen)
        if how.ghost[c] == 0:
            light = np.clip((light - np.float32(black)) / np.float32(1 - black), 0, None) ** np.float32(gamma)
        planes.append(np.clip(light * np.float32(gain) + np.float32(veil), 0, 1))
    done: NDArray[np.uint8] = np.rint(np.stack(planes) * 255).astype(np.uint8)
    if how.jpeg:
        done[:3] = _colour_jpeg(done[:3], how.jpeg)
    return done


def _edges(light: Map, sharpen: float) -> Map:
    """Sharpen or blur."""
    if sharpen < 0:
        return blur(light, -sharpen)
    if sharpen == 0:
        return light
    return np.asarray(np.clip(light + np.float32(sharpen) * (light - blur(light, 1.0)), 0, 1))


def _colour_jpeg(picture: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Compress red, green and blue (3, S, S) as one image, which mixes their detail a little."""
    bgr = np.ascontiguousarray(picture[::-1].transpose(1, 2, 0))
    _, coded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    seen = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    return seen.transpose(2, 0, 1)[::-1]
