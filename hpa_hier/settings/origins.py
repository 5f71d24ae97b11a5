"""Origins: where each value of a recipe comes from: a default, a line of a file, or a flag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hpa_hier.files.yaml_file import Key, YamlDocument

DEFAULT = "default"


@dataclass(frozen=True)
class Change:
    """A setting that the command line gives."""

    path: tuple[Key, ...]
    text: str  # as `--set` takes it, such as training.epochs=5
    typed: str  # as the user typed it, such as `--weights w.safetensors`

    def reaches(self, path: tuple[Key, ...]) -> bool:
        """Say whether it gives the setting at `path`, or a block around it."""
        return path[: len(self.path)] == self.path


@dataclass(frozen=True)
class Origins:
    """A recipe's file and the changes of the command line; all are equal, as they say nothing of its values."""

    document: YamlDocument | None = field(default=None, compare=False, repr=False)
    changes: tuple[Change, ...] = field(default=(), compare=False)  # the last one of a setting holds
    waiting: tuple[Change, ...] = field(default=(), compare=False)  # of members that are still `auto`
    derived: Mapping[tuple[Key, ...], str] = field(default_factory=dict, compare=False)  # path → what has given it

    def of(self, *path: Key) -> str:
        """Return where a value comes from, as ``recipe.yaml:12``, ``--set training.epochs=5`` or ``default``.

        >>> Origins(changes=(Change(("run",), "run=mine", "--run mine"),)).of("run")
        '--run mine'
        """
        given = [change.typed for change in self.changes if change.reaches(path)]
        if given:
            return given[-1]
        for place, origin in self.derived.items():
            if path[: len(place)] == place:
                return origin
        if self.document is not None and path in self.document.lines:
            return f"{self.document.source}:{self.document.lines[path]}"
        return DEFAULT
