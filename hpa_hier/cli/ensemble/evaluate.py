"""Command: evaluate a fitted ensemble and its flat baseline."""

from __future__ import annotations

import argparse

from hpa_hier.cli.command import Parser
from hpa_hier.cli.ensemble.arguments import add_run_argument, open_run

DESCRIPTION = """Evaluate the fitted ensemble and its flat baseline on the test part.

Writes <run>/ensemble/evaluation.npz, evaluation.json and results.json."""


def add_flags(one: Parser) -> None:
    """Add the command's flags."""
    add_run_argument(one, "the recipe's run")


def run(options: argparse.Namespace) -> int:
    """Evaluate, and print the results."""
    from hpa_hier.evaluate.compute import compute_results
    from hpa_hier.evaluate.describe import results_table
    from hpa_hier.evaluate.opening import describe_comparison, describe_opening
    from hpa_hier.evaluate.results import write_results
    from hpa_hier.predict.fit_run import evaluate_run

    opened = open_run(options, fitted=False)
    path = evaluate_run(opened)
    results = compute_results(opened.evaluation, opened.recipe.report)
    print(describe_opening(results), results_table(results), describe_comparison(results), sep="\n\n")
    print(f"wrote {path} and {write_results(path.parent, results)}")
    return 0
