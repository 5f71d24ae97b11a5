"""Command lines that are printed for the user to paste."""

from __future__ import annotations

import shlex
from pathlib import Path

Flag = str | int | bool | Path | tuple[str, ...] | None


def command(module: str, *words: str, **flags: Flag) -> str:
    """Return a command line of this package, quoted for the shell.

    Args:
        module: of the package, such as ``train`` or ``ensemble``.
        words: what comes before the flags, as they are: a sub-command, an id.
        flags: by name, in order. None and False are left out, True is a flag without a value, a tuple repeats its
            flag. The flag `run` takes a run's folder: one under artifacts/ is written by its name.

    >>> command("train", group="ER&Golgi", seed=1, restart=True)
    "python -m hpa_hier.train --group 'ER&Golgi' --seed 1 --restart"
    >>> command("ensemble", "fit", run=Path("artifacts/demo"), set=("ensemble.members=[a, b]",))
    "python -m hpa_hier.ensemble fit --run demo --set 'ensemble.members=[a, b]'"
    """
    line = ["python", "-m", f"hpa_hier.{module}", *words]
    for name, value in flags.items():
        flag = f"--{name.replace('_', '-')}"
        for one in value if isinstance(value, tuple) else (value,):
            if one is None or one is False:
                continue
            text = run_name(one) if name == "run" and isinstance(one, Path) else str(one)
            if one is True:
                line.append(flag)
            elif text.startswith("-"):  # would be taken for a flag
                line.append(f"{flag}={text}")
            else:
                line += [flag, text]
    return shlex.join(line)


def run_name(folder: Path) -> str:
    """Return what finds a run again from here: its name under artifacts/, `pretrained`, or its path.

    >>> run_name(Path("artifacts/demo")), run_name(Path("/data/runs/mine"))
    ('demo', '/data/runs/mine')
    """
    from hpa_hier.files.shipped import pretrained_folder  # imports pydantic

    if folder.resolve() == pretrained_folder():
        return "pretrained"
    return folder.name if folder.parent.resolve() == Path("artifacts").resolve() else str(folder)


def path_from_here(path: str | Path) -> str:
    """Return a path as it is typed in this folder: what is below it without the way there.

    >>> path_from_here(Path.cwd() / "trees" / "mine.yaml"), path_from_here("/data/mine.yaml")
    ('trees/mine.yaml', '/data/mine.yaml')
    """
    path = Path(path)
    return str(path.relative_to(Path.cwd())) if path.is_absolute() and path.is_relative_to(Path.cwd()) else str(path)
