"""Tally: how often something was tried, how often it went otherwise than promised, and how."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Tally:
    """Tries of one promise."""

    tries: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, right: bool, what: str) -> None:
        """Count one try; `what` went otherwise where it is not right."""
        self.tries += 1
        if not right:
            self.failures.append(what)

    def join(self, other: Tally) -> None:
        """Count another tally's tries as well."""
        self.tries += other.tries
        self.failures += other.failures
