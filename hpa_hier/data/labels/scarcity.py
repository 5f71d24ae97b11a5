"""Scarcity: how many images each class has to learn from and to be tested on, and what helps where they are few."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median_low

from hpa_hier.data.labels.partition import FEWEST

_NAMED = 4  # classes that a line names at most


@dataclass(frozen=True)
class ImageCounts:
    """Images of each class in a split."""

    images: int  # in all
    learning: Mapping[str, int]  # leaf → images that networks learn from; with folds, all outside the test part
    testing: Mapping[str, int]  # leaf → images of the test part
    calibrating: frozenset[str] = frozenset()  # leaves with images that neither learn nor test

    @classmethod
    def from_parts(cls, parts: Mapping[str, Sequence[int]], images: int, folds: int) -> ImageCounts:
        """Count from the images of each part.

        Args:
            parts: leaf → images of the train, the calibration and the test part.
            images: in all.
            folds: that train and calibration part are divided into; 0: none, and networks see the train part only.

        >>> ImageCounts.from_parts({"a": (3, 1, 2)}, 6, folds=5).learning
        {'a': 4}
        """
        learning = {leaf: train + (calibration if folds else 0) for leaf, (train, calibration, _) in parts.items()}
        testing = {leaf: test for leaf, (_, _, test) in parts.items()}
        return cls(images, learning, testing, frozenset(leaf for leaf, (_, between, _) in parts.items() if between))

    @property
    def occurring(self) -> tuple[str, ...]:
        """The leaves that any image is labelled with."""
        known = self.calibrating | {leaf for counts in (self.learning, self.testing) for leaf in counts if counts[leaf]}
        return tuple(leaf for leaf in self.learning if leaf in known)

    @property
    def scarce(self) -> bool:
        """Whether half of the classes that occur have fewer than 20 images to learn from."""
        return bool(self.occurring) and median_low([self.learning[leaf] for leaf in self.occurring]) < FEWEST


def describe_scarcity(counts: ImageCounts, remedies: Sequence[str] = ()) -> list[str]:
    r"""Say in up to three lines how few images there are, what that means, and what to do.

    Args:
        counts: of the split that is used.
        remedies: what the recipe does not do yet, such as "folds (--folds 5)".

    Returns:
        The lines; none where half of the classes have 20 images or more to learn from and each has a test image.

    >>> counts = ImageCounts.from_parts({"a": (3, 1, 2), "b": (1, 1, 0), "c": (0, 0, 0)}, 8, folds=0)
    >>> print(*describe_scarcity(counts, ["folds (--folds 5)"]), sep="\n")
    8 images for 3 classes; none has more than 3 to learn from, 1 has no test image, 1 no image at all
      so classes are told apart poorly, and their figures rest on an image or two: trust groups and safe answers more
      what helps: folds (--folds 5); merging classes in the taxonomy; more images, above all of b, a
    """
    known = counts.occurring
    untested = [leaf for leaf in known if not counts.testing[leaf]]
    absent = len(counts.learning) - len(known)
    facts = [_count(len(untested), "no test image")] if untested else []
    facts += [f"{absent} no image at all" if facts else _count(absent, "no image at all")] if absent else []
    head = f"{counts.images:,} images for {len(counts.learning)} classes"
    if not counts.scarce:
        return [f"{head}; {', '.join(facts)}: no figure for {_some(untested)}"] if untested else []
    fewest = sorted(known, key=lambda leaf: counts.learning[leaf])
    facts.insert(0, _describe_most([counts.learning[leaf] for leaf in known]))
    more = f"more images, above all of {', '.join(fewest[:_NAMED])}"
    return [
        f"{head}; {', '.join(facts)}",
        "  so classes are told apart poorly, and their figures rest on an image or two: trust groups and safe answers "
        "more",
        f"  what helps: {'; '.join((*remedies, 'merging classes in the taxonomy', more))}",
    ]


def _describe_most(learning: Sequence[int]) -> str:
    """Say how many images classes have to learn from: the most, or where that is many, what half of them have."""
    if max(learning) < FEWEST:
        return f"none has more than {max(learning)} to learn from"
    return f"half have {median_low(learning)} or fewer to learn from"


def _count(number: int, what: str) -> str:
    return f"{number} {'has' if number == 1 else 'have'} {what}"


def _some(leaves: Sequence[str]) -> str:
    return ", ".join(leaves[:_NAMED]) + (f" and {len(leaves) - _NAMED} others" if len(leaves) > _NAMED else "")
