"""The default ensemble on real networks' scores: repeated halves, beside what else one would do with them.

    python benchmarks/real_scores.py --scores eleven_networks.npz [--halves 10] [--test OTHER.npz]

The file holds `labels` (B, 28), `scores` (E, B, 28) probabilities and `members` (E,): networks of a competition team on
images that they were not trained on. For each of --halves random halves, every system is fitted on one half and
measured on the other; with --test, on the whole of one file and measured on the other. Then the same with 100, 300 and
1,000 rows to fit on, and with members that answer for one group's leaves only. Macro F1 and mean AP are over the
classes with positives in the half that is measured, log loss over all entries (natural logarithm). Intervals (95 %) and
differences are of a paired bootstrap over images, the same resamples in all halves. The test half is never looked at to
choose anything. About 12 minutes on one core.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold

from hpa_hier.ensemble.accept import fit_accepted
from hpa_hier.ensemble.fit import fit
from hpa_hier.ensemble.scores.fit_data import fit_data
from hpa_hier.ensemble.scores.scores import Scores, Truth
from hpa_hier.metrics.bootstrap import resamples
from hpa_hier.metrics.scores import average_precision, count, macro_f1, mean_of_defined
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy

RESAMPLES = 300
EDGE = 2.0**-12  # scores are kept in half precision, in which 1 may be anything above 1 - 2^-12
TAXONOMY = Taxonomy.load("hierarchy/hpa28.yaml")
LEAVES = tuple(str(TAXONOMY.find_node(str(label))) for label in range(28))
COLUMNS = [TAXONOMY.column[leaf] for leaf in LEAVES]
METRICS = ("macro F1", "mean AP", "log loss")
DEFAULT = "default recipe"


@dataclass(frozen=True)
class Rows:
    """Scores and labels of the same images."""

    logits: np.ndarray  # (E, B, 28)
    labels: np.ndarray  # (B, 28)
    covers: np.ndarray  # (E, 28) which member answers for which class

    def take(self, rows: np.ndarray) -> Rows:
        """Return these rows."""
        return Rows(self.logits[:, rows], self.labels[rows], self.covers)

    def scores(self) -> list[Scores]:
        """Hand the logits out to members."""
        ids = tuple(f"s{i:05d}" for i in range(len(self.labels)))
        return [
            Scores(f"m{e:02d}", ids, tuple(np.array(LEAVES)[covers]), logits[:, covers])
            for e, (logits, covers) in enumerate(zip(self.logits, self.covers, strict=True))
        ]

    def truth(self) -> Truth:
        """Close the labels under the tree."""
        wide = np.zeros((len(self.labels), len(TAXONOMY.nodes)), bool)
        wide[:, COLUMNS] = self.labels
        ids = tuple(f"s{i:05d}" for i in range(len(wide)))
        return Truth(ids, TAXONOMY.close(wide), np.ones_like(wide))

    def mean(self) -> np.ndarray:
        """Return the mean probability of the members that answer, (B, 28)."""
        weights = (self.covers / self.covers.sum(axis=0))[:, None, :]
        return np.asarray((expit(self.logits) * weights).sum(axis=0))


Answer = tuple[np.ndarray, np.ndarray]  # probabilities and decisions, (B, 28) each
System = Callable[[Rows, Rows], Answer]


def plain_mean(given: Rows, unseen: Rows) -> Answer:
    """The mean probability, at 0.5."""
    return unseen.mean(), unseen.mean() >= 0.5


def two_best(given: Rows, unseen: Rows) -> Answer:
    """The mean of the two members of largest mean AP on the rows to fit on, at 0.5."""
    ap = [_mean_ap(expit(one), given.labels) for one in np.where(given.covers[:, None], given.logits, -50.0)]
    best = np.zeros(len(ap), bool)
    best[np.argsort(ap)[-2:]] = True
    best = best[:, None] & given.covers
    kept = np.where(best.any(axis=0), best, given.covers)  # a class that neither answers for: all that do
    probs = Rows(unseen.logits, unseen.labels, kept).mean()
    return probs, probs >= 0.5


def stack(given: Rows, unseen: Rows) -> Answer:
    """scikit-learn's logistic regression on each class's logits (C = 0.1), at 0.5."""
    probs = _stack(given, unseen)
    return probs, probs >= 0.5


def stack_global(given: Rows, unseen: Rows) -> Answer:
    """The same at the one threshold of largest macro F1 out of fold."""
    held_out = np.empty(given.labels.shape)
    for train, rest in KFold(5, shuffle=True, random_state=0).split(given.labels):
        held_out[rest] = _stack(given.take(train), given.take(rest))
    grid = np.linspace(0.02, 0.6, 59)
    best = max(grid, key=lambda one: _macro_f1(held_out >= one, given.labels))
    probs = _stack(given, unseen)
    return probs, probs >= best


def recipe(**changed: object) -> System:
    """The default recipe with some settings changed, used without asking whether to accept it."""
    settings = EnsembleSettings(bootstrap=0).model_copy(update=changed)

    def system(given: Rows, unseen: Rows) -> Answer:
        found = fit(given.scores(), given.truth(), TAXONOMY, settings).predict(unseen.scores())
        return found.probs[:, COLUMNS], found.present[:, COLUMNS]

    return system


def default(given: Rows, unseen: Rows) -> Answer:
    """The default recipe, as `ensemble fit --scores` runs it."""
    settings = EnsembleSettings(bootstrap=0)
    accepted = fit_accepted(fit_data(given.scores(), given.truth()), None, TAXONOMY, settings)
    found = accepted.ensemble.predict(unseen.scores())
    return found.probs[:, COLUMNS], found.present[:, COLUMNS]


PEERS: dict[str, System] = {
    "plain mean at 0.5": plain_mean,
    "two best at 0.5": two_best,
    "logistic stack at 0.5": stack,
    "logistic stack, one threshold": stack_global,
    DEFAULT: default,
}
VARIANTS: dict[str, System] = {
    "thresholds f1": recipe(thresholds="f1"),
    "thresholds fixed at 0.5": recipe(thresholds="fixed"),
    "calibrate temperature": recipe(calibrate="temperature"),
    "calibrate platt": recipe(calibrate="platt"),
    "aggregate mean": recipe(aggregate="mean"),
    "aggregate blend": recipe(aggregate="blend"),
    "reconcile lift": recipe(reconcile="lift"),
    "reconcile evidence": recipe(reconcile="evidence"),
}


def _stack(given: Rows, unseen: Rows) -> np.ndarray:
    probs = np.zeros(unseen.labels.shape)
    for j in np.flatnonzero(given.labels.any(axis=0)):
        inputs, goals = given.logits[given.covers[:, j], :, j].T, given.labels[:, j]
        model = LogisticRegression(C=0.1, max_iter=2000).fit(inputs, goals)
        probs[:, j] = model.predict_proba(unseen.logits[unseen.covers[:, j], :, j].T)[:, 1]
    return probs


def _macro_f1(called: np.ndarray, labels: np.ndarray) -> float:
    return float(macro_f1(count(called, labels, np.ones_like(labels))))


def _mean_ap(probs: np.ndarray, labels: np.ndarray) -> float:
    return float(mean_of_defined(average_precision(probs, labels, np.ones_like(labels))))


def measure(answer: Answer, labels: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Return the METRICS, (3,), or (3, R) with weights (R, B)."""
    (probs, called), known = answer, np.ones_like(labels)
    loss = -np.log(np.where(labels, probs, 1 - probs).clip(1e-7)).mean(axis=1)
    mean = loss.mean() if weights is None else weights @ loss / weights.sum(axis=1)
    ap = mean_of_defined(average_precision(probs, labels, known, weights))
    return np.stack([macro_f1(count(called, labels, known, weights)), ap, mean])


