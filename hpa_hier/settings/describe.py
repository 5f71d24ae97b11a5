"""Every setting with its default, unit, range and meaning: as rows, and as the text of a recipe."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from hpa_hier.files.yaml_file import write_yaml
from hpa_hier.settings.recipe import Recipe

_WIDTH = 120  # characters of a line


@dataclass(frozen=True)
class SettingRow:
    """One setting.

    Attributes:
        key: as `--set` takes it, such as ``training.epochs``; of a member, ``members.NAME.seed``.
        default: as YAML; "" where the setting must be given.
        unit: of its numbers, "" where there is none.
        choices: the words that it takes; () where others are taken too.
        limits: of its numbers, such as ``16 to 2048``.
        meaning: what it does.
    """

    key: str
    default: str
    unit: str
    choices: tuple[str, ...]
    limits: str
    meaning: str


def list_settings(model: type[BaseModel] = Recipe, above: str = "") -> Iterator[SettingRow]:
    """Yield the settings of a block and of the blocks in it, in their order.

    Args:
        model: the block.
        above: what its keys begin with.

    >>> rows = {row.key: row for row in list_settings()}
    >>> row = rows["data.image_size"]
    >>> row.default, row.unit, row.limits, row.meaning
    ('256', 'pixels', '16 to 2048', 'side of the square images kept in a pack')
    >>> rows["training.optimizer"].choices
    ('adamw', 'adam', 'sgd')
    """
    for name, field in model.model_fields.items():
        block = _block(field.annotation)
        if block and not get_args(field.annotation):
            yield from list_settings(block, f"{above}{name}.")
            continue
        yield _row(f"{above}{name}", field)
        if block:
            yield from list_settings(block, f"{above}{name}.NAME.")


def describe_settings() -> str:
    """Return every setting as the text of a recipe that changes nothing: meaning, unit and range above each default."""
    return "\n".join(_lines(Recipe, Recipe().model_dump(mode="json"), ""))


def _lines(model: type[BaseModel], values: dict[str, Any], indent: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        block = _block(field.annotation)
        if block and not get_args(field.annotation):
            yield from [] if indent else [""]
            yield f"{indent}# {block.__doc__}"
            yield f"{indent}{name}:"
            yield from _lines(block, values[name], indent + "  ")
            continue
        yield from _comment(_row(name, field), indent)
        yield indent + write_yaml({name: values[name]}).rstrip()
        if block:
            for inner, one in block.model_fields.items():
                row = _row(inner, one)
                yield from _comment(row, indent + "#   ", "")
                yield f"{indent}#   {inner}: {row.default}".rstrip()


def _comment(row: SettingRow, indent: str, mark: str = "# ") -> list[str]:
    facts = "; ".join(filter(None, (row.unit, row.limits, " | ".join(row.choices))))
    text = row.meaning + (f" [{facts}]" if facts else "")
    return textwrap.wrap(text, _WIDTH, initial_indent=indent + mark, subsequent_indent=indent + mark)


def _row(key: str, field: FieldInfo) -> SettingRow:
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    default = "" if field.is_required() else write_yaml({"x": _plain(field.default)}).removeprefix("x:").strip()
    limits = _limits([*field.metadata, *_metadata(field.annotation)])
    choices = tuple(dict.fromkeys(map(str, _words(field.annotation))))
    return SettingRow(key, default, str(extra.get("unit", "")), choices, limits, field.description or "")


def _plain(value: Any) -> Any:  # noqa: ANN401 - any setting's default
    return list(value) if isinstance(value, tuple) else value


def _block(annotation: object) -> type[BaseModel] | None:
    """Return the block of settings that an annotation is, or is a list of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for kind in get_args(annotation) if (found := _block(kind))), None)


def _words(annotation: object) -> Iterator[object]:
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
    else:
        for kind in get_args(annotation):
            yield from _words(kind)


def _metadata(annotation: object) -> Iterator[object]:
    """Yield what is annotated inside a list, a mapping or an optional value."""
    yield from getattr(annotation, "__metadata__", ())
    for kind in get_args(annotation):
        yield from _metadata(kind)


def _limits(metadata: list[object]) -> str:
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    bounds: dict[str, float] = {}
    for one in metadata:
        for limit in getattr(one, "metadata", None) or [one]:
            bounds |= {
                name: getattr(limit, name) for name in words if getattr(limit, name, 1 << 32) not in (None, 1 << 32)
            }
    if {"ge", "le"} <= bounds.keys():
        return f"{bounds['ge']} to {bounds['le']}"
    return ", ".join(f"{word} {bounds[name]}" for name, word in words.items() if name in bounds)
