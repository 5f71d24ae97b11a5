"""Finding runs: by name or folder, or the one fitted last."""

from __future__ import annotations

from pathlib import Path

from hpa_hier.ensemble.ensemble_file import FILE
from hpa_hier.errors import UserError
from hpa_hier.files.shell import command
from hpa_hier.files.shipped import pretrained_folder

PRETRAINED = "pretrained"  # name of the run that is bundled with the package
_MARKS = ("members", "ensemble", "run.json")  # a run's folder holds one of them


def find_run(name: str | Path, artifacts: Path = Path("artifacts")) -> Path:
    """Return the folder of a run.

    Args:
        name: its name under `artifacts`, or its path.
        artifacts: where runs are looked for first.

    Raises:
        UserError: there is none; the message lists those there are.
    """
    there = ", ".join(sorted(path.name for path in artifacts.glob("*") if _is_run(path))) or "none yet"
    for folder in (artifacts / name, Path(name)):
        if folder.is_dir():
            if _is_run(folder):
                return folder
            raise UserError(f"{folder}: is no run, as it holds no {', '.join(_MARKS)}; runs under {artifacts}: {there}")
    if str(name) == PRETRAINED:
        bundled = pretrained_folder()
        if bundled is None:
            raise UserError(
                "no ensemble comes with this installation; name a run with --run, or make one: benchmarks/pretrained.py"
            )
        return bundled
    raise UserError(f"{name}: no such run under {artifacts} and no such folder; runs there: {there}")


def find_newest(artifacts: Path) -> Path | None:
    """Return the run whose ensemble was fitted last; None where there is none but the bundled one."""
    files = [path for path in artifacts.glob(f"*/ensemble/{FILE}") if path.parents[1].name != PRETRAINED]
    return max(files, key=lambda path: (path.stat().st_mtime_ns, path)).parents[1] if files else None


def find_fitted(artifacts: Path) -> Path:
    """Return the run whose ensemble was fitted last, else the bundled one.

    Raises:
        UserError: there is neither.
    """
    folder = find_newest(artifacts) or pretrained_folder()
    if folder is None:
        raise UserError(
            f"{artifacts}: no run here has a fitted ensemble; train members ({command('train', '--all')}), fit one "
            f"({command('ensemble', 'fit')}), or name a run with --run"
        )
    return folder


def _is_run(folder: Path) -> bool:
    return any((folder / mark).exists() for mark in _MARKS)
