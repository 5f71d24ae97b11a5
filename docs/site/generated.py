"""Pages that are made from the code: every command from its parser, every setting from its model.

A page says `<!-- generated: commands -->` or `<!-- generated: settings -->` where the text goes.
"""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Iterator
from importlib import import_module
from itertools import groupby
from typing import TYPE_CHECKING

from hpa_hier.cli.main import COMMANDS, SHORT
from hpa_hier.settings.describe import SettingRow, list_settings
from hpa_hier.settings.recipe import Recipe

if TYPE_CHECKING:
    from sphinx.application import Sphinx

    from hpa_hier.cli.command import Parser

_PLACE = re.compile(r"<!-- generated: (\w+) -->")
_EVERYWHERE = ("help", "version")  # flags of every command, told once


def describe_commands() -> str:
    """Return every command with its flags, as Markdown."""
    return "\n".join(line for name in COMMANDS for line in _describe_command(name))


def describe_settings() -> str:
    """Return every setting with its default, unit, range and meaning, block by block, as Markdown."""
    schema = Recipe.model_json_schema()
    meanings: dict[str, str] = {}
    for name, field in schema["properties"].items():
        _collect_meanings(schema, name, field, meanings)
    blocks: dict[str, list[SettingRow]] = {}
    for row in list_settings():
        blocks.setdefault(row.key.rpartition(".")[0], []).append(row)
    lines: list[str] = []
    for block, rows in blocks.items():
        lines += [f"## `{block}`" if block else "## The whole recipe", "", meanings.get(block, ""), ""]
        for row in rows:
            default = f": `{row.default}`" if row.default else ""
            lines += [f"`{row.key}`{default}", f": {_escape(row.meaning)} {_escape(row.facts)}".rstrip(), ""]
    return "\n".join(lines)


PARTS = {"commands": describe_commands, "settings": describe_settings}


def _collect_meanings(schema: dict, name: str, field: dict, meanings: dict[str, str]) -> None:
    """Note what each block of settings is for, by its key; a block in a list has NAME in its key."""
    inner = [field, *field.get("anyOf", ())]
    lists = next((one["items"]["$ref"] for one in inner if "$ref" in one.get("items", {})), None)
    reference = field.get("$ref") or lists
    if reference:
        block = schema["$defs"][reference.rpartition("/")[2]]
        key = name if "$ref" in field else f"{name}.NAME"
        meanings[key] = _escape(block.get("description", "").split("\n\n")[0].replace("\n", " "))
        for below, one in block["properties"].items():
            _collect_meanings(schema, f"{key}.{below}", one, meanings)


def _describe_command(name: str) -> Iterator[str]:
    parser: Parser = import_module(f"hpa_hier.cli.{name}").parser()
    yield from (f"## `hpa-hier {name}`", "")
    yield from _describe_parser(parser, f"hpa-hier {name}")
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, below in action.choices.items():
                also = f" (also `hpa-hier {word}`)" if SHORT.get(word) == name else ""
                yield from (f"### `hpa-hier {name} {word}`{also}", "")
                yield from _describe_parser(below, f"hpa-hier {name} {word}")


def _describe_parser(parser: argparse.ArgumentParser, typed: str) -> Iterator[str]:
    parser.prog = typed
    yield from _describe_text((parser.description or "").replace("%(prog)s", typed))
    formatter = parser._get_formatter()
    for group in parser._action_groups:
        actions = [one for one in group._group_actions if one.dest not in _EVERYWHERE and _is_flag(one)]
        if actions and group.title not in ("options", "positional arguments"):
            yield from (f"**{str(group.title).capitalize()}**", "")
        for action in actions:
            names = " ".join(action.option_strings[-1:])
            if action.nargs != 0:
                value = formatter._format_args(action, formatter._get_default_metavar_for_optional(action))
                names = f"{names} {value}".strip()
            needed = "needed: " if action.required and action.option_strings else ""
            text = formatter._expand_help(action) if action.help else ""
            yield from (f"`{names}`", f": {needed}{_escape(' '.join(text.split()))}", "")
    yield from _describe_text((parser.epilog or "").replace("%(prog)s", typed))


def _describe_text(text: str) -> Iterator[str]:
    """Yield a help text's paragraphs; lines that are set in are shown as they are."""
    for is_shown, lines in groupby(text.splitlines(), lambda line: line.startswith("  ")):
        paragraph = "\n".join(lines)
        yield from ("```text", textwrap.dedent(paragraph), "```", "") if is_shown else (_escape(paragraph), "")


def _is_flag(action: argparse.Action) -> bool:
    return not isinstance(action, argparse._SubParsersAction) and action.help != argparse.SUPPRESS


def _escape(text: str) -> str:
    """Return plain text as Markdown that shows it as it is; what stands between backticks is code already."""
    parts = text.split("`")
    return "`".join(part if k % 2 else re.sub(r"([*_<>\[\]|\\#$])", r"\\\1", part) for k, part in enumerate(parts))


def fill_in(text: str) -> str:
    """Return a page's text with what is made from the code."""
    return _PLACE.sub(lambda match: PARTS[match[1]](), text)


def fill_page(app: Sphinx, document: str, source: list[str]) -> None:
    """Put what is made from the code into a page while Sphinx reads it."""
    source[0] = fill_in(source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx what to call when."""
    app.connect("source-read", fill_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
