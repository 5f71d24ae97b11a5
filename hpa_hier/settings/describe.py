"""Every setting with its default, unit, range and meaning: as rows, and as the text of a recipe."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from hpa_hier.files.yaml_file import write_yaml
from hpa_hier.settings.recipe import Recipe

_WIDTH = 120  # characters of a line
_LIMITS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}


@dataclass(frozen=True)
class SettingRow:
    """One setting."""

    key: str  # as `--set` takes it, such as training.epochs; of a member, members.NAME.seed
    default: str  # as YAML; "" where the setting must be given
    unit: str  # of its numbers, "" where there is none
    choices: tuple[str, ...]  # the words that it takes; () where others are taken too
    limits: str  # of its numbers, such as `16 to 2048`
    meaning: str

    @property
    def facts(self) -> str:
        """Unit, range and choices in brackets; "" where there are none."""
        facts = "; ".join(filter(None, (self.unit, self.limits, " | ".join(self.choices))))
        return f"[{facts}]" if facts else ""


def list_settings() -> Iterator[SettingRow]:
    """Yield every setting of a recipe, in order.

    >>> rows = {row.key: row for row in list_settings()}
    >>> row = rows["data.image_size"]
    >>> row.default, row.unit, row.limits, row.meaning
    ('256', 'pixels', '16 to 2048', 'side of the square images kept in a pack')
    >>> rows["training.optimizer"].choices
    ('adamw', 'adam', 'sgd')
    """
    yield from _rows(_schema(), "")


def describe_settings() -> str:
    """Return every setting as the text of a recipe that changes nothing: meaning, unit and range above each default."""
    return "\n".join(_lines(_schema(), ""))


@cache
def _schema() -> dict[str, Any]:
    return Recipe.model_json_schema()


def _block(field: dict[str, Any]) -> dict[str, Any] | None:
    """Return the block of settings that a field is, or is a list of."""
    lists = [field, *field.get("anyOf", ())]
    name = field.get("$ref") or next((one["items"].get("$ref") for one in lists if "items" in one), None)
    return _schema()["$defs"][name.rpartition("/")[2]] if name else None


def _rows(block: dict[str, Any], above: str) -> Iterator[SettingRow]:
    for name, field in block["properties"].items():
        inner = _block(field)
        if "$ref" not in field:
            yield _row(f"{above}{name}", field)
        if inner:
            yield from _rows(inner, f"{above}{name}." if "$ref" in field else f"{above}{name}.NAME.")


def _lines(block: dict[str, Any], indent: str) -> Iterator[str]:
    for name, field in block["properties"].items():
        inner = _block(field)
        if inner and "$ref" in field:
            yield from ([] if indent else [""]) + [f"{indent}# {inner['description']}", f"{indent}{name}:"]
            yield from _lines(inner, indent + "  ")
            continue
        yield from _setting_lines(_row(name, field), indent + "# ", indent)
        for row in _rows(inner, "") if inner else ():
            yield from _setting_lines(row, indent + "#   ", indent + "#   ")


def _setting_lines(row: SettingRow, comment: str, indent: str) -> list[str]:
    text = f"{row.meaning} {row.facts}".rstrip()
    lines = textwrap.wrap(text, _WIDTH, initial_indent=comment, subsequent_indent=comment)
    return [*lines, f"{indent}{row.key}: {row.default}".rstrip()]


def _row(key: str, field: dict[str, Any]) -> SettingRow:
    default = write_yaml({"x": field["default"]}).removeprefix("x:").strip() if "default" in field else ""
    bounds = {name: bound for name in _LIMITS for bound in _values(field, name) if bound != 1 << 32}  # that of seeds
    limits = ", ".join(f"{_LIMITS[name]} {bound}" for name, bound in bounds.items())
    if {"minimum", "maximum"} <= bounds.keys():
        limits = f"{bounds['minimum']} to {bounds['maximum']}"
    choices = tuple(str(one) for words in _values(field, "enum") for one in words)
    return SettingRow(key, default, field.get("unit", ""), choices, limits, field.get("description", ""))


def _values(schema: object, key: str) -> Iterator[Any]:
    """Yield what a key has anywhere in a schema, as inside a list's items."""
    if isinstance(schema, dict):
        yield from [schema[key]] if key in schema else []
    for part in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from _values(part, key)
