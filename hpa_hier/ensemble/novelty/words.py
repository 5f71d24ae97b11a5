"""Words: what makes a sample unlike those that members learned from, for people who know their microscope."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hpa_hier.data.images.channels import STAINS
from hpa_hier.ensemble.novelty.novelty import FALSE_ALARM, LEAST, Novelty
from hpa_hier.metrics.arrays import Floats

NO_DISTANCES = (
    f"the ensemble keeps no distances; ensemble fit adds them where there are {LEAST} samples or more to learn from"
)
_FAR = 2.0  # standard deviations; what is nearer is no reason by itself
_REASONS = 2  # that are named
_WORDS = {  # of a statistic: what it means that it is small, and large
    "brightness": ("is darker than usual", "is brighter than usual"),
    "black": ("has less black than usual", "is emptier than usual"),
    "saturated": ("has fewer bright spots than usual", "is saturated in more places than usual"),
    "lines": ("has fewer lines than usual", "has more lines than usual"),
    "likeness": ("show less of the same than usual", "show more of the same than usual"),
}
_DETAIL = {  # by scale: in pixels of the image as members take it
    "fine": ("is blurred or has no fine detail", "has more fine detail than usual or is noisy"),
    "middle": ("has less contrast than usual", "has more contrast than usual"),
    "coarse": ("is more even than usual", "is more uneven than usual"),
}
_BLACK = ": black"
_FINE, _COARSE = 2, 16  # pixels, up to and from which detail is called so


def describe_unlike(novelty: Novelty, samples: Floats) -> tuple[str, ...]:
    """Say of each sample why it is unlike those that members learned from; "" where it is not.

    Args:
        novelty: fitted on what they learned from.
        samples: (B, F), columns as its features.

    Returns:
        (B,) short texts, such as "unlike what was learned from: blue (nucleus) has less contrast than usual".
    """
    unlike = novelty.find_unlike(novelty.distances(samples))
    return tuple(_describe(novelty, sample) if far else "" for sample, far in zip(samples, unlike, strict=True))


def describe_reach(novelty: Novelty | None) -> str:
    """Say what the warning is worth, or that there is none."""
    if novelty is None:
        return f"no warning of samples unlike those learned from: it takes at least {LEAST} of them"
    return (
        f"samples unlike the {len(novelty.held_out):,} looked at get a warning, and so do up to {FALSE_ALARM:.0%} of "
        "those like them"
    )


def _describe(novelty: Novelty, sample: Floats) -> str:
    """Return the furthest of a sample's features in words, one of each channel, feature or pair."""
    z = np.nan_to_num((sample - novelty.mean) / novelty.scale)
    empty = [
        name.removesuffix(_BLACK)
        for name, share in zip(novelty.features, sample, strict=True)
        if name.endswith(_BLACK) and share == 1
    ]
    reasons = {channel: f"{_name(channel)} is black" for channel in empty}
    for j in np.argsort(-np.abs(z), kind="stable"):
        if abs(z[j]) < _FAR or len(reasons) >= _REASONS:
            break
        what, _, kind = novelty.features[j].partition(": ")
        if what not in reasons:
            reasons[what] = f"{_name(what)} {_say(kind, float(z[j]))}"
    why = ", ".join(reasons.values()) or "each property is usual, but not how they go together"
    return f"unlike what was learned from: {why}"


def _name(what: str) -> str:
    """Return a channel or two with what they show, or a feature of vectors as it is."""
    return " and ".join(f"{one} ({STAINS[one]})" if one in STAINS else one for one in what.split(" and "))


def _say(kind: str, z: float) -> str:
    name, _, scale = kind.partition(" ")
    if name == "detail" and scale.isdigit():
        words: Sequence[str] = _DETAIL[_name_scale(int(scale))]
    elif name in _WORDS:
        words = _WORDS[name]
    else:  # a feature of vectors
        return f"is {abs(z):.1f} standard deviations {'above' if z > 0 else 'below'} the mean"
    return words[z > 0]


def _name_scale(pixels: int) -> str:
    return "fine" if pixels <= _FINE else "coarse" if pixels >= _COARSE else "middle"
