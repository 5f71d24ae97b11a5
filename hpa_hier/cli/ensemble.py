"""Command: fit an ensemble on held-out scores, evaluate it, predict a folder of images, explain one image."""

from __future__ import annotations

import argparse
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hpa_hier.cli.command import (
    Parser,
    add_recipe_arguments,
    channels,
    column_names,
    one_thread_a_process,
    path,
    whole_number,
)
from hpa_hier.errors import UserError

if TYPE_CHECKING:
    from hpa_hier.predict.inputs import Samples
    from hpa_hier.predict.predictor import Predictor
    from hpa_hier.runs.run import Run

_MEMBER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LEFT_OUT = 1  # exit status: finished, but some images could not be read

_FIT = """Fit the ensemble of a run on its calibration part, or on --scores tables.

Writes <run>/ensemble/ensemble.json, and flat.json for the compute-matched flat baseline where the recipe names one."""
_EVALUATE = """Evaluate the fitted ensemble and its flat baseline on the test part.

Writes <run>/ensemble/evaluation.npz, evaluation.json and results.json."""
_PREDICT = """Predict a folder of images, a table of feature vectors, or samples that other models have scored.

Writes into --out: predictions.csv (labels by name, the probability of every node), submission.csv (Id,Predicted; empty
for images that could not be read) and rejected.csv (these, with reasons). Exit status 1 where there are such images,
0 where none."""
_EXPLAIN = "Print one image's way down the tree: members, calibration, reconciliation, thresholds."
_MISSING = "channels that an image may lack; they are filled with zeros (default: those that training images lacked)"


def parser() -> Parser:
    """Build the parser of all four sub-commands."""
    whole = Parser("ensemble", "Turn members' scores into one calibrated, coherent set of labels for each image.")
    for name, description in (("fit", _FIT), ("evaluate", _EVALUATE), ("predict", _PREDICT), ("explain", _EXPLAIN)):
        one = whole.add_command(name, description)
        default = "the recipe's run" if name in ("fit", "evaluate") else "the run whose ensemble was fitted last"
        if name == "explain":
            one.add_argument("id", metavar="ID", help="the image's id")
        one.add_argument("--run", metavar="NAME|DIR", help=f"run under artifacts/, or its folder (default: {default})")
        if name in ("fit", "predict"):
            _add_score_arguments(one, name)
        if name in ("predict", "explain"):
            _add_image_arguments(one)
        if name == "predict":
            _add_predict_arguments(one)
        if name == "explain":
            one.add_argument("--all", action="store_true", dest="every_node", help="every node's score by each member")
        add_recipe_arguments(one)
    return whole


def _add_score_arguments(one: Parser, name: str) -> None:
    add = one.add_argument_group("other models' scores, instead of a run's own members").add_argument
    text = "score tables: the first column the id, the others node names"
    add("--scores", metavar="NAME=CSV", nargs="+", type=_named_file, action="extend", help=text)
    if name == "predict":
        return
    add("--score-kind", choices=("probs", "logits"), help="what the tables hold; it is never guessed")
    add("--labels", metavar="CSV", type=path, help="labels of the samples to fit on")
    add("--taxonomy", metavar="YAML", help="label tree (default: the recipe's)")
    add("--on-problem", choices=("stop", "skip"), help="rows of --labels that cannot be used (default: stop)")
    ignore = "columns of --labels that are no labels, separated by commas"
    add("--ignore-columns", type=column_names, default=(), metavar="COLUMNS", help=ignore)


