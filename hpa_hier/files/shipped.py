"""Where what comes with the package lies: taxonomies, recipes, a small ensemble; in a checkout or in a wheel."""

from __future__ import annotations

from pathlib import Path

from hpa_hier.errors import UserError
from hpa_hier.files.atomic import write_new
from hpa_hier.files.spelling import did_you_mean

_PACKAGE = Path(__file__).resolve().parents[1]
_HOMES = (_PACKAGE / "shipped", _PACKAGE.parent)  # in a wheel; in a checkout
_FOLDERS = ("hierarchy", "configs")
_PRETRAINED = (_PACKAGE / "shipped" / "pretrained", _PACKAGE.parent / "artifacts" / "pretrained")


def find_shipped(name: str, folder: str = "configs") -> Path:
    """Return the file called `name`: from the user's folder if it is there, else the copy that came with the package.

    Args:
        name: a path such as ``hierarchy/hpa28.yaml``, or ``hpa28`` for a file of `folder`.
        folder: where a bare word is looked up: hierarchy or configs.

    Raises:
        UserError: neither exists; the message names the nearest, or what is shipped.

    >>> find_shipped("demo").name, find_shipped("hpa28", "hierarchy").name
    ('demo.yaml', 'hpa28.yaml')
    """
    path = Path(name)
    bare = len(path.parts) == 1 and not path.suffix
    try:
        if path.is_file() or (path.exists() and not bare):
            return path
        if not path.suffix and not path.is_absolute() and path.parts[:1] not in [(one,) for one in _FOLDERS]:
            path = Path(folder, f"{name}.yaml")  # as choices/rnn, too
        home = path.parts[0] if path.parts[:1] and path.parts[0] in _FOLDERS else ""
        for found in (path, *(root / path for root in _HOMES)) if home and ".." not in path.parts else ():
            if found.is_file():
                return found
    except (OSError, ValueError) as error:  # a name too long, or with a NUL
        raise UserError(f"{name!r}: cannot be a file's name ({error})") from None
    raise UserError(_describe_missing(name, path, home or folder, bare))


def _describe_missing(name: str, path: Path, folder: str, bare: bool) -> str:
    """Say that there is no such file, and which one was probably meant: a shipped one, or one that lies there."""
    shipped = [one for one in shipped_names() if one.startswith(f"{folder}/")]
    top = [Path(one).stem for one in shipped if one.count("/") == 1]
    here = [one.as_posix() for one in Path(name).parent.glob("*.y*ml")]
    near = did_you_mean(name, [*here, *top] if bare else [*here, *shipped])
    lists = f"{', '.join(top)}" + (" (hpa-hier recipe list shows all)" if folder == "configs" else "")
    return f"{name}: no such file{near or f'; check the path, or name a shipped one: {lists}'}"


def copy_shipped(name: str, folder: str, out: Path | None = None) -> Path:
    """Copy a shipped file to where it can be edited, and return its path; nothing is ever overwritten.

    Args:
        name: as `find_shipped` takes it.
        folder: hierarchy or configs.
        out: file to write; None: the same name in this folder.

    Raises:
        UserError: there is no such file, or one is in the way.
    """
    found = find_shipped(name, folder)
    out = out or Path(found.name)
    if out.is_dir():
        raise UserError(f"--out {out}: a folder; name the file, as in {out / found.name}")
    write_new(out, found.read_text(encoding="utf-8"))
    return out


def shipped_names() -> tuple[str, ...]:
    """Return the names that `find_shipped` finds anywhere, such as ``hierarchy/hpa28.yaml``."""
    for home in _HOMES:
        names = [path.relative_to(home).as_posix() for folder in _FOLDERS for path in (home / folder).rglob("*.yaml")]
        if names:
            return tuple(sorted(names))
    return ()


def shipped_name(path: Path) -> str:
    """Return the name of a shipped file, such as ``hierarchy/hpa28.yaml``; "" where it is none of these.

    >>> shipped_name(find_shipped("demo"))
    'configs/demo.yaml'
    """
    for home in _HOMES:
        if path.resolve().is_relative_to(home) and (name := path.resolve().relative_to(home).as_posix()):
            return name if name.split("/")[0] in _FOLDERS else ""
    return ""


def pretrained_folder() -> Path | None:
    """Return the run folder of the ensemble that comes with the package, None where it was taken out."""
    return next((folder for folder in _PRETRAINED if (folder / "ensemble").is_dir()), None)
