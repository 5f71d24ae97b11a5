"""Flags of `doctor`, and what it prints."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from hpa_hier.cli.command import EXIT_USER, Parser, path
from hpa_hier.cli.doctor.finding import Finding

_DESCRIPTION = """Show what is installed and works here, and whether a run or a pack is whole.

All that a bug report needs. With --run or --pack every file is read and every checksum compared; each device and engine
is tried in a process of its own, unless with --quick. The exit status is 2 where a line says WRONG."""


def parser() -> Parser:
    """Build the command's parser."""
    whole = Parser("doctor", _DESCRIPTION)
    add = whole.add_argument
    add("--run", metavar="NAME|DIR", help="a run to be checked: its name under artifacts/, or its folder")
    add("--pack", type=path, metavar="DIR", help="a pack to be checked, down to every shard")
    add("--folder", type=path, metavar="DIR", help="where you mean to write (default: artifacts)")
    add("--quick", action="store_true", help="try no device and no engine")
    add("--json", action="store_true", help="print it as JSON")
    return whole


def main(arguments: Sequence[str]) -> int:
    """Print what was found, each part as soon as it is known, and return whether something is wrong."""
    options = parser().parse_args(arguments)
    wrong, found = 0, {}
    for title, rows in _find(options):
        wrong += sum(one.wrong for one in rows)
        found[title] = [one.to_json() for one in rows]
        if not options.json:
            print(f"{title}\n{_describe(rows)}\n", flush=True)
    if options.json:
        print(json.dumps(found, indent=1))
    elif wrong:
        print(f"{wrong} {'line says' if wrong == 1 else 'lines say'} WRONG, with what helps")
    else:
        print("nothing is wrong; a bug report needs all of the above, the command as typed, and what it printed")
    return EXIT_USER if wrong else 0


def _find(options: argparse.Namespace) -> Iterator[tuple[str, list[Finding]]]:
    from hpa_hier.cli.doctor.folder import try_folder
    from hpa_hier.cli.doctor.installed import describe_machine, list_packages

    if options.run is not None:
        from hpa_hier.runs.find import find_run

        find_run(options.run)  # refuses what is none before anything is tried
    yield "machine", describe_machine()
    yield "packages", list_packages()
    yield "folder", try_folder(options.folder or Path("artifacts"))
    if options.run is not None:
        from hpa_hier.cli.doctor.whole import check_run

        yield "run", check_run(options.run)
    if options.pack:
        from hpa_hier.cli.doctor.whole import check_pack

        yield "pack", check_pack(options.pack)
    if not options.quick:
        from hpa_hier.cli.doctor.engines import try_engines

        yield "devices and engines", try_engines()


def _describe(rows: Sequence[Finding]) -> str:
    from hpa_hier.files.faults.shown import show_error

    width = max((len(one.what) for one in rows), default=0)
    return "\n".join(f"  {one.what:<{width}}  {'WRONG: ' * one.wrong}{show_error(one.text)}" for one in rows)