def _named_file(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not equals or not path or not _MEMBER_NAME.fullmatch(name):
        raise argparse.ArgumentTypeError(f"must be NAME=FILE, as in resnet=resnet.csv, got {text!r}")
    return name, Path(path)


def _add_image_arguments(one: Parser) -> None:
    add = one.add_argument
    add("--images", metavar="DIR", type=path, help="folder of images")
    add("--channels", metavar="TEXT", help="which channel is where, as red,green,blue,yellow, if names do not say")
    add("--may-be-missing", type=channels, metavar="CHANNELS", default=(), help=_MISSING)
    add("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: auto)")


def _add_predict_arguments(one: Parser) -> None:
    add, threads = one.add_argument, min(8, os.cpu_count() or 1)
    add("--vectors", metavar="FILE", type=path, help="feature vectors, as `data pack --vectors` takes them")
    add("--ids", metavar="FILE", type=path, help="ids of the rows of a .npy file, one per line")
    add("--out", metavar="DIR", type=path, required=True, help="folder for the tables, made if absent")
    text = "a competition's sample_submission.csv: submission.csv gets its rows, in its order"
    add("--sample-submission", metavar="CSV", type=path, help=text)
    add("--overwrite", action="store_true", help="replace tables that are in --out already")
    add("--batch-size", metavar="N", type=whole_number(1), default=64, help="images at a time (default: 64)")
    text = "images decoded at a time (default: %(default)s)"
    add("--threads", metavar="N", type=whole_number(1), default=threads, help=text)
    text = "an image that cannot be read: skip it (default), or stop and write nothing"
    add("--on-problem", choices=("skip", "stop"), default="skip", help=text)


def main(arguments: Sequence[str]) -> int:
    """Run one of the sub-commands and return the exit status."""
    options = parser().parse_args(arguments)
    one_thread_a_process()
    return {"fit": _fit, "evaluate": _evaluate, "predict": _predict, "explain": _explain}[options.command](options)


def _fit(options: argparse.Namespace) -> int:
    if options.scores:
        return _fit_scores(options)
    for name in ("score_kind", "labels", "taxonomy", "on_problem", "ignore_columns"):
        if getattr(options, name):
            raise UserError(f"--{name.replace('_', '-')} goes with --scores; add the tables, or leave it out")
    from hpa_hier.ensemble.accept import describe_acceptance
    from hpa_hier.predict.fit_run import fit_run

    run = _open_run(options, fitted=False)
    ensemble, flat = fit_run(run)
    members = ", ".join(member.name for member in ensemble.members)
    where = "outside the test part, out of fold" if ensemble.about["folds"] else "of the calibration part"
    samples = f"{ensemble.about['samples']:,} images {where}"
    print(f"fitted {ensemble.aggregate} and {ensemble.reconcile} over {members} on {samples}")
    limits = ensemble.thresholds
    small = sum(rule == "prevalence" for rule in limits.rules)
    if small and run.recipe.ensemble.thresholds == "f1":
        fewest = f"fewer than {run.recipe.ensemble.small_class_positives} positives"
        print(f"  {small} of {len(limits.nodes)} nodes have {fewest}: prevalence thresholds for them instead of f1")
    print(f"  {describe_acceptance(ensemble)}")
    if told := ensemble.decision.describe():
        print(f"  {told}")
    if flat is not None:
        print(f"  flat baseline, fitted alike: {', '.join(member.name for member in flat.members)}")
        if len(flat.members) != len(ensemble.members):
            counts = f"{len(ensemble.members)} networks against {len(flat.members)}"
            print(f"  not compute-matched: {counts}; see ensemble.baseline")
    print(f"wrote {run.ensemble_folder / 'ensemble.json'}")
    return 0


def _fit_scores(options: argparse.Namespace) -> int:
    from hpa_hier.predict.fit_tables import FitRequest, fit_tables
    from hpa_hier.settings.recipe_file import load_recipe

    for name in ("score-kind", "labels"):
        if getattr(options, name.replace("-", "_")) is None:
            raise UserError(f"--scores needs --{name} too; see python -m hpa_hier.ensemble fit --help")
    recipe = load_recipe(options.config, options.sets)
    named = options.run and len(Path(options.run).parts) > 1
    folder = Path(options.run) if named else Path(recipe.artifacts, options.run or recipe.run)
    tree = options.taxonomy or recipe.taxonomy
    request = FitRequest(
        _tables(options), options.score_kind, options.labels, tree, options.on_problem or "stop", options.ignore_columns
    )
    for line in fit_tables(folder, request, recipe.ensemble):
        print(line)
    print(f"wrote {folder / 'ensemble' / 'ensemble.json'}")
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from hpa_hier.evaluate.compute import compute_results
    from hpa_hier.evaluate.describe import results_table
    from hpa_hier.evaluate.opening import describe_comparison, describe_opening
    from hpa_hier.evaluate.results import write_results
    from hpa_hier.predict.fit_run import evaluate_run

    run = _open_run(options, fitted=False)
    path = evaluate_run(run)
    results = compute_results(run.evaluation, run.recipe.report)
    print(describe_opening(results), results_table(results), describe_comparison(results), sep="\n\n")
    print(f"wrote {path} and {write_results(path.parent, results)}")
    return 0


def _predict(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from hpa_hier.data.pack.vector_table import read_vectors
    from hpa_hier.predict.predictor import Predictor
    from hpa_hier.predict.tables import check_free, open_tables, read_wanted

    if sum(map(bool, (options.scores, options.images, options.vectors))) != 1:
        raise UserError("predict needs --images DIR, --vectors FILE or --scores NAME=FILE.csv …; give one of them")
    if options.ids and not options.vectors:
        raise UserError("--ids goes with --vectors FILE.npy; leave it out")
    given = "channels" if options.channels else "may-be-missing" if options.may_be_missing else ""
    if options.vectors and given:
        raise UserError(f"--{given}: goes with --images; vectors have no channels, leave it out")
    run = _open_run(options, fitted=True)
    began = time.monotonic()
    check_free(options.out, options.overwrite)
    wanted = read_wanted(options.sample_submission) if options.sample_submission else None
    predictor = Predictor.load(run, options.device)
    if options.scores:
        answers = predictor.predict(_tables(options))
        answers.to_csv(options.out, options.overwrite, wanted)
        for line in answers.warnings:
            print(f"  {line}")
        return _say_written(options.out, len(answers), "samples", len(answers.rejected))
    if options.vectors:
        samples = predictor.open_vectors(read_vectors(options.vectors, options.ids), options.batch_size)
    else:
        samples = _images(options, predictor)
    done, kind = 0, "vectors" if options.vectors else "images"
    with (
        open_tables(options.out, run.ensemble.taxonomy, wanted) as tables,
        tqdm(total=samples.total, unit=kind[:-1], desc="predict", disable=None) as progress,
    ):
        for answers in predictor.stream(samples, stop=options.on_problem == "stop"):
            tables.add(answers, answers.filled, answers.probs)
            done += len(answers)
            progress.update(len(answers))
        tables.reject(sorted(samples.rejected))
    took = f" in {time.monotonic() - began:.1f} s"
    return _say_written(options.out, done, kind + took, len(samples.rejected))


def _say_written(out: Path, done: int, what: str, left_out: int) -> int:
    """Say what predict has written, and return the exit status."""
    ending = f", {left_out} left out (see rejected.csv)" if left_out else ""
    print(f"wrote {out / 'predictions.csv'} and submission.csv: {done:,} {what}{ending}")
    return _LEFT_OUT if left_out else 0


def _explain(options: argparse.Namespace) -> int:
    from hpa_hier.predict.predictor import Predictor

    predictor = Predictor.load(_open_run(options, fitted=True), options.device)
    images = _images(options, predictor, only=options.id) if options.images else None
    print(predictor.explain(options.id, images, options.every_node))
    return 0


def _open_run(options: argparse.Namespace, fitted: bool) -> Run:
    """Open the run: the one named, else where an ensemble is needed the one fitted last, else the recipe's."""
    from hpa_hier.runs.find import find_fitted, find_newest
    from hpa_hier.runs.run import Run
    from hpa_hier.settings.recipe_file import load_recipe

    late = next((change for change in options.sets if fitted and change.startswith("ensemble.")), None)
    if late:
        raise UserError(f"--set {late}: an ensemble answers as it was fitted; fit it again with this")
    name = options.run
    if fitted and not name:
        artifacts = Path(load_recipe(options.config, options.sets).artifacts)
        name = find_fitted(artifacts)
        bundled = f"using {name}, which learned from simulated cells only; do not rely on its answers"
        own = f"using the ensemble fitted last: {name}"
        print(own if find_newest(artifacts) else f"no run is finished: {bundled}")
    return Run.open(name or "", options.config, options.sets)


def _images(options: argparse.Namespace, predictor: Predictor, only: str | None = None) -> Samples:
    speed = {"batch_size": options.batch_size, "threads": options.threads} if only is None else {}
    return predictor.open_images(options.images, options.channels, options.may_be_missing, only=only, **speed)


def _tables(options: argparse.Namespace) -> dict[str, Path]:
    """Return the score tables by the names that their models were given."""
    tables: dict[str, Path] = {}
    for name, file in options.scores:
        if tables.setdefault(name, file) is not file:
            raise UserError(f"--scores {name}=…: two tables are called '{name}'; names must differ")
    return tables
