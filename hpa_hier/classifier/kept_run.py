"""Kept run: the folder of a fitted run, which lives as long as the classifier that it belongs to, and goes with it."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path

from hpa_hier.files.atomic import read_json, write_bytes, write_json, write_text
from hpa_hier.files.faults.folder import list_files
from hpa_hier.runs.run import CONFIG, RUN_FILE, TAXONOMY
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.settings.saved import saved_yaml

_NOT_KEPT = (".lock", "lock", "train.log")  # of the training


class KeptRun:
    """A run's folder in a temporary place, which is removed with the last reference to it.

    A copy of it, also one that another process is sent, has a folder of its own with the same files.

    Attributes:
        folder: of the run.
    """

    def __init__(self) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="hpa-hier-"))
        self.folder = self._home / "classifier"
        self.folder.mkdir()
        self._remove = weakref.finalize(self, _remove, self._home, os.getpid())

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> KeptRun:
        """Write files, by their paths in the run's folder, as a run of its own."""
        kept = cls()
        for name, content in files.items():
            path = kept.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return kept

    @classmethod
    def from_folder(cls, folder: Path) -> KeptRun:
        """Copy a run's folder."""
        kept = cls()
        shutil.copytree(folder, kept.folder, dirs_exist_ok=True)
        return kept

    def files(self) -> dict[str, bytes]:
        """Return all files of the run, by their paths in its folder."""
        paths = [path for path in list_files(self.folder) if path.name not in _NOT_KEPT]
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in paths}

    def write(self, folder: Path) -> None:
        """Write the run into another folder, as one that names no pack: its samples were in memory."""
        for name, content in self.files().items():
            write_bytes(folder / name, content)
        begun = read_json(folder / RUN_FILE)
        write_json(folder / RUN_FILE, {**begun, "pack": ""})
        recipe = load_recipe(str(folder / CONFIG))
        changed = recipe.model_copy(update={"data": recipe.data.model_copy(update={"pack": None})})
        write_text(folder / CONFIG, saved_yaml(changed.model_copy(update={"taxonomy": TAXONOMY}), folder))

    def __reduce__(self) -> tuple[Callable[[Mapping[str, bytes]], KeptRun], tuple[dict[str, bytes]]]:
        return KeptRun.from_files, (self.files(),)


def _remove(home: Path, process: int) -> None:
    """Remove a folder, unless this process was forked from the one that made it."""
    if os.getpid() == process:
        shutil.rmtree(home, ignore_errors=True)
