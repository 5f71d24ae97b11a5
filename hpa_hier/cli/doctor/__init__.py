"""The command `doctor`: what is installed and works here, and whether a run or a pack is whole."""

from hpa_hier.cli.doctor.commands import main, parser

__all__ = ["main", "parser"]
