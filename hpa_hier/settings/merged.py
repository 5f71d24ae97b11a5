"""Merged settings: a recipe with all its values, and where each of them comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from hpa_hier.files.yaml_file import Key, write_line
from hpa_hier.settings.recipe import MemberSettings, Recipe

_Path = tuple[Key, ...]


def describe_merged(recipe: Recipe, member: MemberSettings | None = None) -> str:
    r"""Return a recipe with all its settings as YAML, and behind each where its value comes from.

    Args:
        recipe: its members are listed, or still `auto`.
        member: one of them, whose training settings are shown instead of the recipe's.

    >>> print(*describe_merged(Recipe(run="mine")).splitlines()[:2], sep="\n")
    run: mine  # default
    artifacts: artifacts  # default
    """
    origins = recipe.origins
    index = None if member is None or member not in recipe.listed else recipe.listed.index(member)

    def tell(path: _Path) -> str:
        if member is not None and path[0] == "training" and _holds(member.training, path[1:]):
            own = origins.of("members", index, *path) if index is not None else origins.of(*path)
            return own if own.startswith("-") else f"member '{member.name}', {own}"
        return origins.of(*path)

    blocks = recipe if member is None else recipe.model_copy(update={"training": recipe.member_training(member)})
    return "\n".join(_describe_block(blocks, (), tell))


def _describe_block(block: BaseModel, path: _Path, tell: Callable[[_Path], str]) -> Iterator[str]:
    """Yield the lines of a block: name, value and origin of each setting."""
    indent, values = "  " * len(path), block.model_dump(mode="json")
    for name in type(block).model_fields:
        inner, here = getattr(block, name), (*path, name)
        if isinstance(inner, BaseModel):
            yield f"{indent}{name}:"
            yield from _describe_block(inner, here, tell)
        elif here == ("members",) and inner:
            yield "members:"
            for index, one in enumerate(inner):
                shown = one.model_dump(mode="json", exclude_defaults=True)
                yield f"  - {write_line(shown)}  # {_tell_member(shown, index, tell)}"
        else:
            yield f"{indent}{name}: {write_line(values[name])}  # {tell(here)}"


def _tell_member(member: Mapping[str, Any], index: int, tell: Callable[[_Path], str]) -> str:
    """Return where a member comes from: the recipe's line, and the flags that have changed it."""
    place = ("members", index)
    training = (tell((*place, "training", name)) for name in member.get("training", {}))
    told = [tell(place), *(tell((*place, name)) for name in member if name != "training"), *training]
    return ", ".join(dict.fromkeys(one for number, one in enumerate(told) if number == 0 or one.startswith("-")))


def _holds(training: Mapping[str, Any], path: _Path) -> bool:
    """Say whether a member's own training gives a setting."""
    block: Any = training
    for key in path:
        if not isinstance(block, Mapping) or key not in block:
            return False
        block = block[key]
    return True
