"""Stacks: sections along z become one plane, and one frame along t is chosen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, TypeGuard

import numpy as np

from hpa_hier.data.images.reader import Reader, UnreadableImage
from hpa_hier.errors import UserError

PROJECTIONS = ("max", "mean", "middle")
_FRAMES = ("first", "middle", "last")


@dataclass(frozen=True)
class StackRules:
    """How a z stack and a time series become one image."""

    projection: str = "max"  # along z: the largest value, the mean, or the section in the middle
    frame: str | None = None  # along t: first, middle, last, or a number counted from 1; None: time series are refused
    least_side: int = 0  # pixels; where a file has several resolutions the smallest that has them; 0: the largest
    wanted: frozenset[int] | None = None  # planes to read, where they can be read apart; None: all


NO_CHOICE = StackRules()  # z stacks are projected, time series refused


class Stack(NamedTuple):
    """One image of a file, and what it was made of."""

    planes: np.ndarray  # (P, H, W)
    sections: int = 1  # along z, in the file
    frames: int = 1  # along t, in the file
    micrometres: float | None = None  # side of a pixel of the planes; None: the file does not say


class StackReader(Reader, Protocol):
    """A format whose files may hold sections along z or frames along t."""

    def read_stack(self, path: Path, rules: StackRules) -> Stack:
        """Decode a file to one image by the rules, section by section.

        Raises:
            UnreadableImage: the file cannot be used, or it holds a time series and the rules choose no frame.
        """
        ...


def reads_stacks(reader: Reader) -> TypeGuard[StackReader]:
    """Tell whether a format's files may hold sections or frames, without what isinstance costs for each image."""
    return hasattr(reader, "read_stack")


def parse_frame(text: str) -> str:
    """Check what `--frame` says.

    Raises:
        UserError: it is no frame.
    """
    if text not in _FRAMES and not (text.isdecimal() and int(text) > 0):
        raise UserError(f"{text!r} is no frame; it is {', '.join(_FRAMES)} or a number, counted from 1")
    return text


def choose_frame(path: Path, frames: int, rules: StackRules) -> int:
    """Return which of a file's frames is taken, counted from 0.

    >>> choose_frame(Path("a.tif"), 12, StackRules(frame="middle"))
    5

    Raises:
        UnreadableImage: there are several and the rules choose none, or there is no such frame.
    """
    if frames == 1:
        return 0
    if rules.frame is None:
        cure = "choose one with --frame first, middle, last or its number"
        raise UnreadableImage(path, f"a time series of {frames} frames; {cure}")
    if rules.frame in _FRAMES:
        return {"first": 0, "middle": (frames - 1) // 2, "last": frames - 1}[rules.frame]
    if int(rules.frame) > frames:
        raise UnreadableImage(path, f"--frame {rules.frame}: the time series has {frames} frames")
    return int(rules.frame) - 1


def choose_sections(sections: int, projection: str) -> range:
    """Return which sections along z a projection needs.

    >>> choose_sections(5, "max"), choose_sections(5, "middle")
    (range(0, 5), range(2, 3))
    """
    middle = (sections - 1) // 2
    return range(middle, middle + 1) if projection == "middle" else range(sections)


def project(sections: Iterable[np.ndarray], projection: str) -> np.ndarray:
    """Make one section of several, holding no more than two in memory.

    Args:
        sections: at least one, all of one shape, uint8 or uint16.
        projection: "max" or "mean"; "middle" has only one section to give.

    >>> sections = [np.array([[0, 4]], np.uint8), np.array([[3, 1]], np.uint8)]
    >>> project(sections, "max").tolist(), project(sections, "mean").tolist()
    ([[3, 4]], [[2, 3]])
    """
    waiting = iter(sections)
    first = next(waiting)
    if projection != "mean":
        largest = np.array(first)
        for section in waiting:
            np.maximum(largest, section, out=largest)
        return largest
    total, count = first.astype(np.uint32), 1
    for section in waiting:
        total += section
        count += 1
    return np.asarray(np.floor(total / count + 0.5), dtype=first.dtype)


def describe_stacks(counts: Iterable[tuple[int, int]], rules: StackRules) -> tuple[str, ...]:
    """Say what was made of images with several sections or frames.

    Args:
        counts: (sections, frames) of each image.
        rules: by which they were read.

    >>> describe_stacks([(12, 1), (8, 1), (1, 1)], StackRules())
    ('2 of 3 are z stacks of 8 to 12 sections: their maximum projection is taken',)
    """
    listed = list(counts)
    made = {"max": "their maximum projection is", "mean": "their mean is", "middle": "the section in the middle is"}
    frame = f"frame {rules.frame}" if rules.frame and rules.frame.isdecimal() else f"the {rules.frame} frame"
    kinds = (
        ("z stacks", "sections", [sections for sections, _ in listed if sections > 1], made[rules.projection]),
        ("time series", "frames", [frames for _, frames in listed if frames > 1], f"{frame} is"),
    )
    return tuple(
        f"{len(several):,} of {len(listed):,} are {what} of {_range(several)} {units}: {taken} taken"
        for what, units, several, taken in kinds
        if several
    )


def _range(numbers: list[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low} to {high}"
