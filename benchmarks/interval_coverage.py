"""Coverage: how often the report's intervals hold the true value, and how often its verdicts call a difference of none.

    python benchmarks/interval_coverage.py [--images 200 600 4000] [--each 1 2] [--draws 400] [--seed 1]
    python benchmarks/interval_coverage.py --nothing [--images 30 100 600] [--draws 1000]

A population of 200,000 images with the label sets of the real table and **simulated scores** of two systems that share
most of their noise; thresholds are the best of the population, then fixed. Test parts are drawn from it in whole units
(antibodies) of --each images, which have the same labels and share half of their noise. The true value of a mean over
classes is that of the classes that occur in the part. `easy` and `hard` differ in how far positives are from negatives.
With --nothing, units are swapped between the two systems at random, so that nothing differs in the population and every
verdict of better or worse is wrong. About 0.1 s a draw of 600 images on one core.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit, logit

from hpa_hier.ensemble.combine.reconcile import lift
from hpa_hier.evaluate.compute import HEADLINE
from hpa_hier.evaluate.estimate import System, judge
from hpa_hier.evaluate.measure import SystemMeasure, level_key
from hpa_hier.metrics.ranking import Ranked, f1_curve
from hpa_hier.runs.evaluation import Evaluation, EvaluationFacts, SystemAnswers
from hpa_hier.simulate.labelsets import set_counts
from hpa_hier.taxonomy import Taxonomy

POPULATION = 200_000  # images
APART = {"easy": (2.5, 5.0), "hard": (1.5, 4.0)}  # positives from negatives by class, in deviations of the noise
SHARED = 0.8  # share of the noise's variance that both systems have
WITHIN = 0.5  # that images of a unit have
CONFUSED = 0.1  # that all classes of an image have
LEVEL = 0.95
NODES = ("f1", "ap", "precision", "recall")


@dataclass(frozen=True)
class Population:
    """Images of known truth, and what two systems answer for them."""

    whole: Evaluation
    each: int  # images of a unit, one behind the other
    true: tuple[dict[str, np.ndarray], dict[str, np.ndarray]]  # each system's metrics of the whole

    @classmethod
    def draw(cls, seed: int, each: int = 1, apart: tuple[float, float] = APART["hard"], images: int = POPULATION):
        """Draw labels and scores, and measure both systems on all of them."""
        rng = np.random.default_rng(seed)
        taxonomy = Taxonomy.load("hierarchy/hpa28.yaml")
        units = images // each
        present = np.repeat(_draw_labels(taxonomy, units, rng), each, axis=0)
        leaves = np.array([taxonomy.column[leaf] for leaf in taxonomy.leaves])
        skill = rng.uniform(*apart, len(leaves))
        prior = logit(present[:, leaves].mean(axis=0))

        def noise() -> np.ndarray:
            classes, image = rng.normal(size=(units * each, len(leaves))), rng.normal(size=(units * each, 1))
            if each > 1:
                unit = np.repeat(rng.normal(size=(units, len(leaves))), each, axis=0)
                classes = np.sqrt(WITHIN) * unit + np.sqrt(1 - WITHIN) * classes
            return np.sqrt(1 - CONFUSED) * classes + np.sqrt(CONFUSED) * image

        common, systems = noise(), []
        for _ in range(2):
            both = np.sqrt(SHARED) * common + np.sqrt(1 - SHARED) * noise()
            raw = np.zeros(present.shape)
            raw[:, leaves] = expit(((present[:, leaves] - 0.5) * skill + both) * skill + prior)
            systems.append(_answers(lift(raw, taxonomy.bottom_up), present, taxonomy))
        names = tuple(f"u{k}" for k in np.repeat(np.arange(units), each)) if each > 1 else ("",) * len(present)
        known = np.ones_like(present)
        whole = Evaluation(taxonomy, ("",) * len(present), names, present, known, *systems, EvaluationFacts())
        return cls(whole, each, (_values(whole, systems[0]), _values(whole, systems[1])))

    def part(self, images: int, rng: np.random.Generator) -> Evaluation:
        """Draw a test part in whole units."""
        units = rng.integers(0, len(self.whole.targets) // self.each, images // self.each)
        rows = (units[:, None] * self.each + np.arange(self.each)).ravel()
        groups = np.repeat(np.arange(len(units)), self.each) if self.each > 1 else None
        return replace(
            self.whole,
            ids=("",) * len(rows),
            groups=("",) * len(rows) if groups is None else tuple(f"u{unit}" for unit in groups),
            targets=self.whole.targets[rows],
            known=self.whole.known[rows],
            ensemble=_rows(self.whole.ensemble, rows),
            baseline=_rows(self.whole.baseline, rows),
        )

    def true_values(self, part: Evaluation, system: int) -> dict[str, np.ndarray]:
        """Return the population's metrics of a system; means over classes are those of the classes in the part."""
        values = dict(self.true[system])
        taxonomy, occurs = part.taxonomy, part.targets.any(axis=0)
        keys = {"macro_f1": ("f1", taxonomy.leaves), "mean_ap": ("ap", taxonomy.leaves)}
        keys |= {level_key(m, level): (m, taxonomy.level(level)) for level in taxonomy.levels for m in ("f1", "ap")}
        for key, (metric, nodes) in keys.items():
            columns = np.array([taxonomy.column[node] for node in nodes])
            values[key] = values[metric][columns[occurs[columns]]].mean()
        return values


