"""Problems in a data set: each kind counted, its items listed by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hpa_hier.errors import UserError

OnProblem = Literal["stop", "skip"]
LISTED = 10  # items of one kind that a message names; `rejected.csv` names all


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


def stop_at_problems(where: object, problems: Sequence[Problem], cure: str) -> None:
    """Raise one error that lists every problem; do nothing where there are none.

    Raises:
        UserError: there is at least one problem.
    """
    found = [problem for problem in problems if problem.items]
    if found:
        listed = "".join(f"\n  {problem}" for problem in found)
        count = sum(len(problem.items) for problem in found)
        raise UserError(f"{where}: {count:,} problem{'s' if count > 1 else ''}; {cure}{listed}")
