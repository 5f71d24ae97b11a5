"""Saved recipes: a run's own config.yaml, read from wherever its folder lies and from whatever folder one is in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hpa_hier.files.atomic import read_json
from hpa_hier.files.remote.path import names_folder
from hpa_hier.files.shell import path_from_here
from hpa_hier.files.shipped import shipped_names
from hpa_hier.files.yaml_file import write_yaml
from hpa_hier.settings.recipe import Recipe
from hpa_hier.settings.renamed import translate_settings

CONFIG = "config.yaml"
_RUN_FILE, _TAXONOMY = "run.json", "taxonomy.yaml"  # beside it
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # a run's name


def is_saved(file: Path) -> bool:
    """Say whether a recipe file was saved with a run or a member."""
    return file.name == CONFIG and any((file.parent / beside).is_file() for beside in (_RUN_FILE, "member.json"))


def read_saved(settings: dict[str, Any], file: Path) -> dict[str, Any]:
    """Return a saved recipe's settings under the names of today, and of a run's, with paths that lead there from here.

    Relative paths in it are those of the folder in which the run was begun. Where the taxonomy or the pack is gone, the
    run's copy of the former and its note of the latter take their place.
    """
    settings = translate_settings(settings)
    if not (file.parent / _RUN_FILE).is_file():
        return settings
    folder = file.parent
    base = _find_base(folder, str(settings.get("artifacts", "artifacts")))
    for block, key in _list_paths(settings):
        block[key] = _lead_there(block[key], base)
    tree, data = settings.get("taxonomy"), settings.get("data")
    if isinstance(tree, str) and not _is_taxonomy(tree) and (folder / _TAXONOMY).is_file():
        settings["taxonomy"] = str(folder / _TAXONOMY)
    if isinstance(data, dict) and isinstance(data.get("pack"), str) and not names_folder(data["pack"]):
        begun = read_json(folder / _RUN_FILE)
        known = begun.get("pack") if isinstance(begun, dict) else None
        data["pack"] = known if isinstance(known, str) and Path(known).is_dir() else data["pack"]
    if _WORD.fullmatch(folder.name):
        settings["run"], settings["artifacts"] = folder.name, str(folder.parent)
    return settings


def saved_yaml(recipe: Recipe, folder: Path) -> str:
    """Return a recipe as the text of its run's config.yaml, with paths that lead there from any folder."""
    settings = recipe.model_dump(mode="json")
    base = _find_base(folder, recipe.artifacts)
    for block, key in _list_paths(settings) if base != Path.cwd() else ():
        path = Path(block[key])
        if path.exists() and block[key] not in shipped_names():
            inside = base is not None and path.resolve().is_relative_to(base)
            block[key] = str(path.resolve().relative_to(base) if inside and base else path.absolute())
    return write_yaml(settings)


def _find_base(folder: Path, artifacts: str) -> Path | None:
    """Return the folder that a run was begun in; None where its `artifacts` does not tell."""
    parts, home = Path(artifacts).parts, folder.resolve().parent
    if Path(artifacts).is_absolute() or ".." in parts or home.parts[-len(parts) :] != parts:
        return None
    return home.parents[len(parts) - 1]


def _list_paths(settings: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield each block with the setting of it that is a path."""
    members = settings.get("members")
    trainings = [one.get("training") for one in members if isinstance(one, dict)] if isinstance(members, list) else []
    places = [(settings, "taxonomy"), (settings.get("data"), "pack")]
    places += [(training, "weights") for training in (settings.get("training"), *trainings)]
    for block, key in places:
        if isinstance(block, dict) and isinstance(block.get(key), str):
            yield block, key


def _lead_there(path: str, base: Path | None) -> str:
    """Return a path of the folder in which a run was begun as one from here."""
    if base is None or Path(path).is_absolute() or base == Path.cwd() or not (base / path).exists():
        return path
    return path_from_here(base / path)


def _is_taxonomy(name: str) -> bool:
    return Path(name).is_file() or name in shipped_names() or f"hierarchy/{name}.yaml" in shipped_names()
