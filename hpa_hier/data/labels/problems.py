"""Problems in a data set: each kind counted, its items listed by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from hpa_hier.errors import UserError

OnProblem = Literal["stop", "skip"]
LISTED = 10  # items of one kind that a message names; `rejected.csv` names all
_NAMED = 3  # images with the same doubt that are named


@dataclass(frozen=True)
class Problem:
    """One kind of problem and the items that have it.

    >>> str(Problem("unknown label", ("28 (line 4)", "29 (line 9)")))
    'unknown label (2): 28 (line 4); 29 (line 9)'
    """

    kind: str
    items: tuple[str, ...]

    def __str__(self) -> str:
        more = len(self.items) - LISTED
        listed = "; ".join(self.items[:LISTED]) + (f"; and {more:,} more" if more > 0 else "")
        return f"{self.kind} ({len(self.items):,}): {listed}"


@dataclass
class Doubts:
    """What looks wrong with images, counted while they are read.

    >>> doubts = Doubts()
    >>> doubts.add(("a", "b"), (("green is saturated",), ()))
    >>> doubts.lines()
    ('1 of 2 images: green is saturated (a)',)
    """

    total: int = 0  # images so far
    counts: Counter[str] = field(default_factory=Counter)  # by what looks wrong
    first: dict[str, list[str]] = field(default_factory=dict)  # ids by what looks wrong

    def add(self, ids: Sequence[str], doubts: Sequence[Sequence[str]]) -> None:
        """Count images, each with words on what looks wrong with it; what follows a colon is not told apart."""
        self.total += len(ids)
        for sample, own in zip(ids, doubts, strict=True):
            kinds = [doubt.partition(": ")[0] for doubt in own]
            self.counts.update(kinds)
            for doubt in kinds:
                named = self.first.setdefault(doubt, [])
                if len(named) < _NAMED:
                    named.append(sample)

    def lines(self) -> tuple[str, ...]:
        """Return a line for each thing that looks wrong, the most frequent first, with the first ids."""
        most = self.counts.most_common()
        return tuple(f"{n:,} of {self.total:,} images: {doubt} ({self._name(doubt)})" for doubt, n in most)

    def _name(self, doubt: str) -> str:
        more = self.counts[doubt] - _NAMED
        return ", ".join(self.first[doubt]) + (f" and {more:,} more" if more > 0 else "")


def stop_at_problems(where: object, problems: Sequence[Problem], cure: str) -> None:
    """Raise one error that lists every problem; do nothing where there are none.

    Raises:
        UserError: there is at least one problem.
    """
    found = [problem for problem in problems if problem.items]
    if found:
        listed = [f"  {problem}" for problem in found]
        count = sum(len(problem.items) for problem in found)
        raise UserError(f"{where}: {count:,} problem{'s' if count > 1 else ''}; {cure}", *listed)