def _draw_labels(taxonomy: Taxonomy, units: int, rng: np.random.Generator) -> np.ndarray:
    sets = list(set_counts())
    table = np.zeros((len(sets), len(taxonomy.nodes)), bool)
    for row, labels in zip(table, sets, strict=True):
        row[[taxonomy.column[str(taxonomy.find_node(label))] for label in labels]] = True
    shares = np.array(list(set_counts().values()), float)
    return taxonomy.close(table)[rng.choice(len(sets), units, p=shares / shares.sum())]


def _answers(probs: np.ndarray, present: np.ndarray, taxonomy: Taxonomy) -> SystemAnswers:
    ranked = Ranked.of(probs, present, np.ones_like(present))
    thresholds = ranked.thresholds_at(f1_curve(ranked).argmax(axis=1)[:, None] + 1)[:, 0]
    return SystemAnswers(probs, probs, taxonomy.close(probs >= thresholds), thresholds)


def _rows(answers: SystemAnswers, rows: np.ndarray) -> SystemAnswers:
    return replace(answers, raw=answers.raw[rows], probs=answers.probs[rows], present=answers.present[rows])


def _values(evaluation: Evaluation, answers: SystemAnswers) -> dict[str, np.ndarray]:
    return {key: one.value for key, one in SystemMeasure(evaluation, answers).measured.items()}


def swapped(part: Evaluation, rng: np.random.Generator) -> Evaluation:
    """Swap whole units between the two systems at random: then nothing differs between them but chance."""
    unit = SystemMeasure(part, part.ensemble).sampling.unit
    swap = (rng.random(unit.max() + 1) < 0.5)[unit][:, None]
    one, other = part.ensemble, part.baseline

    def mixed(first: SystemAnswers, second: SystemAnswers) -> SystemAnswers:
        columns = {
            key: np.where(swap, getattr(second, key), getattr(first, key)) for key in ("raw", "probs", "present")
        }
        return replace(first, **columns)

    return replace(part, ensemble=mixed(one, other), baseline=mixed(other, one))


@dataclass
class Tally:
    """How intervals of one kind did over draws."""

    held: int = 0
    drawn: int = 0
    width: float = 0.0
    low: int = 0  # the true value lay below the interval
    error: float = 0.0  # of the value, summed

    def add(self, value: float, low: float, high: float, true: float) -> None:
        """Count one interval."""
        if np.isnan([value, low, high, true]).any():
            return
        self.drawn, self.held = self.drawn + 1, self.held + (low <= true <= high)
        self.width, self.low, self.error = self.width + high - low, self.low + (true < low), self.error + value - true

    def __str__(self) -> str:
        share = self.held / max(1, self.drawn)
        below = self.low / max(1, self.drawn)
        return (
            f"{share:.3f} | {1 - share - below:.3f} | {below:.3f} | {self.width / max(1, self.drawn):.4f} | "
            f"{self.error / max(1, self.drawn):+.4f}"
        )


