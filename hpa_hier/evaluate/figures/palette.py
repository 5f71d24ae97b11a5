"""Palette: the colours of the page and of its figures in the light and the dark theme."""

from __future__ import annotations

from matplotlib.colors import LinearSegmentedColormap, to_hex, to_rgb

# The keys are the names of CSS variables; figures are drawn in LIGHT and follow the page's theme where inlined.
LIGHT = {
    **{"paper": "#fbfaf7", "card": "#ffffff", "ink": "#1a2226", "soft": "#566068", "line": "#e0ddd5"},
    **{"wash": "#f1efe9", "ours": "#0f6b86", "baseline": "#a5560c", "second": "#5b9c82"},
    **{"bad": "#b3261e", "good": "#1f7a4d"},
}
DARK = {
    **{"paper": "#12171a", "card": "#1a2125", "ink": "#e6eaeb", "soft": "#a0abb0", "line": "#2e383d"},
    **{"wash": "#20282d", "ours": "#5fc4d6", "baseline": "#f0a860", "second": "#6fae95"},
    **{"bad": "#ff8a80", "good": "#6fd3a0"},
}
STEPS = 11  # of the ramp: 0.0, 0.1 … 1.0
_STOPS = {"light": ("#f3f0e9", "#6fc7c6", "#003f5f"), "dark": ("#232a2e", "#1e6473", "#86f0d0")}
_INKS = ("#060a0c", "#ffffff")


def ramp(theme: str) -> list[str]:
    """Return the STEPS colours of "light" or "dark", from 0 to 1.

    >>> ramp("light")[0], ramp("light")[-1]
    ('#f3f0e9', '#003f5f')
    """
    colours = LinearSegmentedColormap.from_list(theme, _STOPS[theme], N=STEPS)
    return [to_hex(colours(step)) for step in range(STEPS)]


def ramp_step(value: float) -> int:
    """Return the ramp's step for a value; values outside [0, 1] take its ends.

    >>> ramp_step(0.74)
    7
    """
    return round(min(max(value, 0.0), 1.0) * (STEPS - 1))


def readable_ink(fill: str) -> str:
    """Return black or white, whichever can be read better on a colour."""
    return max(_INKS, key=lambda ink: contrast(ink, fill))


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, 1 to 21.

    Source: WCAG 2.2, which asks for 4.5 between text and its background.

    >>> contrast("#000000", "#ffffff")
    21.0
    """
    bright, dim = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def _luminance(colour: str) -> float:
    red, green, blue = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in to_rgb(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
