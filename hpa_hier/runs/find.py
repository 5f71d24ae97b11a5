"""Finding runs: by name or folder, or the one fitted last."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from hpa_hier.ensemble.ensemble_file import FILE
from hpa_hier.errors import UserError
from hpa_hier.files.shell import command, run_name
from hpa_hier.files.shipped import pretrained_folder
from hpa_hier.runs.origin import is_calibrated_on_simulated

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


class Choice(NamedTuple):
    """The run that answers where the user names none."""

    folder: Path
    passed_over: tuple[Path, ...] = ()  # fitted later, but on simulated cells

    def describe(self) -> str:
        """Say which run it is, and how to name one that was passed over."""
        bundled = self.folder == pretrained_folder()
        own = "no run here has an ensemble of real images" if self.passed_over else "no run here has an ensemble"
        text = f"{own}: using the bundled one" if bundled else f"using the ensemble fitted last: {self.folder}"
        if not self.passed_over:
            return text
        newest, *others = map(run_name, self.passed_over)
        names = newest + (f" and {len(others)} more" if others else "")
        return f"{text} ({names} passed over, as fitted on simulated cells: --run {newest} takes it all the same)"


def find_newest(artifacts: Path) -> Path | None:
    """Return the run whose ensemble was fitted last; None where there is none but the bundled one."""
    return next(iter(_newest_first(artifacts)), None)


def find_fitted(artifacts: Path, simulated: bool = False) -> Choice:
    """Choose the run whose ensemble was fitted last, on real images, else the bundled one.

    Args:
        artifacts: where the runs are.
        simulated: it is to answer for simulated cells, for which runs that were calibrated on these may be chosen.

    Raises:
        UserError: there is none.
    """
    passed_over: list[Path] = []
    for folder in _newest_first(artifacts):
        if simulated or not is_calibrated_on_simulated(folder):
            return Choice(folder, tuple(passed_over))
        passed_over.append(folder)
    bundled = pretrained_folder()
    if bundled:
        return Choice(bundled, tuple(passed_over))
    if passed_over:
        names = ", ".join(f"--run {run_name(folder)}" for folder in passed_over)
        raise UserError(
            f"{artifacts}: every ensemble here was fitted on simulated cells, so none is taken unasked for real "
            f"images; name one all the same ({names}), or fit one on images of yours"
        )
    raise UserError(
        f"{artifacts}: no run here has a fitted ensemble; train members ({command('train', '--all')}), fit one "
        f"({command('ensemble', 'fit')}), or name a run with --run"
    )


def _newest_first(artifacts: Path) -> list[Path]:
    files = [path for path in artifacts.glob(f"*/ensemble/{FILE}") if path.parents[1].name != PRETRAINED]
    return [path.parents[1] for path in sorted(files, key=lambda path: (path.stat().st_mtime_ns, path), reverse=True)]


def _is_run(folder: Path) -> bool:
    return any((folder / mark).exists() for mark in _MARKS)
