"""Command: fit an ensemble on held-out scores, or on other models' score tables."""

from __future__ import annotations

import argparse
from pathlib import Path

from hpa_hier.cli.command import Parser, add_verify, change_text, column_names, path, stop_after_print
from hpa_hier.cli.ensemble.arguments import add_run_argument, add_score_argument, list_tables, open_run
from hpa_hier.errors import UserError

DESCRIPTION = """Fit the ensemble of a run on its calibration part, or on --scores tables.

Writes <run>/ensemble/ensemble.json, and flat.json for the compute-matched flat baseline where the recipe names one."""


def add_flags(one: Parser) -> None:
    """Add the command's flags."""
    add_run_argument(one, "the recipe's run")
    add_verify(one)
    add = add_score_argument(one)
    add("--score-kind", choices=("probs", "logits"), help="what the tables hold; it is never guessed")
    add("--labels", metavar="CSV", type=path, help="labels of the samples to fit on")
    add("--taxonomy", metavar="YAML", help="label tree (default: the recipe's)")
    add("--on-problem", choices=("stop", "skip"), help="rows of --labels that cannot be used (default: stop)")
    ignore = "columns of --labels that are no labels, separated by commas"
    add("--ignore-columns", type=column_names, default=(), metavar="COLUMNS", help=ignore)


def run(options: argparse.Namespace) -> int:
    """Fit the ensemble, and print over what."""
    if options.scores:
        if options.verify:
            raise UserError("--verify: compares a run's pack, and --scores needs none; leave it out")
        return _fit_scores(options)
    for name in ("score_kind", "labels", "on_problem", "ignore_columns"):
        if getattr(options, name):
            raise UserError(f"--{name.replace('_', '-')} goes with --scores; add the tables, or leave it out")
    from hpa_hier.ensemble.accept import describe_acceptance
    from hpa_hier.ensemble.novelty.words import describe_reach
    from hpa_hier.predict.fit_run import fit_run

    tree = options.taxonomy
    changes = {change_text("taxonomy", tree): f"--taxonomy {tree}"} if tree else None
    opened = open_run(options, fitted=False, changes=changes)
    ensemble, flat = fit_run(opened)
    members = ", ".join(member.name for member in ensemble.members)
    where = "outside the test part, out of fold" if ensemble.about["folds"] else "of the calibration part"
    samples = f"{ensemble.about['samples']:,} images {where}"
    print(f"fitted {ensemble.aggregate} and {ensemble.reconcile} over {members} on {samples}")
    limits = ensemble.thresholds
    small = sum(rule == "prevalence" for rule in limits.rules)
    if small and opened.recipe.ensemble.thresholds == "f1":
        fewest = f"fewer than {opened.recipe.ensemble.small_class_positives} positives"
        print(f"  {small} of {len(limits.nodes)} nodes have {fewest}: prevalence thresholds for them instead of f1")
    print(f"  {describe_acceptance(ensemble)}")
    if told := ensemble.decision.describe():
        print(f"  {told}")
    print(f"  {describe_reach(ensemble.novelty)}")
    if flat is not None:
        print(f"  flat baseline, fitted alike: {', '.join(member.name for member in flat.members)}")
        if len(flat.members) != len(ensemble.members):
            counts = f"{len(ensemble.members)} members against {len(flat.members)}"
            print(f"  not compute-matched: {counts}; see ensemble.baseline")
    print(f"wrote {opened.ensemble_folder / 'ensemble.json'}")
    return 0


def _fit_scores(options: argparse.Namespace) -> int:
    from hpa_hier.predict.fit_tables import FitRequest, fit_tables
    from hpa_hier.settings.recipe_file import load_recipe

    for name in ("score-kind", "labels"):
        if getattr(options, name.replace("-", "_")) is None:
            raise UserError(f"--scores needs --{name} too; see python -m hpa_hier.ensemble fit --help")
    recipe = load_recipe(options.config, options.sets)
    stop_after_print(options, recipe)
    named = options.run and len(Path(options.run).parts) > 1
    folder = Path(options.run) if named else Path(recipe.artifacts, options.run or recipe.run)
    tree = options.taxonomy or recipe.taxonomy
    request = FitRequest(
        list_tables(options),
        options.score_kind,
        options.labels,
        tree,
        options.on_problem or "stop",
        options.ignore_columns,
    )
    for line in fit_tables(folder, request, recipe.ensemble):
        print(line)
    print(f"wrote {folder / 'ensemble' / 'ensemble.json'}")
    return 0
