"""Colours: one ramp of eleven steps for each theme, with the text colour that can be read on every step."""

from __future__ import annotations

import math

STEPS = 11  # 0.0, 0.1 … 1.0

_LIGHT = ((0.955, 0.010, 95.0), (0.80, 0.075, 190.0), (0.37, 0.085, 240.0))  # paper → teal → deep blue
_DARK = ((0.27, 0.012, 240.0), (0.47, 0.072, 215.0), (0.90, 0.095, 172.0))  # slate → teal → mint
_INK = ("#060a0c", "#ffffff")


def step_of(value: float | None) -> int | None:
    """Return the ramp's step for a value in [0, 1]; None stays None.

    >>> step_of(0.74)
    7
    """
    return None if value is None else round(min(max(value, 0.0), 1.0) * (STEPS - 1))


def ramp(theme: str) -> tuple[tuple[str, str], ...]:
    """Return (fill, text) hexadecimal pairs for "light" or "dark", from 0 to 1."""
    stops = {"light": _LIGHT, "dark": _DARK}[theme]
    fills = [_hex(_between(stops, k / (STEPS - 1))) for k in range(STEPS)]
    return tuple((fill, _ink_on(fill)) for fill in fills)


def _ink_on(fill: str) -> str:
    return max(_INK, key=lambda ink: contrast(ink, fill))


def contrast(one: str, other: str) -> float:
    """Return the contrast of two hexadecimal colours, 1 to 21 (WCAG 2.2: text wants 4.5)."""
    bright, dim = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def _between(stops: tuple[tuple[float, float, float], ...], t: float) -> tuple[float, float, float]:
    place = t * (len(stops) - 1)
    left = min(int(place), len(stops) - 2)
    share = place - left
    mixed = [a + (b - a) * share for a, b in zip(stops[left], stops[left + 1], strict=True)]
    return mixed[0], mixed[1], mixed[2]


def _hex(lch: tuple[float, float, float]) -> str:
    """Turn OKLCH (lightness, chroma, hue in degrees) into sRGB.

    Source: the OKLab matrices, Björn Ottosson 2020.
    """
    lightness, chroma, hue = lch
    a, b = chroma * math.cos(math.radians(hue)), chroma * math.sin(math.radians(hue))
    l_, m_, s_ = (
        (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3,
        (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3,
        (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3,
    )
    linear = (
        4.0767416621 * l_ - 3.3077115913 * m_ + 0.2309699292 * s_,
        -1.2684380046 * l_ + 2.6097574011 * m_ - 0.3413193965 * s_,
        -0.0041960863 * l_ - 0.7034186147 * m_ + 1.7076147010 * s_,
    )
    return "#" + "".join(f"{round(255 * _companded(value)):02x}" for value in linear)


def _companded(linear: float) -> float:
    value = min(max(linear, 0.0), 1.0)
    return float(12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055)


def _luminance(colour: str) -> float:
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in parts]
    return float(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
