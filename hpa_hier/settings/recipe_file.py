"""Recipe files: read with every problem named by its line, changed by --set, and written back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from operator import eq
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from hpa_hier.errors import UserError
from hpa_hier.files.shipped import find_shipped
from hpa_hier.files.spelling import did_you_mean
from hpa_hier.files.yaml_file import Key, YamlDocument, parse_yaml, read_yaml, write_yaml
from hpa_hier.settings.recipe import MemberSettings, Recipe
from hpa_hier.settings.renamed import find_old_names, translate_settings
from hpa_hier.settings.training import TrainingSettings

DEFAULT_RECIPE = "configs/default.yaml"


def load_recipe(config: str | None, sets: Sequence[str] = ()) -> Recipe:
    """Read a recipe file, change single settings of it, and check the whole.

    A `config.yaml` that was saved with a run or a member may use the names that settings had then.

    Args:
        config: the file, or a shipped one's name; None: configs/default.yaml.
        sets: changes such as ``training.epochs=5``; the value is YAML. A list's item is named by its index, a member
            also by its name: ``members.coarse.seed=3``.

    Raises:
        UserError: ``configs/x.yaml:12: training.epochs must be greater than 0, got -1``, or with the --set at fault.

    >>> recipe = load_recipe("demo", ["training.epochs=5", "members.leaf-s1.seed=7"])
    >>> recipe.run, recipe.training.epochs, [member.seed for member in recipe.members if member.name == "leaf-s1"]
    ('demo', 5, [7])
    """
    file = find_shipped(config or DEFAULT_RECIPE)
    document = read_yaml(file)
    settings: Any = {} if document.value is None else document.value
    if not isinstance(settings, dict):
        raise document.error("a recipe holds settings such as 'run: demo', and this is a list or a single value")
    if file.name == "config.yaml" and any((file.parent / beside).is_file() for beside in ("run.json", "member.json")):
        settings = translate_settings(settings)  # it was saved with a run or a member
    changed = {_change(settings, text): text for text in sets}
    for path, problem in find_old_names(settings):
        guilty = next((text for keys, text in changed.items() if keys == path[: len(keys)]), None)
        raise UserError(f"--set {guilty}: {problem}") if guilty else document.error(problem, *path)
    above: tuple[Key, ...] = ()
    try:
        recipe = Recipe.model_validate(settings)
        for index, member in enumerate(recipe.members):
            above = ("members", index, "training")
            recipe.member_training(member)
    except ValidationError as error:
        raise _recipe_error(document, changed, error, above) from None
    return recipe


def recipe_yaml(recipe: Recipe) -> str:
    """Return a recipe with all its settings as YAML, which `load_recipe` reads back as the same recipe."""
    return write_yaml(recipe.model_dump(mode="json"))


def _change(settings: dict[str, Any], text: str) -> tuple[Key, ...]:
    """Make one --set change in place and return the path of what it changed."""
    name, equals, value = text.partition("=")
    keys = name.strip().split(".")
    if not equals or not all(keys):
        raise UserError(f"--set {text}: must be such as training.epochs=5")
    path: list[Key] = []
    block: Any = settings
    for depth, key in enumerate(keys):
        found = _key_in(block, key)
        if found is None:
            raise UserError(f"--set {text}: '{'.'.join(keys[:depth])}' has nothing called '{key}'; name a setting")
        path.append(found)
        if depth < len(keys) - 1:
            if isinstance(block, dict) and block.get(str(found)) is None:
                block[found] = {}
            block = block[found]
    try:
        block[path[-1]] = parse_yaml(value, "value").value
    except UserError as error:
        raise UserError(f"--set {text}: {str(error).removeprefix('value:1: ')}") from None
    return tuple(path)


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
    document: YamlDocument, changed: Mapping[tuple[Key, ...], str], error: ValidationError, above: tuple[Key, ...]
) -> UserError:
    """Return the first problem that pydantic found, with the line or the --set that it comes from."""
    problems = error.errors(include_url=False)
    first = problems[0]
    path = (*above, *first["loc"])
    # one path leads to, or through, the other's end: a check of a whole block names only the block
    touched = {keys: text for keys, text in changed.items() if path and all(map(eq, keys, path))}
    # a check of a whole block names the settings that it is about
    named = [text for keys, text in touched.items() if re.search(rf"\b{re.escape(str(keys[-1]))}\b", first["msg"])]
    exact = [text for keys, text in touched.items() if len(keys) <= len(path)]
    unknown = list(touched.values()) if first["type"] == "extra_forbidden" else []
    guilty = next(iter((*exact, *named, *unknown)), None)
    problem = _describe_problem(first, path) + (f" (and {len(problems) - 1} more)" if len(problems) > 1 else "")
    return UserError(f"--set {guilty}: {problem}") if guilty else document.error(problem, *path)


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
            kind = model.model_fields[key].annotation
            blocks = (one for one in (kind, *get_args(kind)) if isinstance(one, type) and issubclass(one, BaseModel))
            model = next(blocks, model)
    return tuple(model.model_fields)
