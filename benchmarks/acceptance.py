"""How often an ensemble is accepted that is no better, and one that is.

    python benchmarks/acceptance.py [--draws 200] [--images 600] [--leaves 28] [--members 5] [--cases NAME ...]

Acceptance promises that an ensemble which is not better replaces its baseline in at most 1 - `ensemble.accept` of
cases: 1 in 5. Everything here is **drawn**: labels of falling prevalence (0.4 to 0.006), and logits of members that
share 70 % of their noise. In the first four cases nobody is better:

- `own mean`: a logistic stack over members that are exchangeable, against their own mean, as of score tables;
- `two means`: the mean of five members against that of five others, all exchangeable;
- `two stacks`: the same with a logistic stack over both, as an ensemble against flat members fitted alike;
- `two stacks, pairs`: the same where two images belong to one antibody and share half of their noise;

and in the last three someone is:

- `one better`: a logistic stack over five members, of which one separates 1.5 times as well, against their mean;
- `all better`: five members that separate 1.1 times as well as the five others, a logistic stack over both;
- `all a little better`: the same with 1.03 times.

Printed for each: the share accepted with a 95 % Wilson interval; what it would be with the standard error corrected
for overlapping fits (Nadeau & Bengio 2003, times 1.5 with five folds); the mean difference in log loss; and how much
it varies between draws beside what one draw takes for its standard error, 1 where the bound is as wide as it should
be. About half a second of one core a draw; a quarter of an hour in all.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.special import logit

from hpa_hier.ensemble.accept import compare_losses
from hpa_hier.ensemble.fit import cross_fit
from hpa_hier.ensemble.scores.fit_data import FitData, fit_data
from hpa_hier.ensemble.scores.scores import Scores, Truth
from hpa_hier.ensemble.verdict import LogLoss
from hpa_hier.metrics.scores import wilson
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy

SETTINGS = EnsembleSettings(bootstrap=0, aggregate="logistic_stack")
_ALIKE = 0.7  # share of the noise that members share


@dataclass(frozen=True)
class Case:
    """Two systems to compare."""

    gain: float = 1.0  # by how much better the first system's members separate, or one of them
    aggregate: str = "logistic_stack"  # of both systems, or of the first
    own_mean: bool = False  # the second is the mean of the same members; else it has as many of its own
    unit: int = 1  # images of an antibody


CASES = {
    "own mean": Case(own_mean=True),
    "two means": Case(aggregate="mean"),
    "two stacks": Case(),
    "two stacks, pairs": Case(unit=2),
    "one better": Case(gain=1.5, own_mean=True),
    "all better": Case(gain=1.1),
    "all a little better": Case(gain=1.03),
}
NOT_BETTER = [name for name, case in CASES.items() if case.gain == 1]


@dataclass(frozen=True)
class Size:
    """How much is drawn."""

    images: int = 600
    leaves: int = 28
    members: int = 5  # of a system


def draw(case: Case, size: Size, rng: np.random.Generator) -> tuple[Taxonomy, FitData, FitData]:
    """Draw the members of both systems, and the truth."""
    shape, units = (size.images, size.leaves), -(-size.images // case.unit)
    prevalence = np.geomspace(0.4, 0.006, size.leaves)
    unit = np.repeat(np.arange(units), case.unit)[: size.images]
    present, apart = (rng.random((units, size.leaves)) < prevalence)[unit], rng.uniform(1.2, 3.5, size.leaves)

    def noise() -> np.ndarray:
        own = rng.normal(size=shape)
        return own if case.unit == 1 else (own + rng.normal(size=(units, size.leaves))[unit]) / np.sqrt(2)

    def member(gain: float) -> np.ndarray:
        both = np.sqrt(_ALIKE) * shared + np.sqrt(1 - _ALIKE) * noise()
        return ((present - 0.5) * apart * gain + both) * apart * gain + logit(prevalence)

    shared = noise()
    better = [case.gain if number == 0 or not case.own_mean else 1.0 for number in range(size.members)]
    ours = [member(gain) for gain in better]
    theirs = ours if case.own_mean else [member(1.0) for _ in ours]
    groups = {f"Group {g}": range(g, size.leaves, 4) for g in range(min(4, size.leaves))}
    lines = [f"  {group}:\n" + "".join(f"    l{j}: {{label: {j}}}\n" for j in below) for group, below in groups.items()]
    taxonomy = Taxonomy.from_text("taxonomy: drawn\nlevels: {leaf: leaves}\ntree:\n" + "".join(lines))
    leaves, ids = tuple(f"l{j}" for j in range(size.leaves)), tuple(f"s{i:05d}" for i in range(size.images))
    wide = np.zeros((size.images, len(taxonomy.nodes)), bool)
    wide[:, [taxonomy.column[leaf] for leaf in leaves]] = present
    truth = Truth(ids, taxonomy.close(wide), np.ones_like(wide))
    names = [f"antibody {number}" for number in unit] if case.unit > 1 else None
    systems = [[Scores(f"m{e}", ids, leaves, logits) for e, logits in enumerate(system)] for system in (ours, theirs)]
    one, other = (fit_data(system, truth, units=names) for system in systems)
    return taxonomy, one, other


def compare_draw(case: Case, size: Size, seed: Sequence[int]) -> LogLoss:
    """Draw two systems, fit both, and compare them as `fit` does."""
    taxonomy, one, other = draw(case, size, np.random.default_rng(seed))
    ours = SETTINGS.model_copy(update={"aggregate": case.aggregate})
    theirs = SETTINGS.model_copy(update={"aggregate": "mean" if case.own_mean else case.aggregate})
    systems = [cross_fit(data, taxonomy, settings)[1] for data, settings in ((one, ours), (other, theirs))]
    leaves = np.array([taxonomy.column[leaf] for leaf in taxonomy.leaves])
    found = compare_losses(*[system for system in systems if system], leaves, SETTINGS.accept)
    if found is None:
        raise SystemExit(f"--images: {size.images} are too few to compare")
    return found


def main(arguments: list[str]) -> int:
    """Print a line for each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=200, help="of each case (default: 200)")
    parser.add_argument("--images", type=int, default=600, help="labelled images to fit on (default: 600)")
    parser.add_argument("--leaves", type=int, default=28, help="classes (default: 28)")
    parser.add_argument("--members", type=int, default=5, help="networks of a system (default: 5)")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), metavar="NAME", help="default: all")
    parser.add_argument("--first-seed", type=int, default=0)
    options = parser.parse_args(arguments)
    size = Size(options.images, options.leaves, options.members)
    corrected = np.sqrt(1 + SETTINGS.folds / (SETTINGS.folds - 1))
    quantile = stats.t.ppf(SETTINGS.accept, size.images - 1)
    print("case | accepted | corrected | log loss | deviation / standard error")
    for name in options.cases:
        seeds = range(options.first_seed, options.first_seed + options.draws)
        found = [compare_draw(CASES[name], size, (seed, list(CASES).index(name))) for seed in seeds]
        gained, upper = np.array([(one.difference, one.upper) for one in found]).T
        accepted, half = upper < 0, upper - gained
        low, high = wilson(np.array(float(accepted.sum())), np.array(float(len(found))), 0.95)
        spread = gained.std(ddof=1) / (half.mean() / quantile) if len(found) > 1 else np.nan
        print(
            f"{name} | {accepted.mean():.3f} [{low:.3f}, {high:.3f}] | {(gained + corrected * half < 0).mean():.3f} | "
            f"{gained.mean():+.5f} | {spread:.2f}",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