def compare(pairs: Iterator[tuple[Rows, Rows, np.ndarray]], systems: dict[str, System], total: int) -> None:
    """Print every system's metrics and the default's lead over it, means over pairs of halves.

    Each pair comes with the rows of the unseen half among `total`, by which resamples are the same in all pairs.
    """
    weights = np.concatenate(list(resamples(np.arange(total), RESAMPLES, np.random.default_rng(0))))
    values: dict[str, list[np.ndarray]] = {name: [] for name in systems}
    positives = []
    for given, unseen, rows in pairs:
        positives.append(int(unseen.labels.sum()))
        for name, system in systems.items():
            answer = system(given, unseen)
            point = measure(answer, unseen.labels, None)[:, None]
            values[name].append(np.concatenate([point, measure(answer, unseen.labels, weights[:, rows])], axis=1))
    means = {name: np.mean(found, axis=0) for name, found in values.items()}
    print(f"halves: {len(positives)}, positives in each that is measured: {min(positives)} to {max(positives)}")
    print("| system | " + " | ".join(f"{metric} | default's lead" for metric in METRICS) + " |")
    print("| --- |" + " --- | --- |" * len(METRICS))
    for name, found in means.items():
        cells = []
        for k in range(len(METRICS)):
            lead = means[DEFAULT][k] - found[k]
            shown = "" if name == DEFAULT else _interval(lead, "+.4f" if k == 2 else "+.3f")
            cells += [f"{found[k][0]:.4f}" if k == 2 else f"{found[k][0]:.3f}", shown]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def _interval(values: np.ndarray, form: str) -> str:
    low, high = np.quantile(values[1:] - np.median(values[1:]) + values[0], [0.025, 0.975])
    return f"{values[0]:{form}} [{low:{form}}, {high:{form}}]"


