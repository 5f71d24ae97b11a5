"""Recipe files: read with every problem named by its line, changed by --set, and written back."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from operator import eq
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from hpa_hier.errors import UserError
from hpa_hier.files.shipped import find_shipped
from hpa_hier.files.spelling import did_you_mean
from hpa_hier.files.yaml_file import Key, YamlDocument, parse_yaml, read_yaml, write_yaml
from hpa_hier.settings.origins import Change, Origins
from hpa_hier.settings.recipe import AUTO, MemberSettings, Recipe
from hpa_hier.settings.renamed import find_old_names
from hpa_hier.settings.saved import is_saved, read_saved
from hpa_hier.settings.training import FIRST_WEIGHTS, TrainingSettings

DEFAULT_RECIPE = "configs/default.yaml"


def load_recipe(config: str | None, sets: Sequence[str] = (), flags: Mapping[str, str] | None = None) -> Recipe:
    """Read a recipe file, change single settings of it, and check the whole.

    A change of `training` wins over what members themselves set, and one of `members.NAME.training` over both. A
    `config.yaml` that was saved with a run or a member may use the names that settings had then, and is read as if one
    were in the folder where the run was begun.

    Args:
        config: the file, or a shipped one's name; None: configs/default.yaml.
        sets: changes such as ``training.epochs=5``; the value is YAML. A list's item is named by its index, a member
            also by its name: ``members.coarse.seed=3``.
        flags: further changes, each with the flag that it was typed as, which errors name.

    Raises:
        UserError: ``configs/x.yaml:12: training.epochs must be greater than 0, got -1``, or with the --set at fault.

    >>> recipe = load_recipe("demo", ["training.epochs=5", "members.leaf-s1.seed=7"])
    >>> recipe.run, recipe.training.epochs, [member.seed for member in recipe.listed if member.name == "leaf-s1"]
    ('demo', 5, [7])
    """
    file = find_shipped(config or DEFAULT_RECIPE)
    document = read_yaml(file)
    settings: Any = {} if document.value is None else copy.deepcopy(document.value)
    if not isinstance(settings, dict):
        raise document.error("a recipe holds settings such as 'run: demo', and this is a list or a single value")
    if is_saved(file):
        settings = read_saved(settings, file)
    given = {**{text: f"--set {text}" for text in sets}, **(flags or {})}
    waits = {text for text in given if _waits(settings, text)}
    changes = [_change(settings, text, typed) for text, typed in given.items() if text not in waits]
    waiting = [Change((), text, typed) for text, typed in given.items() if text in waits]
    return _check(settings, Origins(document, tuple(changes), tuple(waiting)))


def with_members(recipe: Recipe, members: Sequence[MemberSettings], ensemble: Mapping[str, Any]) -> Recipe:
    """Return a recipe of which `members: auto` has become a list, with the command line's changes to them.

    Args:
        recipe: with `members: auto`.
        members: the list.
        ensemble: settings of the block `ensemble` that go with it.

    Raises:
        UserError: a change names a member that there is not, or a setting that it has not.
    """
    settings = recipe.model_dump(mode="json")
    settings["members"] = [member.model_dump(mode="json", exclude_defaults=True) for member in members]
    settings["ensemble"] |= ensemble
    before = recipe.origins
    late = [_change(settings, change.text, change.typed) for change in before.waiting]
    places: list[tuple[Key, ...]] = [("members",), *(("ensemble", name) for name in ensemble)]
    derived = {**before.derived, **dict.fromkeys(places, f"members: {AUTO}")}
    return _check(settings, replace(before, changes=(*before.changes, *late), waiting=(), derived=derived))


def recipe_yaml(recipe: Recipe) -> str:
    """Return a recipe with all its settings as YAML, which `load_recipe` reads back as the same recipe."""
    return write_yaml(recipe.model_dump(mode="json"))


def _check(settings: dict[str, Any], origins: Origins) -> Recipe:
    """Return the settings as a recipe, in which the command line's changes have won over members' own training."""
    document = origins.document or YamlDocument(settings, DEFAULT_RECIPE, {})
    for path, problem in find_old_names(settings):
        guilty = next((change.typed for change in origins.changes if change.reaches(path)), None)
        raise UserError(f"{guilty}: {problem}") if guilty else document.error(problem, *path)
    _let_changes_win(settings, origins.changes)
    above: tuple[Key, ...] = ()
    try:
        recipe = Recipe.model_validate(settings)
        for index, member in enumerate(recipe.listed):
            above = ("members", index, "training")
            recipe.member_training(member)
    except ValidationError as error:
        raise _recipe_error(document, origins.changes, error, above) from None
    return recipe.with_origins(origins)


def _let_changes_win(settings: dict[str, Any], changes: Sequence[Change]) -> None:
    """Take out of the file's training settings, the members' own too, what the command line's changes take over."""
    recipe, members = settings.get("training"), settings.get("members")
    shared = [change.path[1:] for change in changes if change.path[:1] == ("training",)]
    if () in shared and isinstance(recipe, dict):  # the whole block
        shared = [(name,) for name in recipe]
    if isinstance(recipe, dict):
        _drop_other_starts(recipe, recipe, shared)
    for index, member in enumerate(members if isinstance(members, list) else ()):
        training = member.get("training") if isinstance(member, dict) else None
        if not isinstance(training, dict):
            continue
        place = ("members", index, "training")
        own = [change.path[3:] for change in changes if change.path[:3] == place]
        for path in shared:
            if path not in own:
                _remove(training, path)
        _drop_other_starts(training, training, own)
        if isinstance(recipe, dict):
            _drop_other_starts(training, recipe, [path for path in shared if path not in own], keep=own)


