"""Command: evaluate a fitted ensemble and its flat baseline, on the test part or on newly labelled samples."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hpa_hier.cli.command import VECTOR_FLAGS, Parser, add_verify, path
from hpa_hier.cli.ensemble.arguments import add_run_argument, add_score_argument, list_tables, open_run
from hpa_hier.cli.ensemble.labelled import add_labelled_arguments, check_labels, open_request, print_pack
from hpa_hier.errors import UserError
from hpa_hier.files.faults.begun import begin

if TYPE_CHECKING:
    from hpa_hier.data.labels.problems import OnProblem
    from hpa_hier.evaluate.results import Results
    from hpa_hier.predict.labelled.evaluate import NewEvaluation
    from hpa_hier.runs.run import Run

DESCRIPTION = """Evaluate the fitted ensemble and its flat baseline on the test part, or on newly labelled samples.

Writes <run>/ensemble/evaluation.npz, evaluation.json and results.json; of samples that are given with --images,
--vectors or --scores, and --labels, into --out. These serve the evaluation alone: nothing is fitted on them."""

_EVALUATIONS = "evaluations"


def add_flags(one: Parser) -> None:
    """Add the command's flags."""
    add_run_argument(one, "the recipe's run; with samples, the run whose ensemble was fitted last")
    add_verify(one)
    add_score_argument(one)
    add_labelled_arguments(one)
    where = f"folder for the results of samples (default: {_EVALUATIONS}/ and the samples' name, in the run)"
    one.add_argument("--out", metavar="DIR", type=path, help=where)
    one.add_argument("--report", action="store_true", help="of samples: also write their report into --out")


def run(options: argparse.Namespace) -> int:
    """Evaluate, and print the results."""
    if options.images or options.vectors or options.scores:
        if options.verify:
            raise UserError("--verify: compares the run's own pack, which samples of yours are not in; leave it out")
        return _evaluate_samples(options)
    for name in (
        "labels",
        "out",
        "report",
        *VECTOR_FLAGS,
        "channels",
        "may_be_missing",
        "on_problem",
        "ignore_columns",
        "follow_links",
        "frame",
    ):
        if getattr(options, name):
            flag = f"--{name.replace('_', '-')}"
            raise UserError(f"{flag}: goes with samples (--images, --vectors or --scores); add them, or leave it out")
    from hpa_hier.evaluate.alone import add_members
    from hpa_hier.evaluate.compute import compute_results
    from hpa_hier.evaluate.results import write_results
    from hpa_hier.predict.fit_run import evaluate_run
    from hpa_hier.runs.evaluation import check_scores

    opened = open_run(options, fitted=False)
    if (opened.ensemble_folder / "ensemble.json").is_file() and opened.ensemble.about.get("adapted"):
        if not (opened.ensemble_folder / "evaluation.npz").is_file():
            few = "adapted to too few samples to say anything out of fold"
            raise UserError(f"{opened.folder}: was {few}; evaluate it on others, with --images and --labels")
        _print_results(compute_results(opened.evaluation, opened.recipe.report))
        print("adapted: it has no test part, so this is out of fold; --images and --labels evaluate it on others")
        return 0
    check_scores(opened.folder)
    written = evaluate_run(opened)
    results = add_members(compute_results(opened.evaluation, opened.recipe.report), opened)
    _print_results(results)
    if opened.origin.warning and not results.scope.simulated:
        print(f"bear in mind: {opened.origin.warning}")
    print(f"wrote {written} and {write_results(written.parent, results, opened.evaluation.facts)}")
    return 0


def _evaluate_samples(options: argparse.Namespace) -> int:
    """Evaluate on newly labelled samples."""
    if options.scores and (options.images or options.vectors):
        raise UserError("--scores: other models' scores take the place of --images and --vectors; leave one out")
    check_labels(options)
    request = None if options.scores else open_request(options)
    opened = open_run(options, fitted=True)
    from hpa_hier.predict.labelled.evaluate import ARRAYS, evaluate_samples, evaluate_tables
    from hpa_hier.predict.predictor import Predictor

    folder = options.out or _default_folder(opened, request.source if request else options.labels)
    with begin(folder, ARRAYS) as resumed:
        if request is None:
            skip: OnProblem = "skip" if options.on_problem == "skip" else "stop"
            tables, ignore = list_tables(options), options.ignore_columns
            new = evaluate_tables(opened, tables, options.labels, folder, skip, ignore, overwrite=resumed)
        else:
            new = evaluate_samples(Predictor.load(opened, options.device, options.intensity), request, folder)
        return _write_results(opened, new, report=options.report)


def _write_results(opened: Run, new: NewEvaluation, *, report: bool) -> int:
    """Print the results of newly labelled samples, and write them beside their evaluation."""
    from hpa_hier.evaluate.compute import compute_results
    from hpa_hier.evaluate.report.write import write_report
    from hpa_hier.evaluate.results import write_results
    from hpa_hier.predict.labelled.evaluate import ARRAYS

    _print_notes(new)
    results = compute_results(new.evaluation, opened.recipe.report)
    _print_results(results)
    print(f"wrote {new.folder / ARRAYS} and {write_results(new.folder, results, new.evaluation.facts)}")
    if report:
        page, *_ = write_report(opened, new=new)
        print(f"wrote {page}; open it in a browser")
    return 0


def _default_folder(opened: Run, source: Path) -> Path:
    """Return where an evaluation goes: below its run, or beside where one stands for the bundled run."""
    from hpa_hier.files.shipped import pretrained_folder
    from hpa_hier.predict.labelled.samples import name_source

    bundled = opened.folder.resolve() == pretrained_folder()
    home = Path(_EVALUATIONS) if bundled else opened.folder / _EVALUATIONS
    return home / name_source(source)


def _print_notes(new: NewEvaluation) -> None:
    if new.report:
        print_pack(new.report)
    warning = new.seen.describe(len(new.evaluation.ids)) if new.seen else ""
    if warning:
        print(f"warning: {warning}", file=sys.stderr)
    elif new.seen is None and new.report:
        print("whether the run learned from these samples cannot be told: its own pack is not there", file=sys.stderr)


def _print_results(results: Results) -> None:
    from hpa_hier.evaluate.describe import results_table
    from hpa_hier.evaluate.report.opening import describe_comparison, describe_opening

    parts = (describe_opening(results), results_table(results), describe_comparison(results))
    print("\n\n".join(part for part in parts if part), end="\n\n")
