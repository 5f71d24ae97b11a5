"""The command `data`: flags in `commands`, what they do in `work`, which is imported when it is done."""

from hpa_hier.cli.data.commands import main, parser

__all__ = ["main", "parser"]
