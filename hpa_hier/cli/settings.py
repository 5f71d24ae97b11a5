"""Command: print every setting of a recipe with its default, unit, range and meaning."""

from __future__ import annotations

from collections.abc import Sequence

from hpa_hier.cli.command import Parser
from hpa_hier.errors import UserError
from hpa_hier.files.spelling import did_you_mean

_KEYS = """print these settings only, or those of these blocks, as in `ensemble` or `training.loss` (default: all of
them, as a recipe file that changes nothing)"""


def parser() -> Parser:
    """Build the command's parser."""
    whole = Parser("settings", "Print every setting with its default, unit, range and meaning.")
    whole.add_argument("keys", metavar="KEY", nargs="*", help=_KEYS)
    return whole


def main(arguments: Sequence[str]) -> int:
    """Print the settings."""
    options = parser().parse_args(arguments)
    from hpa_hier.settings.describe import describe_settings, list_settings

    if not options.keys:
        print(describe_settings())
        return 0
    rows = list(list_settings())
    known = {row.key for row in rows}
    known |= {key[:place] for key in known for place, letter in enumerate(key) if letter == "."}
    for key in options.keys:
        if key not in known:
            raise UserError(f"{key}: no such setting{did_you_mean(key, known)}")
        for row in rows:
            if row.key == key or row.key.startswith(f"{key}."):
                print(f"{row.key}: {row.default}  {row.facts}".rstrip())
                print(f"    {row.meaning}")
    return 0
