"""Finding: one line of what `doctor` found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """What was looked at, and how it is."""

    what: str
    text: str
    wrong: bool = False

    def to_json(self) -> dict[str, object]:
        """Return it by name."""
        return {"what": self.what, "text": self.text, "wrong": self.wrong}
