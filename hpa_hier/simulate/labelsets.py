"""Label sets as in the real table: which places one protein is found in, and how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from hpa_hier.errors import UserError
from hpa_hier.simulate.patterns import PATTERNS

LabelSet = tuple[str, ...]

FLOOR = 12  # images that each class gets at least, so that every part of a split can have some
SMALLEST_GROUPS = 4  # antibodies that each class gets at least, for no part of a split shares an antibody
LARGEST_GROUP = 4  # images of one antibody

LEAVES: Mapping[str, str] = MappingProxyType({str(label): leaf for label, leaf in enumerate(PATTERNS)})  # label → leaf
_TABLE = Path(__file__).with_name("label_sets.csv")


@dataclass(frozen=True)
class SimulatedSample:
    """What one image shows."""

    labels: LabelSet  # "0".."27", ascending
    antibody: int  # its number; images of one antibody share their labels and their patterns' strengths

    @property
    def antibody_name(self) -> str:
        """The antibody as tables have it."""
        return f"antibody{self.antibody:05d}"


@cache
def set_counts() -> Mapping[LabelSet, int]:
    """Return how often each set of labels occurs in the real table, most frequent first: label set → images.

    Source: the 2018 Human Protein Atlas competition's `train.csv` as kept by github.com/pudae/kaggle-hpa (BSD-2); only
    the counts are kept, in label_sets.csv.

    >>> len(set_counts()), sum(set_counts().values()), set_counts()["0", "25"]
    (577, 31072, 1998)
    """
    rows = (line.split(",") for line in _TABLE.read_text(encoding="ascii").splitlines()[1:])
    return MappingProxyType({tuple(labels.split()): int(images) for labels, images in rows})


@cache
def label_counts() -> Mapping[str, int]:
    """Return how many real images carry each label, and how many carry each pair as `0+25`.

    >>> label_counts()["27"], label_counts()["0+25"]
    (11, 3631)
    """
    counts: Counter[str] = Counter()
    for labels, images in set_counts().items():
        for key in (*labels, *map("+".join, combinations(labels, 2))):
            counts[key] += images
    return MappingProxyType(counts)


def set_weights(imbalance: float) -> np.ndarray:
    """Return the probability of each set of `set_counts()` at an imbalance from 0 (balanced) to 1 (real).

    A set's real count is multiplied by its rarest label's count to the power `imbalance - 1`, so that at 0 each label
    gives the sets in which it is the rarest about the same mass.
    """
    counts = set_counts()
    rarest = np.array([min(label_counts()[label] for label in labels) for labels in counts], dtype=float)
    weights = np.array(list(counts.values()), dtype=float) * rarest ** (imbalance - 1)
    return np.asarray(weights / weights.sum())


def draw_samples(count: int, seed: int, imbalance: float = 1.0, floor: int = FLOOR) -> list[SimulatedSample]:
    """Draw what `count` images show: antibodies of one to four images each, with the real table's label sets.

    The rarest classes would have no image at all in a small draw: each class gets at least `floor` images of at least
    four antibodies, as far as `count` allows (a share of at most a third of all images).

    Args:
        count: images.
        seed: of the draw; the same seed gives the same list.
        imbalance: 1 real, 0 balanced, above 1 steeper than real.
        floor: images of each class, at least; lowered where count < 84 × floor.

    Raises:
        UserError: a number out of range.

    >>> [" ".join(sample.labels) for sample in draw_samples(3, seed=1)]
    ['2 11', '4 25', '4 25']
    """
    if count < 1 or seed < 0:
        raise UserError(f"simulate: count must be at least 1 and seed at least 0, got {count} and {seed}")
    if not 0 <= imbalance <= 3:
        raise UserError(f"simulate: imbalance must be from 0 (balanced) to 3 (1 is the real table's), got {imbalance}")
    rng = np.random.default_rng([seed, 0x1ABE1])
    groups = _draw_antibodies(rng, count, imbalance, min(floor, count // (3 * len(LEAVES))))
    order = rng.permutation(len(groups))
    samples = [SimulatedSample(groups[g].labels, k) for k, g in enumerate(order) for _ in range(groups[g].images)]
    return samples[:count]


class _Antibody(NamedTuple):
    labels: LabelSet
    images: int


def _draw_antibodies(rng: np.random.Generator, count: int, imbalance: float, floor: int) -> list[_Antibody]:
    """Draw antibodies with `count` images in all, at least `floor` of them of each class."""
    sets = list(set_counts())
    chosen = rng.choice(len(sets), size=count, p=set_weights(imbalance))
    sizes = rng.integers(1, LARGEST_GROUP + 1, size=count)
    groups = [_Antibody(sets[i], int(n)) for i, n in zip(chosen, sizes, strict=True)]
    rare = _add_rare(rng, _truncate(groups, count), floor)
    return rare + _truncate(groups, count - sum(group.images for group in rare))


def _truncate(groups: Sequence[_Antibody], count: int) -> list[_Antibody]:
    """Return the first groups, with `count` images in all."""
    kept = []
    for labels, images in groups:
        if count <= 0:
            break
        kept.append(_Antibody(labels, min(images, count)))
        count -= images
    return kept


def _add_rare(rng: np.random.Generator, groups: Sequence[_Antibody], floor: int) -> list[_Antibody]:
    """Draw antibodies for the classes that the plain draw leaves below `floor` images."""
    have: Counter[str] = Counter()
    for labels, images in groups:
        have.update(dict.fromkeys(labels, images))
    added: list[_Antibody] = []
    size = max(1, min(LARGEST_GROUP, floor // SMALLEST_GROUPS))
    for label in sorted(LEAVES, key=lambda name: (label_counts()[name], int(name))):
        holding = {labels: images for labels, images in set_counts().items() if label in labels}
        weights = np.array(list(holding.values()), dtype=float)
        while have[label] < floor:
            labels = list(holding)[rng.choice(len(holding), p=weights / weights.sum())]
            added.append(_Antibody(labels, size))
            have.update(dict.fromkeys(labels, size))
    return added
