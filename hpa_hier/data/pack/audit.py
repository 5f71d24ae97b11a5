"""Audit: what is unusual in a pack, and whether equal images are in different parts of a split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hpa_hier.data.images.exposure import glance_at, judge
from hpa_hier.data.pack.pack import ImagePack
from hpa_hier.data.pack.samples import Sample
from hpa_hier.data.split.near_duplicates import DISTANCE, NearPair, find_near_duplicates, pairs_across_parts
from hpa_hier.data.split.split import Split
from hpa_hier.taxonomy import Taxonomy

DARK = 16  # of 255: the largest intensity of 12 bits in a 16-bit file; hardly a pixel of a nearly black image is above


@dataclass(frozen=True)
class Audit:
    """What an audit found, ids by kind."""

    counts: dict[str, int]  # images by leaf
    filled: dict[str, tuple[str, ...]]  # ids by channel that they lack
    flaws: dict[str, tuple[str, ...]]  # ids by what looks wrong: channels that are empty, saturated or one picture
    dark: tuple[str, ...]
    duplicates: tuple[tuple[str, ...], ...]  # ids whose packed pixels are all alike
    damaged: tuple[str, ...]  # shards whose bytes have changed since the pack was finished
    across_parts: tuple[tuple[str, ...], ...]  # duplicates that are in different parts of the split
    near: tuple[NearPair, ...]  # images that show the same cells, though their pixels differ
    near_across_parts: tuple[NearPair, ...]  # those that are in different parts of the split


def audit(pack: ImagePack, taxonomy: Taxonomy, split: Split | None = None, distance: int = DISTANCE) -> Audit:
    """Go through every image of a pack, counting those of the taxonomy's leaves.

    Duplicates across the parts of the split are listed where it is given; the fingerprints of near-duplicates differ in
    at most `distance` bits, 0 to 15.
    """
    pack = replace(pack, trusted=True)  # damaged shards are among what is found
    present = pack.targets(taxonomy).present
    flaws, dark = _find_odd_images(pack)
    duplicates = find_identical(pack.samples)
    part = dict(zip(split.ids, split.parts, strict=True)) if split else {}
    filled = {channel: tuple(s.id for s in pack.samples if channel in s.filled) for channel in pack.channels}
    near = find_near_duplicates(pack, distance)
    return Audit(
        counts={leaf: int(present[:, taxonomy.column[leaf]].sum()) for leaf in taxonomy.leaves},
        filled={channel: ids for channel, ids in filled.items() if ids},
        flaws=flaws,
        dark=dark,
        duplicates=duplicates,
        damaged=pack.find_damaged(),
        across_parts=tuple(ids for ids in duplicates if len({part[i] for i in ids if i in part}) > 1),
        near=near,
        near_across_parts=pairs_across_parts(near, part),
    )


def find_identical(samples: Sequence[Sample]) -> tuple[tuple[str, ...], ...]:
    """Return the ids of samples whose packed pixels are all alike, one tuple for each such image."""
    alike: dict[str, list[str]] = {}
    for sample in samples:
        alike.setdefault(sample.pixels, []).append(sample.id)
    return tuple(tuple(ids) for ids in alike.values() if len(ids) > 1)


def _find_odd_images(pack: ImagePack) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Return the ids of images by what looks wrong with them, and of nearly black ones."""
    flaws: dict[str, list[str]] = {}
    dark = []
    for row, sample in enumerate(pack.samples):
        image = pack.images(np.array([row]))[0]
        glances = {name: glance_at(image[c]) for c, name in enumerate(pack.channels) if name not in sample.filled}
        for flaw in judge(glances).flaws:
            flaws.setdefault(flaw, []).append(sample.id)
        if max(glance.exposure.high for glance in glances.values()) <= DARK:
            dark.append(sample.id)
    return {flaw: tuple(ids) for flaw, ids in flaws.items()}, tuple(dark)
