"""Adapting: what a few labelled real images give the bundled ensemble, on images that it was not adapted to.

    python benchmarks/adapt.py --complete DIR --dictionary DIR [--draws 20] [--sizes 20 40] [--run NAME|DIR]

--complete holds whole fields with four channels, --dictionary pictures with a scale bar burnt in and without a yellow
channel, each with its labels.csv; the dictionary's lower 8 % are cut off. Two tables:

Draws: from both sets together, n images are adapted to, and all others are answered for; the mean over draws of each
metric before and after, of the paired difference, and the range of 95 % of the draws. Draws share images, so that range
is how much the choice of the n images matters, and no interval for other images.

Out of fold: ten folds of each set and of both, with everything chosen and fitted within them as `ensemble adapt` does;
paired differences with 95 % intervals over images.

Everything is seeded. Costs about 3 minutes of one core.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from sim_to_real import crop_lower

from hpa_hier.data.labels.table import Targets
from hpa_hier.ensemble.scores.scores import Truth
from hpa_hier.metrics import scores as metrics
from hpa_hier.metrics.bootstrap import resamples
from hpa_hier.predict.labelled.adapt import prepare
from hpa_hier.predict.labelled.nested import Given, adapt_nested, adapt_once
from hpa_hier.predict.labelled.samples import LabelledRequest, pack_labelled
from hpa_hier.predict.predictor import Predictor

NAMES = {
    "log_loss": "log loss",
    "brier": "Brier score",
    "macro_f1": "macro F1",
    "mean_ap": "mean AP",
    "micro_f1": "micro F1",
    "group_f1": "group F1",
}
RESAMPLES = 1000
BAR = 0.08  # share of the dictionary's height that has the scale bar


def read_images(predictor: Predictor, images: Path, labels: Path, out: Path) -> Given:
    """Return a folder's labelled images as the members answer for them."""
    request = LabelledRequest(labels=labels, images=images, may_be_missing=("yellow",))
    pack = pack_labelled(predictor, request, predictor.ensemble.taxonomy.without_virtual, out).pack
    return prepare(predictor, pack)


def join(one: Given, other: Given) -> Given:
    """Return the samples of both."""
    both = lambda a, b: np.concatenate([a, b])  # noqa: E731
    members = tuple(
        replace(a, logits=both(a.logits, b.logits), features=both(a.features, b.features))
        for a, b in zip(one.members, other.members, strict=True)
    )
    truth = Truth(
        (*one.truth.ids, *other.truth.ids),
        both(one.truth.present, other.truth.present),
        both(one.truth.known, other.truth.known),
    )
    assert one.before is not None
    return replace(
        one,
        members=members,
        truth=truth,
        units=(*one.units, *other.units),
        before=both(one.before, other.before),
        before_present=both(one.before_present, other.before_present),
    )