def _drop_other_starts(
    training: dict[str, Any],
    given: Mapping[str, Any],
    paths: Sequence[tuple[Key, ...]],
    keep: Sequence[tuple[Key, ...]] = (),
) -> None:
    """Drop the first weights of a training where the command line gives others: of all its ways, one holds."""
    names = {path[0] for path in paths if path}
    if any(name in names and given.get(name) not in (None, False, "none") for name in FIRST_WEIGHTS):
        for name in {*FIRST_WEIGHTS, "weights_sha256"} - names - {path[0] for path in keep if path}:
            training.pop(name, None)


def _remove(block: dict[str, Any], path: Sequence[Key]) -> None:
    """Remove what is at a path, or a value that stands in place of a block on the way to it."""
    for depth, key in enumerate(path):
        below = block.get(str(key))
        if depth == len(path) - 1 or not isinstance(below, dict):
            block.pop(str(key), None)
            return
        block = below


def _waits(settings: Mapping[str, Any], text: str) -> bool:
    """Say whether a change is one of members that are chosen only when the run starts."""
    return text.strip().startswith("members.") and settings.get("members", AUTO) in (AUTO, None)


def _change(settings: dict[str, Any], text: str, typed: str) -> Change:
    """Make one change in place and return it with the path of what it changed."""
    name, equals, value = text.partition("=")
    keys = name.strip().split(".")
    if not equals or not all(keys):
        raise UserError(f"{typed}: must be such as training.epochs=5")
    path: list[Key] = []
    block: Any = settings
    for depth, key in enumerate(keys):
        found = _key_in(block, key)
        if found is None:
            raise UserError(f"{typed}: '{'.'.join(keys[:depth])}' has nothing called '{key}'{_cure(block, key)}")
        path.append(found)
        if depth < len(keys) - 1:
            if isinstance(block, dict) and block.get(str(found)) is None:
                block[found] = {}
            block = block[found]
    try:
        block[path[-1]] = parse_yaml(value, "value").value
    except UserError as error:
        raise UserError(f"{typed}: {str(error).removeprefix('value:1: ')}") from None
    return Change(tuple(path), text, typed)


def _cure(block: object, key: str) -> str:
    names = [str(item["name"]) for item in block if "name" in item] if isinstance(block, list) else []
    return (did_you_mean(key, names) or f"; it has {', '.join(names)}") if names else "; name a setting"


def _key_in(block: object, key: str) -> Key | None:
    """Return how a block is indexed for a part of a --set path: by name, or a list by index or its item's name."""
    if isinstance(block, dict):
        return key
    if not isinstance(block, list):
        return None
    names = [item.get("name") if isinstance(item, dict) else None for item in block]
    if key in names:
        return names.index(key)
    return int(key) if key.isascii() and key.isdigit() and int(key[:6]) < len(block) else None


def _recipe_error(
    document: YamlDocument, changes: Sequence[Change], error: ValidationError, above: tuple[Key, ...]
) -> UserError:
    """Return the first problem that pydantic found, with the line or the flag that it comes from."""
    problems = error.errors(include_url=False)
    first = problems[0]
    path = (*above, *first["loc"])
    # one path leads to, or through, the other's end: a check of a whole block names only the block
    touched = {change.path: change.typed for change in changes if path and all(map(eq, change.path, path))}
    # a check of a whole block names the settings that it is about
    named = [typed for keys, typed in touched.items() if re.search(rf"\b{re.escape(str(keys[-1]))}\b", first["msg"])]
    exact = [typed for keys, typed in touched.items() if len(keys) <= len(path)]
    unknown = list(touched.values()) if first["type"] == "extra_forbidden" else []
    guilty = next(iter((*exact, *named, *unknown)), None)
    problem = _describe_problem(first, path) + (f" (and {len(problems) - 1} more)" if len(problems) > 1 else "")
    return UserError(f"{guilty}: {problem}") if guilty else document.error(problem, *path)


def _describe_problem(error: ErrorDetails, path: tuple[Key, ...]) -> str:
    setting = ".".join(map(str, path))
    message = re.sub(
        r"^(Value error, )|^(Input|String|Tuple|Dictionary) should ", lambda m: "" if m[1] else "must ", error["msg"]
    )
    if error["type"] == "extra_forbidden":
        known = _names_at(path[:-1])
        hint = did_you_mean(str(path[-1]), known) or f"; known here are {', '.join(known)}"
        return f"unknown setting '{setting}'{hint}"
    if error["type"] == "missing":
        return f"'{setting}' is missing; add it"
    if error["type"] == "string_pattern_mismatch" and path[-1:] in (("run",), ("name",)):
        message = "must be a word of letters, digits, dots and dashes, at most 64"
    if error["type"] in ("model_type", "model_attributes_type"):
        message = "must be a block of settings"
    if error["type"] == "value_error" and not message.startswith("must"):
        return f"{setting}: {message}" if setting else message  # a check of a whole block, which names what it got
    value = error["input"]
    got = str(value).lower() if isinstance(value, bool) else "nothing" if value is None else repr(value)
    return f"{setting} {message}, got {got if len(got) <= 60 else got[:60] + '…'}"


def _names_at(path: tuple[Key, ...]) -> tuple[str, ...]:
    """Return the settings that a block of the recipe may hold."""
    model: type[BaseModel] = Recipe
    for key in path:
        if (model, key) == (MemberSettings, "training"):
            model = TrainingSettings
        elif isinstance(key, str) and key in model.model_fields:
            model = next(_list_blocks(model.model_fields[key].annotation), model)
    return tuple(model.model_fields)


def _list_blocks(kind: object) -> Iterator[type[BaseModel]]:
    """Yield the blocks of settings that a type holds, as inside a tuple's items."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    for inner in get_args(kind):
        yield from _list_blocks(inner)
