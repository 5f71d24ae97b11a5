"""The command `members`."""

from hpa_hier.cli.members.commands import main, parser

__all__ = ["main", "parser"]
