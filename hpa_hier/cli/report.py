"""Command: turn a run's evaluation into one HTML page that opens from a file and asks nothing of any network."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hpa_hier.cli.command import Parser, add_recipe_arguments, one_thread_a_process, stop_after_print
from hpa_hier.errors import UserError

if TYPE_CHECKING:
    from hpa_hier.runs.run import Run


def parser() -> Parser:
    """Build the command's parser."""
    text = "Write the report of an evaluated run: report/index.html in its folder. Or compare it with another run."
    whole = Parser("report", text)
    whole.add_argument("--run", metavar="NAME", help="run under artifacts/, or its folder (default: the recipe's run)")
    text = "compare with this run instead: report/against-NAME.html, paired where both answered for the same samples"
    whole.add_argument("--against", metavar="NAME", help=text)
    whole.add_argument(
        "--figures", choices=("pdf", "png", "svg"), help="also write each figure as a file of this form, for a paper"
    )
    add_recipe_arguments(whole)
    return whole


def main(arguments: Sequence[str]) -> int:
    """Write report/index.html of a run."""
    options = parser().parse_args(arguments)
    one_thread_a_process()

    if options.against and options.figures:
        raise UserError("--figures: goes with the report of one run; leave it or --against out")
    from hpa_hier.evaluate.report.write import write_report
    from hpa_hier.runs.run import Run

    run = Run.open(options.run or "", options.config, options.sets)
    stop_after_print(options, run.recipe)
    if options.against:
        return _compare(run, options)
    page, *figures = write_report(run, options.figures)
    print(f"wrote {page} ({page.stat().st_size / 1e6:.1f} MB); open it in a browser")
    if figures:
        print(f"wrote {len(figures)} figures to {figures[0].parent}")
    return 0


def _compare(run: Run, options: argparse.Namespace) -> int:
    """Write the comparison with another run."""
    from hpa_hier.evaluate.report.comparison import write_comparison
    from hpa_hier.runs.run import Run

    where = [change for change in options.sets if change.startswith("artifacts=")]
    other = Run.open(options.against, sets=where)
    if other.folder.resolve() == run.folder.resolve():
        raise UserError(f"--against {options.against}: is the run itself; name another one")
    page, comparison = write_comparison(run, other)
    print("\n".join(comparison.sentences))
    print(f"wrote {page}; open it in a browser")
    return 0
