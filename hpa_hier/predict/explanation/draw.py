"""Drawing: a sample's channels in their colours, and a heat map over the picture, as PNG."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from hpa_hier.predict.explanation.explained import Picture
from hpa_hier.predict.explanation.heat_maps import HeatMap

COLOURS = {"red": (255, 40, 40), "green": (40, 255, 60), "blue": (70, 110, 255), "yellow": (255, 210, 0)}
_WHITE = (255, 255, 255)  # of a channel that has no colour of its own
_COLOUR_MAP = "inferno"  # matplotlib's; as bright as high, in print and for every kind of eye
_DARKEST, _LIGHTEST = 0.35, 0.95  # where in it a heat of 0 and of 1 are; colours beyond look like a picture in grey
_COVER = 0.75  # opacity of a heat of 1
_GREY = 0.5  # brightness of the picture below, so that the heat stands out


def composite(picture: Picture) -> np.ndarray:
    """Return a picture's channels in their colours together, (H, W, 3) uint8; those that it lacks are left out."""
    total = sum((layer for _, layer in colour_channels(picture)), np.zeros((*picture.image.shape[1:], 3), np.float32))
    return total.clip(0, 255).astype(np.uint8)


def colour_channels(picture: Picture) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each channel that a picture has with its plane in its colour, (H, W, 3) float32 in 0..255."""
    for plane, channel in zip(picture.image, picture.channels, strict=True):
        if channel not in picture.missing:
            colour = np.array(COLOURS.get(channel, _WHITE), np.float32)
            yield channel, plane[..., None].astype(np.float32) / 255 * colour


def draw_heat_map(picture: Picture, heat: HeatMap, side: int | None = None) -> bytes:
    """Draw a heat map over its picture, which is turned to grey.

    Args:
        picture: as members take it.
        heat: of the same size.
        side: pixels of the longer side of what is drawn; None: as the picture.

    Returns:
        A PNG.
    """
    grey = composite(picture).max(axis=2, keepdims=True) * _GREY
    layer = _colour(heat).astype(np.float32)
    cover = layer[..., 3:] / 255
    return encode_png(_enlarge((grey * (1 - cover) + layer[..., :3] * cover).astype(np.uint8), side))


def draw_heat_layer(heat: HeatMap, side: int | None = None) -> bytes:
    """Draw a heat map alone, transparent where it is 0, to be laid over its picture; arguments as `draw_heat_map`."""
    return encode_png(_enlarge(_colour(heat), side))


def encode_png(pixels: np.ndarray) -> bytes:
    """Return (H, W, 3) or (H, W, 4) uint8 colours, red first, as a PNG."""
    to = cv2.COLOR_RGB2BGR if pixels.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
    _, encoded = cv2.imencode(".png", cv2.cvtColor(pixels, to))
    return bytes(encoded)


def _colour(heat: HeatMap) -> np.ndarray:
    """Return a heat map's colours, (H, W, 4) uint8, more opaque where it is higher."""
    from matplotlib import colormaps  # takes a while to import

    rgba = colormaps[_COLOUR_MAP](_DARKEST + (_LIGHTEST - _DARKEST) * heat.values)
    rgba[..., 3] = _COVER * np.sqrt(heat.values)
    return np.asarray((255 * rgba).round(), np.uint8)


def _enlarge(pixels: np.ndarray, side: int | None) -> np.ndarray:
    height, width = pixels.shape[:2]
    if side is None or side == max(height, width):
        return pixels
    share = side / max(height, width)
    how = cv2.INTER_AREA if share < 1 else cv2.INTER_LINEAR
    return cv2.resize(pixels, (max(1, round(width * share)), max(1, round(height * share))), interpolation=how)