def halves(rows: Rows, number: int, most: int | None = None) -> Iterator[tuple[Rows, Rows, np.ndarray]]:
    """Yield random halves, of the first at most so many rows."""
    size = len(rows.labels)
    for seed in range(number):
        order = np.random.default_rng(seed).permutation(size)
        yield rows.take(order[: size // 2][:most]), rows.take(order[size // 2 :]), order[size // 2 :]


def read(path: Path) -> Rows:
    """Read a file of scores."""
    with np.load(path, allow_pickle=False) as kept:
        probs, labels = kept["scores"].astype(np.float64), kept["labels"].astype(bool)
    return Rows(logit(probs.clip(1e-6, 1 - EDGE)), labels, np.ones((len(probs), labels.shape[1]), bool))


def partly(rows: Rows) -> Rows:
    """Let the first two members answer for all classes, and each other for the leaves of one group, in turn."""
    covers = rows.covers.copy()
    for e in range(2, len(covers)):
        group = TAXONOMY.level("coarse")[e % len(TAXONOMY.level("coarse"))]
        below = set(TAXONOMY.leaves_below(group))
        covers[e] = [leaf in below for leaf in LEAVES]
    return Rows(rows.logits, rows.labels, covers)


def main(arguments: list[str]) -> int:
    """Print a table for each way of fitting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scores", type=Path, required=True, metavar="NPZ", help="labels, scores and members")
    parser.add_argument("--test", type=Path, metavar="NPZ", help="rows to measure on; without, halves of --scores")
    parser.add_argument("--halves", type=int, default=10, help="random halves")
    parser.add_argument("--quick", action="store_true", help="the first table only")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    rows = read(options.scores)
    if options.test:
        other = read(options.test)
        whole = (rows, other, np.arange(len(other.labels)))
        print(f"fitted on {options.scores.name}, measured on {options.test.name}")
        compare(iter([whole]), PEERS, len(other.labels))
        return 0
    total = len(rows.labels)
    print("## Half of the rows to fit on\n")
    compare(halves(rows, options.halves), PEERS, total)
    if options.quick:
        return 0
    print("\n## What a setting other than the default gives\n")
    compare(halves(rows, options.halves), {DEFAULT: default} | VARIANTS, total)
    for most in (1000, 300, 100):
        print(f"\n## {most} rows to fit on\n")
        compare(halves(rows, options.halves, most), PEERS, total)
    print("\n## Members that answer for one group's leaves only, but for two\n")
    compare(halves(partly(rows), options.halves), PEERS, total)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
