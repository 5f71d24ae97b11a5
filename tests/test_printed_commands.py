"""Commands that the program prints and its pages show: each is one that the real parser takes."""

from __future__ import annotations

import ast
import contextlib
import io
import re
import shlex
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from hpa_hier.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "artifacts").rglob("README.md"))]
START = re.compile(r"(?:python -m hpa_hier[. ]|(?<![\w/-])hpa-hier )(?=[a-z])")


@cache
def help_for(*words: str) -> str:
    """Return the help of a command, which lists its flags."""
    parser = import_module(f"hpa_hier.cli.{words[0]}").parser()
    if not parser.summaries:
        return str(parser.format_help())
    if len(words) == 1 or words[1] not in parser.summaries:
        return str(parser.format_help()) if len(words) == 1 else ""
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.suppress(SystemExit):
        parser.parse_args([words[1], "--help"])
    return printed.getvalue()


def unknown_flags(words: list[str]) -> list[str]:
    """Return what no parser knows among a command's words: the command itself, or its flags."""
    if words[0] not in COMMANDS:
        return words[:1]
    has_verb = len(words) > 1 and re.fullmatch(r"[a-z]+", words[1]) and words[0] in ("taxonomy", "data", "ensemble")
    text = help_for(*words[: 2 if has_verb else 1])
    flags = {word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)}
    return sorted(flag for flag in flags if not re.search(rf"{flag}\b(?!-)", text)) if text else words[:2]


def printed_texts() -> Iterator[tuple[str, str]]:
    """Yield each text of the package that names a command, with its place; what is filled in stands as X."""
    for path in sorted((ROOT / "hpa_hier").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values]
                yield f"{path.relative_to(ROOT)}:{node.lineno}", "".join(parts)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node.value


def test_every_command_named_in_a_message_has_the_flags_it_is_named_with() -> None:
    found = 0
    for place, text in printed_texts():
        for match in START.finditer(text):
            words = re.split(r"[`\"'\n;,)(…{]|  ", text[match.end() :])[0].split()
            found += 1
            assert unknown_flags(words) == [], f"{place}: {text[match.start() :][:100]}"
    assert found > 10


def test_every_command_line_that_is_made_has_flags_of_its_parser() -> None:
    found = 0
    for path in sorted((ROOT / "hpa_hier").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "command"):
                continue
            words = [str(one.value) for one in node.args if isinstance(one, ast.Constant)]
            if words and words[0] in COMMANDS:
                found += 1
                flags = [f"--{one.arg.replace('_', '-')}" for one in node.keywords if one.arg]
                assert unknown_flags([*words, *flags]) == [], f"{path.relative_to(ROOT)}:{node.lineno}"
    assert found > 5


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_line_on_a_page_is_parsed(page: Path) -> None:
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = "\n".join(re.findall(r"^```[a-z]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    for line in re.findall(r"^(?:\$ )?((?:python -m hpa_hier|hpa-hier)[. ].*)$", blocks, re.MULTILINE):
        words = shlex.split(line.replace("[", "").replace("]", ""), comments=True)
        words = words[1:] if words[0] == "hpa-hier" else " ".join(words[2:]).replace("hpa_hier.", "", 1).split()
        if "…" not in line and "..." not in line:
            import_module(f"hpa_hier.cli.{words[0]}").parser().parse_args(words[1:])
