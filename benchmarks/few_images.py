"""Few labelled images: what a run says of images that nothing was fitted on, beside always giving the same labels.

    python benchmarks/few_images.py --run mine [--run other] [--bundled]

Of every image outside the test part the run's ensemble answers out of fold: networks, combiner and decision were fitted
on other images. Beside it stands the trivial baseline, fitted on the other folds alike. 95 % intervals are from 1,000
resamples of images (of safe answers Wilson's). Average precision is over all images together; each fold's own offsets
lower it. Seconds, once the run's members are trained with folds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

import numpy as np

from hpa_hier.data.labels.table import Targets
from hpa_hier.ensemble.decision import Decision
from hpa_hier.ensemble.fit import OutOfFold, cross_fit
from hpa_hier.ensemble.scores.fit_data import fit_data
from hpa_hier.ensemble.trivial import TrivialBaseline
from hpa_hier.metrics import scores as metrics
from hpa_hier.metrics.bootstrap import interval, resamples
from hpa_hier.metrics.groups import number_units
from hpa_hier.predict.held_out import read_held_out
from hpa_hier.predict.predictor import Predictor
from hpa_hier.runs.run import Run

RESAMPLES, LEVEL = 1000, 0.95


def answer_out_of_fold(run: Run) -> OutOfFold:
    """Return what the run's ensemble says of each image outside the test part, out of fold."""
    settings = run.recipe.ensemble
    held_out = read_held_out(run, run.roster.ensemble, run.taxonomy, "calibration", settings.model_dump())
    truth = run.truth(run.taxonomy)
    units = tuple(run.groups[sample] for sample in truth.ids)
    out_of_fold = cross_fit(fit_data(held_out.scores, truth, units=units), run.taxonomy, settings)[1]
    assert out_of_fold, "too few images for folds"
    return out_of_fold


def answer_trivially(found: OutOfFold, run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Return the trivial baseline's probabilities and labels (B, N), fitted on the other folds."""
    probs, present = np.empty(found.probs.shape), np.empty(found.present.shape, bool)
    for fold in np.unique(found.fold):
        rest, here = found.fold != fold, found.fold == fold
        fitted = TrivialBaseline.fit(Targets(found.truth.present[rest], found.truth.known[rest]), run.taxonomy)
        probs[here], present[here] = fitted.probs, fitted.present
    return probs, present


def answer_by_bundled(found: OutOfFold, run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Return the bundled ensemble's probabilities and labels (B, N), which has seen none of the images."""
    predictor = Predictor.load("pretrained", "cpu")
    images = run.pack.images(run.pack.find_rows(found.truth.ids))
    prediction = predictor.predict(images, channels=",".join(run.pack.channels)).prediction
    columns = [predictor.ensemble.taxonomy.column[node] for node in run.taxonomy.nodes]
    return prediction.probs[:, columns], prediction.present[:, columns]


def answer_safely(found: OutOfFold, run: Run) -> tuple[int, int]:
    """Return how many images get a safe answer by rules that were fitted on the other folds, and how many are right."""
    settings = run.recipe.ensemble.model_copy(update={"bootstrap": 0})
    given = right = 0
    for fold in np.unique(found.fold):
        rest, here = found.fold != fold, np.flatnonzero(found.fold == fold)
        targets = Targets(found.truth.present[rest], found.truth.known[rest])
        decision = Decision.fit(found.probs[rest], targets, run.taxonomy, settings, fold=found.fold[rest])
        nodes = decision.decide(found.probs[here])[1].column
        answered = nodes >= 0
        given += int(answered.sum())
        right += int(found.truth.present[here[answered], nodes[answered]].sum())
    return given, right


def estimate(measure: Callable[[np.ndarray | None], np.ndarray], unit: np.ndarray) -> str:
    """Return a metric with its interval; `measure` takes weights (r, B) or None."""
    drawn = np.concatenate([measure(w) for w in resamples(unit, RESAMPLES, np.random.default_rng(0))])
    point = np.asarray(measure(None))
    low, high = (float(np.clip(bound, 0, None)) for bound in interval(drawn, point, LEVEL))
    return f"{float(point):.3f} [{low:.3f}, {min(high, 1.0):.3f}]"


def describe(name: str, probs: np.ndarray, present: np.ndarray, found: OutOfFold, run: Run) -> str:
    """Return the row of one system."""
    leaves = [run.taxonomy.column[leaf] for leaf in run.taxonomy.leaves]
    level = [run.taxonomy.column[node] for node in run.taxonomy.level("coarse")]
    true, known = found.truth.present[:, leaves], found.truth.known[:, leaves]
    unit = number_units(found.units)
    top = {
        "leaf": metrics.top_is_right(probs[:, leaves], true, known),
        "coarse": metrics.top_is_right(probs[:, level], found.truth.present[:, level], found.truth.known[:, level]),
    }

    def precision(weights: np.ndarray | None) -> np.ndarray:
        return metrics.mean_of_defined(metrics.average_precision(probs[:, leaves], true, known, weights))

    cells = [
        estimate(lambda w: metrics.macro_f1(metrics.count(present[:, leaves], true, known, w)), unit),
        estimate(precision, unit),
        estimate(lambda w: metrics.weighted_mean(top["leaf"], w), unit),
        estimate(lambda w: metrics.weighted_mean(top["coarse"], w), unit),
        f"{present[:, leaves].sum(axis=1).mean():.1f}",
    ]
    return f"| {name} | {' | '.join(cells)} |"


def main(arguments: list[str]) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", action="append", required=True, metavar="NAME", help="trained with folds")
    parser.add_argument("--bundled", action="store_true", help="also the bundled ensemble as it is, for the same tree")
    options = parser.parse_args(arguments)
    print("| | macro F1 | mean AP | most likely place right | most likely group right | labels an image |")
    print("|" + " --- |" * 6)
    for name in options.run:
        run = Run.open(name)
        found = answer_out_of_fold(run)
        print(describe(name, found.probs, found.present, found, run))
        print(describe("always the same labels", *answer_trivially(found, run), found, run))
        if options.bundled:
            print(describe("the bundled ensemble, untrained", *answer_by_bundled(found, run), found, run))
        given, right = answer_safely(found, run)
        low, high = (float(x) for x in metrics.wilson(np.array(float(right)), np.array(float(given)), LEVEL))
        share = f"{right} of {given} right: {right / given:.2f} [{low:.2f}, {high:.2f}]" if given else "none given"
        print(f"{name}: {len(found.probs)} images; safe answers: {share}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
