"""The command `hpa-hier`: takes the first word for a command and gives it the rest of the line."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from hpa_hier.cli.command import Parser, run
from hpa_hier.files.spelling import did_you_mean

# each a file of this room
COMMANDS = (
    *("run", "demo", "taxonomy", "data", "train", "ensemble", "members", "report", "serve", "settings", "recipe"),
    "doctor",
)
SHORT = {
    "predict": "ensemble",
    "explain": "ensemble",
}  # sub-commands that are also called without the command they belong to
_DESCRIPTION = "Find where in the cell a protein is, with a hierarchical ensemble of networks."


def main() -> NoReturn:
    """Run the program's arguments and exit with their status."""
    run(dispatch)


def dispatch(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status."""
    name, *rest = arguments or ["--help"]
    if name in SHORT:
        name, rest = SHORT[name], [name, *rest]
    if name not in COMMANDS:
        parser = Parser("", _DESCRIPTION, usage="%(prog)s COMMAND [FLAGS]", epilog=_list_commands())
        if name in ("-h", "--help"):
            parser.print_help()
            return 0
        if name.startswith("-"):
            parser.parse_args(arguments)
        parser.error(f"no command {name!r}{did_you_mean(name, (*COMMANDS, *SHORT))}")
    status: int = import_module(f"hpa_hier.cli.{name}").main(rest)
    return status


def _list_commands() -> str:
    """Return every command with what it does, a line each."""
    rows: list[tuple[str, str]] = []
    for name in COMMANDS:
        parser = import_module(f"hpa_hier.cli.{name}").parser()
        own = [(name, str(parser.description).splitlines()[0])]
        rows += [(f"{name} {command}", summary) for command, summary in parser.summaries.items()] or own
        rows += [(short, parser.summaries[short]) for short, command in SHORT.items() if command == name]
    width = max(len(name) for name, _ in rows)
    return "commands:\n" + "\n".join(f"  {name:{width}}  {summary}" for name, summary in rows)
