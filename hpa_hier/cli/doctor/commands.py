"""Flags of `doctor`, and what it prints."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from hpa_hier.cli.command import EXIT_USER, Parser, path
from hpa_hier.cli.doctor.finding import Finding

_DESCRIPTION = """Show what is installed and works here, and whether a run or a pack is whole.

All that a bug report needs. Each device and engine is tried in a process of its own. With --run or --pack every
checksum is compared; the exit status is 2 where something is wrong with them."""


def parser() -> Parser:
    """Build the command's parser."""
    whole = Parser("doctor", _DESCRIPTION)
    add = whole.add_argument
    add("--run", metavar="NAME", help="a run to be checked: its name under artifacts/, or its folder")
    add("--pack", type=path, metavar="DIR", help="a pack to be checked, down to every shard")
    add("--folder", type=path, metavar="DIR", help="where you mean to write (default: artifacts)")
    add("--quick", action="store_true", help="try no device and no engine")
    add("--json", action="store_true", help="print it as JSON")
    return whole


def main(arguments: Sequence[str]) -> int:
    """Print what was found, and return whether a run or a pack is damaged."""
    options = parser().parse_args(arguments)
    found = _find(options)
    if options.json:
        print(json.dumps({title: [one.to_json() for one in rows] for title, rows in found.items()}, indent=1))
    else:
        print("\n\n".join(f"{title}\n{_describe(rows)}" for title, rows in found.items()))
    wrong = [one for title in ("run", "pack") for one in found.get(title, ()) if one.wrong]
    if wrong and not options.json:
        print(f"\n{len(wrong)} {'thing is' if len(wrong) == 1 else 'things are'} wrong; the lines above say what helps")
    elif not options.json:
        print("\na bug report needs all of the above, the command as typed, and what it printed")
    return EXIT_USER if wrong else 0


def _find(options: argparse.Namespace) -> dict[str, list[Finding]]:
    from hpa_hier.cli.doctor.installed import describe_machine, list_packages

    found = {"machine": describe_machine(), "packages": list_packages()}
    if not options.quick:
        from hpa_hier.cli.doctor.engines import try_engines

        found["devices and engines"] = try_engines()
    from hpa_hier.cli.doctor.folder import try_folder

    found["folder"] = try_folder(options.folder or Path("artifacts"))
    if options.run:
        from hpa_hier.cli.doctor.whole import check_run

        found["run"] = check_run(options.run)
    if options.pack:
        from hpa_hier.cli.doctor.whole import check_pack

        found["pack"] = check_pack(options.pack)
    return found


def _describe(rows: Sequence[Finding]) -> str:
    from hpa_hier.files.faults.shown import show_error

    width = max((len(one.what) for one in rows), default=0)
    return "\n".join(f"  {one.what:<{width}}  {'WRONG: ' * one.wrong}{show_error(one.text)}" for one in rows)
