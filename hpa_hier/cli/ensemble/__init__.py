"""The command `ensemble`: a file for each of its sub-commands, flags and body together."""

from hpa_hier.cli.ensemble.commands import main, parser

__all__ = ["main", "parser"]
