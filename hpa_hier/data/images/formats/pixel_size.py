"""Pixel size: the side of a pixel in micrometres, from a number and a unit as files have them."""

from __future__ import annotations

import math

_SQUARE = 1.01  # longer over shorter side of a pixel that counts as a square
_MICROMETRES = {  # by names of units of length
    **dict.fromkeys(("µm", "μm", "um", "micron", "microns", "micrometer", "micrometre"), 1.0),
    **dict.fromkeys(("nm", "nanometer", "nanometre"), 1e-3),
    **dict.fromkeys(("mm", "millimeter", "millimetre"), 1e3),
    **dict.fromkeys(("cm", "centimeter", "centimetre"), 1e4),
}


def check_square(width: float, height: float) -> float | None:
    """Return the side of a pixel that is a square, in the unit given; None of another, or where one is not known.

    >>> check_square(0.08, 0.08), check_square(0.08, 0.16), check_square(0.08, math.nan)
    (0.08, None, None)
    """
    known = math.isfinite(width) and math.isfinite(height) and min(width, height) > 0
    return width if known and max(width, height) <= _SQUARE * min(width, height) else None


def to_micrometres(value: float, unit: str) -> float | None:
    """Convert a length; None: the unit is none of length, such as pixels.

    >>> to_micrometres(80, "nm"), to_micrometres(0.08, "micrometer"), to_micrometres(1, "pixel")
    (0.08, 0.08, None)
    """
    factor = _MICROMETRES.get(unit.strip())
    return None if factor is None else value * factor
