"""Words of commands that are printed for the user to type."""

from __future__ import annotations

import shlex
from pathlib import Path


def run_flag(folder: Path) -> str:
    """Return the flag that finds a run again from here: by its name under artifacts/, elsewhere by its path.

    >>> run_flag(Path("artifacts/demo")), run_flag(Path("/data/runs/my own"))
    ('--run demo', "--run '/data/runs/my own'")
    """
    return (
        f"--run {shlex.quote(folder.name if folder.parent.resolve() == Path('artifacts').resolve() else str(folder))}"
    )
