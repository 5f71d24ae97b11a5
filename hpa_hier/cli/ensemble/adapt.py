"""Command: adapt a fitted ensemble to a few labelled samples."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hpa_hier.cli.command import VECTOR_FLAGS, Parser
from hpa_hier.cli.ensemble.arguments import add_run_argument, open_run
from hpa_hier.cli.ensemble.labelled import add_labelled_arguments, open_request, print_pack
from hpa_hier.files.shell import Flag, command

if TYPE_CHECKING:
    from hpa_hier.evaluate.results import Results
    from hpa_hier.predict.labelled.adapt import Adapted
    from hpa_hier.runs.run import Run

DESCRIPTION = """Adapt a fitted ensemble to a few labelled images, or vectors, as a run of its own.

Calibration, weights, thresholds and safe answers are fitted again and, where the images show that it helps, the heads
of the networks. It is said what that changed, out of fold: each image is judged by what was fitted without it. The run
that is adapted stays as it is; the new one, artifacts/NAME, answers as any other does."""


def add_flags(one: Parser) -> None:
    """Add the command's flags."""
    add_run_argument(one, "the run whose ensemble was fitted last; pretrained: the bundled one")
    add_labelled_arguments(one)
    add = one.add_argument
    add("--taxonomy", metavar="YAML", help="label tree to adapt to (default: the ensemble's own)")
    text = "name of the new run under artifacts/, or its folder (default: the run's name and the samples')"
    add("--out", metavar="NAME|DIR", help=text)
    text = "copies of each image, flipped or also turned, that the new ensemble averages over, where the run has none"
    add("--tta", choices=("none", "flips", "d4"), default="d4", help=f"{text} (default: d4, eight)")


def run(options: argparse.Namespace) -> int:
    """Adapt, and print what it changed."""
    request = open_request(options)
    opened = open_run(options, fitted=True)
    from hpa_hier.evaluate.compute import compute_results
    from hpa_hier.evaluate.results import write_results
    from hpa_hier.predict.labelled.adapt import adapt, check_free
    from hpa_hier.predict.labelled.samples import name_source
    from hpa_hier.predict.predictor import Predictor
    from hpa_hier.taxonomy import Taxonomy

    tree = Taxonomy.load(options.taxonomy) if options.taxonomy else None
    name = options.out or f"{opened.folder.resolve().name}-{name_source(request.source)}"
    folder = Path(name) if len(Path(name).parts) > 1 else Path(opened.recipe.artifacts) / name
    check_free(folder)
    began = time.monotonic()
    results: list[Results] = []

    def finish(new: Run) -> None:
        results.append(compute_results(new.evaluation, new.recipe.report))
        write_results(new.ensemble_folder, results[0])

    predictor = Predictor.load(opened, options.device, options.intensity)
    found = adapt(predictor, request, folder, tree, options.tta, finish)
    print_pack(found.report)
    _print(found, results, time.monotonic() - began)
    new: dict[str, Flag] = {"images": "new_images"}
    if options.vectors:
        new = {"vectors": f"new{options.vectors.suffix}", **{name: getattr(options, name) for name in VECTOR_FLAGS}}
    predict = command("ensemble", "predict", run=folder, **new, out="answers")
    print(f"wrote {folder}; {opened.folder} is as it was. To use it:\n  {predict}")
    return 0


def _print(found: Adapted, results: Sequence[Results], seconds: float) -> None:
    from hpa_hier.evaluate.adapted import describe_change

    seen = found.seen.describe(len(found.report.pack)) if found.seen else ""
    for line in (*found.left_out, *([seen] if seen else [])):
        print(f"  {line}")
    if found.new:
        named = ", ".join(found.new)
        print(f"  classes that the ensemble did not know: {named}")
    if found.never:
        print(f"  of them never called, since they have too few images: {', '.join(found.never)}")
    what = "nothing but thresholds and safe answers: out of fold nothing else helped"
    if found.changed:
        what = "calibration, weights, thresholds and safe answers"
        tried = "; retraining heads did not help in folds" if found.fitted.unseen else ""
        what += ", and the networks' heads" if found.retrained else tried
    print(f"adapted {what}: {len(found.report.pack):,} samples in {seconds:.0f} s")
    if not results:
        print("too few samples to say out of fold what that changed")
    for one in results:
        print("\n".join(describe_change(one, found.run.recipe.ensemble.safe_precision)))
