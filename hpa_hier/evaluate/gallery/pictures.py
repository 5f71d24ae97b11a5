"""Pictures: an image's channels as small files in the page, as fine as a number of bytes allows."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Plane = NDArray[np.uint8]  # (S, S)

PROTEIN = "green"  # the channel that is judged; the others only show where in the cell it is
_BRIGHTEST = 99.8  # percentile of a channel that is shown at full brightness
_DARKEST = 8.0  # of 255, what at least is shown at full brightness: an empty channel stays dark
_PROBES = 8  # images that are encoded to learn how many bytes one takes
_BARS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)  # micrometres


@dataclass(frozen=True)
class Fineness:
    """How finely a picture is kept."""

    protein: int  # pixels, side of the protein's plane at most
    others: int  # pixels, of the others
    quality: int  # of WebP, 0 to 100


# From the finest. A picture is judged from 300 pixels up, so the protein never has less where the image has it.
LADDER = (
    Fineness(512, 512, 60),
    Fineness(512, 320, 55),
    Fineness(384, 256, 55),
    Fineness(320, 192, 45),
    Fineness(320, 160, 35),
)


def find_protein(channels: Iterable[str]) -> str:
    """Return the channel that is judged: the protein's, or the first where there is none."""
    listed = list(channels)
    return PROTEIN if PROTEIN in listed else listed[0]


def encode_planes(planes: Mapping[str, Plane], fineness: Fineness) -> dict[str, str]:
    """Return each channel as the data URI of a grey WebP, stretched to its own brightest 0.2 %."""
    protein = find_protein(planes)
    sides = {channel: fineness.protein if channel == protein else fineness.others for channel in planes}
    return {channel: encode_plane(plane, sides[channel], fineness.quality) for channel, plane in planes.items()}


def encode_plane(plane: Plane, side: int, quality: int) -> str:
    """Stretch a plane's brightness, shrink it to `side` pixels where it is larger, and return a data URI of WebP."""
    top = max(float(np.percentile(plane, _BRIGHTEST)), _DARKEST)
    small = cv2.resize(plane, (side, side), interpolation=cv2.INTER_AREA) if side < len(plane) else plane
    grey = np.clip(small * (255 / top), 0, 255).astype(np.uint8)
    kept = io.BytesIO()
    Image.fromarray(grey).save(kept, "WEBP", quality=quality, method=3)
    return data_uri("image/webp", kept.getvalue())


def data_uri(kind: str, content: bytes) -> str:
    """Return a file as an address that holds it whole.

    >>> data_uri("text/plain", b"cell")
    'data:text/plain;base64,Y2VsbA=='
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def encode_within(
    read: Callable[[int], Mapping[str, Plane]], number: int, budget: int
) -> tuple[list[dict[str, str]], Fineness]:
    """Encode images as finely as all of them fit, or the first of them as coarsely as is still worth looking at.

    Args:
        read: number of an image → its planes by channel.
        number: of images, the most important first.
        budget: characters that all data URIs together may have.

    Returns:
        The planes of the first images, all of them where they fit, and how finely they are kept.
    """
    probes = [read(k) for k in np.unique(np.linspace(0, number - 1, min(number, _PROBES)).round().astype(int)).tolist()]
    for fineness in LADDER:
        sizes = [_size(encode_planes(planes, fineness)) for planes in probes]
        if not sizes or number * (sum(sizes) / len(sizes)) <= budget:
            break
    kept: list[dict[str, str]] = []
    left = budget
    for k in range(number):
        encoded = encode_planes(read(k), fineness)
        left -= _size(encoded)
        if left < 0:
            break
        kept.append(encoded)
    return kept, fineness


def _size(encoded: Mapping[str, str]) -> int:
    return sum(map(len, encoded.values()))


@dataclass(frozen=True)
class ScaleBar:
    """A bar of known length."""

    length: float  # share of the picture's width
    words: str  # as in "10 µm"


def scale_bar(micrometres: float | None, side: int) -> ScaleBar | None:
    """Return the bar that is a round number long and nearest to a fifth of the picture's width.

    Args:
        micrometres: of one pixel; None: not known, and then there is no bar.
        side: of the image, pixels.

    >>> scale_bar(0.16, 512)
    ScaleBar(length=0.244140625, words='20 µm')
    """
    if micrometres is None:
        return None
    width = micrometres * side
    length = min(_BARS, key=lambda bar: abs(np.log(bar / (0.2 * width))))
    return ScaleBar(length / width, f"{length:g} µm")


def heat_layer(values: NDArray[np.float32], draw: Callable[[NDArray[np.float32]], bytes], side: int = 48) -> str:
    """Return a heat map as the data URI of a transparent WebP to be laid over a picture.

    Args:
        values: (H, W) in [0, 1].
        draw: values → PNG with transparency.
        side: pixels that are kept; a map of this kind is smooth, and the page smooths it again.
    """
    small = cv2.resize(values, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
    kept = io.BytesIO()
    Image.open(io.BytesIO(draw(small))).save(kept, "WEBP", quality=70, method=6)
    return data_uri("image/webp", kept.getvalue())
