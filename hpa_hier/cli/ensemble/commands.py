"""Command: fit an ensemble on held-out scores, adapt it, evaluate it, predict images, explain one, export it all."""

from __future__ import annotations

from collections.abc import Sequence

from hpa_hier.cli.command import Parser, add_recipe_arguments, one_thread_a_process
from hpa_hier.cli.ensemble import adapt, evaluate, explain, export, fit, predict

_COMMANDS = {"fit": fit, "adapt": adapt, "evaluate": evaluate, "predict": predict, "explain": explain, "export": export}


def parser() -> Parser:
    """Build the parser of all sub-commands."""
    whole = Parser("ensemble", "Turn members' scores into one calibrated, coherent set of labels for each image.")
    for name, command in _COMMANDS.items():
        one = whole.add_command(name, command.DESCRIPTION)
        command.add_flags(one)
        add_recipe_arguments(one)
    return whole


def main(arguments: Sequence[str]) -> int:
    """Run one of the sub-commands and return the exit status."""
    options = parser().parse_args(arguments)
    options.words = tuple(arguments)  # for workers, which run the same command
    one_thread_a_process()
    status: int = _COMMANDS[options.command].run(options)
    return status
