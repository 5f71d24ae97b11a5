"""Extras: libraries that only some need, asked for by name where they are missing."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from hpa_hier.errors import UserError


def import_extra(module: str, extra: str, place: object) -> ModuleType:
    """Import a library of an extra.

    Args:
        module: such as h5py.
        extra: of this package that brings it.
        place: the file or flag that needs it.

    Raises:
        UserError: it is not installed; the message says how to install it.

    >>> import_extra("json", "json", "a.json").__name__
    'json'
    """
    try:
        return import_module(module)
    except ImportError:
        raise _describe_missing(module, extra, place) from None


def check_extra(module: str, extra: str, place: object) -> None:
    """Refuse what needs a library of an extra that is not installed, without importing it.

    Args:
        module: such as ray.
        extra: of this package that brings it.
        place: the file or flag that needs it.

    Raises:
        UserError: as `import_extra`.

    >>> check_extra("json", "json", "a.json")
    """
    if find_spec(module.partition(".")[0]) is None:
        raise _describe_missing(module, extra, place)


def find_version(module: str) -> str:
    """Return the version of an installed library without importing it, by whatever distribution it came.

    >>> find_version("nowhere")
    'unknown'
    """
    from importlib import metadata  # takes a while, and few ask

    try:
        return metadata.version(module)
    except metadata.PackageNotFoundError:  # as onnxruntime is where onnxruntime-gpu has brought it
        others = metadata.packages_distributions().get(module, ())
        return " ".join(f"{name} {metadata.version(name)}" for name in sorted({*others})) or "unknown"


def _describe_missing(module: str, extra: str, place: object) -> UserError:
    return UserError(f"{place}: needs {module.partition('.')[0]}; `pip install 'hpa-hier[{extra}]'` adds it")
