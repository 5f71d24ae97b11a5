"""What the program's own parsers know: the flags of every command, and the settings of a recipe."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from importlib import import_module

from hpa_hier.cli.main import COMMANDS, SHORT
from hpa_hier.settings.describe import list_settings

SETTINGS = {row.key for row in list_settings()}


def flags_of(parser: argparse.ArgumentParser, name: str) -> dict[str, set[str]]:
    """Return the flags of a command and its sub-commands, by name."""
    found = {name: {flag for action in parser._actions for flag in action.option_strings}}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for sub, one in action.choices.items():
                found |= flags_of(one, f"{name} {sub}")
    return found


FLAGS = {
    name: flags
    for command in COMMANDS
    for name, flags in flags_of(import_module(f"hpa_hier.cli.{command}").parser(), command).items()
}


def command_words(words: Sequence[str]) -> list[str] | None:
    """Return a typed command without the program's name, by its long form; None where it is another program's.

    >>> command_words(["hpa-hier", "predict", "x.png"]), command_words(["python", "-m", "hpa_hier.train", "--all"])
    (['ensemble', 'predict', 'x.png'], ['train', '--all'])
    """
    if words[0] == "hpa-hier":
        words = words[1:]
    elif words[0] in ("python", "python3") and words[1:2] == ["-m"] and words[2].startswith("hpa_hier"):
        words = [*filter(None, words[2].split(".")[1:]), *words[3:]]
    else:
        return None
    return [SHORT[words[0]], *words] if words[0] in SHORT else list(words)


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Parse a command with the real parser, and check that each setting that it changes is one."""
    options: argparse.Namespace = import_module(f"hpa_hier.cli.{words[0]}").parser().parse_args(list(words[1:]))
    for change in getattr(options, "sets", None) or ():
        key = setting_key(str(change).partition("=")[0])
        assert key in SETTINGS, f"{shlex.join(words)}: no setting {key}"
    return options


def setting_key(key: str) -> str:
    """Return a setting's key as the settings list it: a member's by NAME, its training as the recipe's."""
    parts = key.split(".")
    if parts[0] == "members" and len(parts) > 2:
        return ".".join(parts[2:]) if parts[2] == "training" else ".".join(["members", "NAME", *parts[2:]])
    return key