def cover(population: Population, images: int, draws: int, seed: int) -> dict[str, Tally]:
    """Draw test parts, and count how often each interval holds the population's value."""
    rng = np.random.default_rng(seed)
    tallies: dict[str, Tally] = {}
    for _ in range(draws):
        part = population.part(images, rng)
        ours, theirs = (System(SystemMeasure(part, one)) for one in (part.ensemble, part.baseline))
        true, other = population.true_values(part, 0), population.true_values(part, 1)
        for key, largest in _keys(part.taxonomy):
            one, apart = ours.estimate(key, largest), ours.minus(theirs, key, largest)
            tallies.setdefault(key, Tally()).add(one.value, one.low, one.high, float(true[key]))
            difference = float(true[key] - other[key])
            tallies.setdefault(f"{key}, difference", Tally()).add(apart.value, apart.low, apart.high, difference)
        for j, row in enumerate(ours.node_estimates()):
            few = "few" if part.targets[:, j].sum() < 10 else "10 or more"
            for key in NODES:
                one = getattr(row, key)
                if one.value is not None:
                    tally = tallies.setdefault(f"{key} of one node, {few} positives", Tally())
                    tally.add(one.value, one.low, one.high, float(true[key][j]))
    return tallies


def _keys(taxonomy: Taxonomy) -> Iterator[tuple[str, float]]:
    yield from ((metric.key, metric.largest) for metric in HEADLINE)
    yield from ((level_key(metric, level), 1.0) for level in taxonomy.levels[:-1] for metric in ("f1", "ap", "top"))


def wrong_verdicts(population: Population, images: int, draws: int, seed: int) -> tuple[float, float]:
    """Return the share of tables, and of their rows, with a verdict though nothing differs."""
    rng, tables, rows = np.random.default_rng(seed), 0, []
    for _ in range(draws):
        part = swapped(population.part(images, rng), rng)
        ours, theirs = (System(SystemMeasure(part, one)) for one in (part.ensemble, part.baseline))
        verdicts = judge({key: (ours.compare(theirs, key), True) for key, _ in _keys(part.taxonomy)}, LEVEL, fewest=0)
        called = [verdict in ("better", "worse") for verdict in verdicts.values()]
        tables, rows = tables + any(called), [*rows, np.mean(called)]
    return tables / draws, float(np.mean(rows))


def main(arguments: list[str]) -> int:
    """Print a table for each world and size of a test part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[200, 600, 4000], help="of a test part")
    parser.add_argument("--each", type=int, nargs="+", default=[1], help="images of a unit")
    parser.add_argument("--worlds", nargs="+", default=list(APART), choices=list(APART))
    parser.add_argument("--draws", type=int, default=400, help="test parts (default: 400)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--nothing", action="store_true", help="count verdicts where nothing differs")
    options = parser.parse_args(arguments)
    for world in options.worlds:
        for each in options.each:
            population = Population.draw(options.seed, each, APART[world])
            for images in options.images:
                print(f"\n{world}, {images:,} images, {each} a unit, {options.draws} draws, seed {options.seed}")
                if options.nothing:
                    tables, rows = wrong_verdicts(population, images, options.draws, options.seed)
                    print(f"tables with a wrong verdict {tables:.3f}, wrong verdicts {rows:.4f}", flush=True)
                    continue
                print(
                    "| metric | holds | above | below | width | value − true |\n| --- | --- | --- | --- | --- | --- |"
                )
                for key, tally in cover(population, images, options.draws, options.seed).items():
                    print(f"| {key} | {tally} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