def measure(
    given: Given, probs: np.ndarray, present: np.ndarray, ranking: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Return each metric, (R,), of weights (R, B)."""
    tree = given.taxonomy
    leaves = [tree.column[leaf] for leaf in tree.leaves]
    groups = [tree.column[node] for node in tree.level(tree.levels[0])]
    true, known = given.truth.present[:, leaves], given.truth.known[:, leaves]
    losses, entries = metrics.sample_losses(probs[:, leaves], true, known)
    errors = metrics.squared_errors(probs[:, leaves], true, known)
    counts = metrics.count(present[:, leaves], true, known, weights)
    grouped = metrics.count(present[:, groups], given.truth.present[:, groups], given.truth.known[:, groups], weights)
    hits, false, missed = (part.sum(axis=-1) for part in (counts.tp, counts.fp, counts.fn))
    ap = metrics.average_precision(ranking[:, leaves], true, known, weights)
    return {
        "log_loss": weights @ losses / (weights @ entries),
        "brier": weights @ errors / (weights @ entries),
        "macro_f1": np.asarray(metrics.macro_f1(counts)),
        "mean_ap": np.asarray(metrics.mean_of_defined(ap)),
        "micro_f1": 2 * hits / (2 * hits + false + missed),
        "group_f1": np.asarray(metrics.macro_f1(grouped)),
    }


def draw_rows(given: Given, sizes: Sequence[int], draws: int) -> tuple[list[str], list[str]]:
    """Return the rows of the table of draws, and lines on safe answers."""
    rows, lines = [], []
    B = len(given.truth.ids)
    assert given.before is not None
    for n in sizes:
        before, after, safe = [], [], np.zeros(2, int)
        for draw in range(draws):
            chosen = np.zeros(B, bool)
            chosen[np.random.default_rng(draw).permutation(B)[:n]] = True
            rest = given.rows(~chosen)
            quiet = given.settings.model_copy(update={"bootstrap": 0})
            adaptation, decision = adapt_once(replace(given.rows(chosen), settings=quiet))
            probs = adaptation.probs(rest)[1]
            present, answers = decision.decide(probs)
            once = np.ones((1, B - n))
            assert rest.before is not None
            assert rest.before_present is not None
            before.append(measure(rest, rest.before, rest.before_present, rest.before, once))
            after.append(measure(rest, probs, present, probs, once))
            there = np.flatnonzero(answers.column >= 0)
            safe += [len(there), int(rest.truth.present[there, answers.column[there]].sum())]
        cells = []
        for key in NAMES:
            old, new = (np.array([one[key][0] for one in found]) for found in (before, after))
            low, high = np.quantile(new - old, [0.025, 0.975])
            gain = f"{(new - old).mean():+.3f} ({low:+.3f} to {high:+.3f})"
            cells.append(f"{old.mean():.3f} → {new.mean():.3f}, {gain}")
        positives = int(given.truth.present[:, [given.taxonomy.column[leaf] for leaf in given.taxonomy.leaves]].sum())
        rows.append(f"| {n} of {B} ({positives} positives in all), {draws} draws | {' | '.join(cells)} |")
        share = f"{safe[1] / safe[0]:.2f}" if safe[0] else "none"
        lines.append(f"{n} images: {safe[0]} safe answers in {draws * (B - n)}, right {share}")
    return rows, lines


def fold_row(name: str, given: Given) -> tuple[str, str]:
    """Return the row of a set out of fold, and a line on safe answers."""
    fitted, unit = adapt_nested(given), np.arange(len(given.truth.ids))
    found = fitted.unseen
    assert found is not None
    assert given.before is not None
    assert given.before_present is not None
    weights = np.concatenate([np.ones((1, len(unit))), *resamples(unit, RESAMPLES, np.random.default_rng(0))])
    new = measure(given, found.probs, found.present, found.ranking, weights)
    old = measure(given, given.before, given.before_present, given.before, weights)
    cells = []
    for key in NAMES:
        low, high = np.nanquantile(new[key][1:] - old[key][1:], [0.025, 0.975])
        gain = f"{new[key][0] - old[key][0]:+.3f} [{low:+.3f}, {high:+.3f}]"
        cells.append(f"{old[key][0]:.3f} → {new[key][0]:.3f}, {gain}")
    tree, there = given.taxonomy, np.flatnonzero(found.safe.column >= 0)
    right = int(given.truth.present[there, found.safe.column[there]].sum())
    low, high = (float(x) for x in metrics.wilson(np.array(float(right)), np.array(float(len(there))), 0.95))
    targets = Targets(given.truth.present, given.truth.known)
    positives = int(targets.present[:, [tree.column[leaf] for leaf in tree.leaves]].sum())
    chosen = ", ".join(sorted({str(one) for one in found.chosen}))
    safe = f"{right} of {len(there)} safe answers right: [{low:.2f}, {high:.2f}]" if len(there) else "no safe answers"
    return (
        f"| {name}: {len(unit)} images, {positives} positives | {' | '.join(cells)} |",
        f"{name}: {safe}; chosen in folds: {chosen}",
    )


def main(arguments: list[str]) -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--complete", type=Path, required=True, metavar="DIR")
    parser.add_argument("--dictionary", type=Path, required=True, metavar="DIR")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--sizes", type=int, nargs="+", default=[20, 40])
    parser.add_argument("--run", default="pretrained", metavar="NAME|DIR")
    options = parser.parse_args(arguments)
    predictor = Predictor.load(options.run)
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        (home / "cropped").mkdir()
        cropped = crop_lower(options.dictionary, BAR, home / "cropped")
        complete = read_images(predictor, options.complete, options.complete / "labels.csv", home / "a")
        dictionary = read_images(predictor, cropped, options.dictionary / "labels.csv", home / "b")
        both = join(complete, dictionary)
        print(f"| | {' | '.join(NAMES.values())} |\n|{' --- |' * (len(NAMES) + 1)}")
        notes = []
        for name, given in (("complete", complete), ("dictionary", dictionary), ("both", both)):
            row, note = fold_row(name, given)
            print(row, flush=True)
            notes.append(note)
        if options.draws:
            rows, lines = draw_rows(both, options.sizes, options.draws)
            print("\n".join(rows))
            notes += lines
        print("\n".join(notes), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
