"""Command: turn a run's evaluation into one HTML page that opens from a file and asks nothing of any network."""

from __future__ import annotations

from collections.abc import Sequence

from hpa_hier.cli.command import Parser, add_recipe_arguments, one_thread_a_process, stop_after_print


def parser() -> Parser:
    """Build the command's parser."""
    whole = Parser("report", "Write the report of an evaluated run: report/index.html in its folder.")
    whole.add_argument("--run", metavar="NAME", help="run under artifacts/, or its folder (default: the recipe's run)")
    whole.add_argument(
        "--figures", choices=("pdf", "png", "svg"), help="also write each figure as a file of this form, for a paper"
    )
    add_recipe_arguments(whole)
    return whole


def main(arguments: Sequence[str]) -> int:
    """Write report/index.html of a run."""
    options = parser().parse_args(arguments)
    one_thread_a_process()

    from hpa_hier.evaluate.report.write import write_report
    from hpa_hier.runs.run import Run

    run = Run.open(options.run or "", options.config, options.sets)
    stop_after_print(options, run.recipe)
    page, *figures = write_report(run, options.figures)
    print(f"wrote {page} ({page.stat().st_size / 1e6:.1f} MB); open it in a browser")
    if figures:
        print(f"wrote {len(figures)} figures to {figures[0].parent}")
    return 0
