"""Evidence from members that answer for groups: what it brings leaves and groups, beside as many flat networks.

    python benchmarks/evidence.py --labels train.csv [--seeds 8] [--fitting 600]
    python benchmarks/evidence.py --scores eleven_networks.npz
    python benchmarks/evidence.py --run artifacts/demo

Real label vectors and **simulated features**, as in label_table.py: in world H prototypes follow the tree, in world U
they do not. Small networks are trained on 2,800 images, ensembles fitted on --fitting others (default settings, without
folds; each is used unasked), and measured on 6,000 others. Log loss is summed over the nodes. Differences are to
five flat networks, paired by seed, with their standard error over seeds. About 12 s a world and seed on one core.

With --scores: real networks' probabilities of leaves alone (arrays `scores` (E, B, 28) and `labels` (B, 28)), in
random halves. No member answers for a group there, so that leaves stay as they are and only groups differ, unless each
network's own noisy-or is taken for its answer ("own groups").

With --run: a run's own members, fitted on its calibration part and measured on its test part, and the other way round.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from few_labels import macro_f1, read_table
from label_table import World, draw_world, train
from scipy.special import logit
from sklearn.metrics import average_precision_score

from hpa_hier.ensemble.combine.evidence import Evidence
from hpa_hier.ensemble.fit import fit
from hpa_hier.ensemble.scores.scores import Scores, Truth
from hpa_hier.members.scores_file import load_scores
from hpa_hier.runs.manifest import SCORES
from hpa_hier.runs.run import Run
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy

TRAINING, TEST, EPOCHS, HALVES = 2800, 6000, 40, 5
FLATS = tuple(f"flat{seed}" for seed in range(5))
POOLS = {
    "five flats": FLATS,
    "four leaf, coarse": (*FLATS[:4], "coarse"),
    "four leaf, compartment": (*FLATS[:4], "compartment"),
    "three leaf, coarse, compartment": (*FLATS[:3], "coarse", "compartment"),
    "three leaf, all, chain": (*FLATS[:3], "nodes", "chain"),
}
RULES = ("lift", "evidence")


@dataclass(frozen=True)
class Part:
    """Networks' scores of some images, and what is true of them."""

    members: dict[str, Scores]
    truth: Truth


def networks(world: World, seed: int, fitting: int) -> tuple[Taxonomy, Part, Part]:
    """Train all networks on some of a world's images; return the tree, and parts to fit on and to measure on."""
    rng = np.random.default_rng([seed, 5])
    part = np.full(len(world.part), 3)
    for number, count in enumerate((TRAINING, fitting, TEST)):
        part[rng.permutation(world.rows(number))[:count]] = number
    world = World(world.taxonomy, world.features, world.present, part)
    tree = world.taxonomy.without_virtual
    jobs = dict.fromkeys(FLATS, (tree.leaves, "flat"))
    jobs |= {level: (tree.level(level), "flat") for level in ("coarse", "compartment")}
    jobs |= {"nodes": (tree.nodes, "flat"), "chain": (tree.nodes, "chain")}
    scores = {
        name: (nodes, train(world, nodes, kind, (1000 * seed + number, EPOCHS)))
        for number, (name, (nodes, kind)) in enumerate(jobs.items())
    }
    columns = [world.taxonomy.column[node] for node in tree.nodes]
    return tree, *(_part(scores, world.present[:, columns], world.rows(number)) for number in (1, 2))


def _part(scores: dict[str, tuple[tuple[str, ...], np.ndarray]], present: np.ndarray, rows: np.ndarray) -> Part:
    ids = tuple(f"s{row:05d}" for row in rows)
    members = {name: Scores(name, ids, nodes, values[rows]) for name, (nodes, values) in scores.items()}
    return Part(members, Truth(ids, present[rows], np.ones_like(present[rows])))


Row = dict[str, float]


def measure(tree: Taxonomy, fitting: Part, test: Part, names: tuple[str, ...], rule: str) -> Row:
    """Fit an ensemble of these members and measure it on leaves, coarse groups and compartments."""
    settings = EnsembleSettings(reconcile=rule, bootstrap=0, folds=0)
    fitted = fit([fitting.members[name] for name in names], fitting.truth, tree, settings)
    said = fitted.predict([test.members[name] for name in names])
    reconciler = fitted.combiner.reconciler
    row = {"share": reconciler.share if isinstance(reconciler, Evidence) else 0.0}
    compartments = tuple(node for node in tree.level("compartment") if not tree.is_leaf(node))
    for what, nodes in (("leaf", tree.leaves), ("coarse", tree.groups), ("compartment", compartments)):
        columns = [tree.column[node] for node in nodes]
        probs, called, true = said.probs[:, columns], said.present[:, columns], test.truth.present[:, columns]
        some = true.any(axis=0)
        row[f"{what} log loss"] = float(-np.log(np.where(true, probs, 1 - probs).clip(1e-12)).sum(axis=1).mean())
        row[f"{what} AP"] = float(average_precision_score(true[:, some], probs[:, some], average="macro"))
        row[f"{what} F1"] = macro_f1(called, true)
    return row


def halves(path: Path) -> Iterator[tuple[Taxonomy, Part, Part]]:
    """Yield three random halves of real networks' scores: to fit on, to measure on."""
    with np.load(path, allow_pickle=False) as kept:
        probs, labels = kept["scores"].astype(np.float64).clip(1e-5, 1 - 1e-5), kept["labels"].astype(bool)
    tree = Taxonomy.load("hpa28")
    leaves = tuple(str(tree.find_node(str(label))) for label in range(labels.shape[1]))
    present = np.zeros((len(labels), len(tree.nodes)), bool)
    present[:, [tree.column[leaf] for leaf in leaves]] = labels
    scores = {f"n{number:02d}": (leaves, logit(one)) for number, one in enumerate(probs)}
    below = np.array([[leaf in tree.leaves_below(group) for leaf in leaves] for group in tree.groups], float)
    for number, one in enumerate(probs):
        absent = np.log1p(-one) @ below.T
        scores[f"g{number:02d}"] = (tree.groups, np.log(-np.expm1(absent)) - absent)
    for seed in range(HALVES):
        order = np.random.default_rng(seed).permutation(len(labels))
        one, other = np.sort(order[: len(order) // 2]), np.sort(order[len(order) // 2 :])
        yield tree, _part(scores, tree.close(present), one), _part(scores, tree.close(present), other)


def swapped(folder: Path) -> Iterator[tuple[Taxonomy, Part, Part]]:
    """Yield a run's calibration and test parts, and the two swapped."""
    run = Run.open(folder)
    truth, parts = run.truth(run.taxonomy), []
    for part in ("calibration", "test"):
        members = {name: load_scores(run.member_folder(name) / SCORES, name, part) for name in run.member_names}
        parts.append(Part(members, truth.take(next(iter(members.values())).ids)))
    for one, other in (parts, reversed(parts)):
        yield run.taxonomy, one, other


def describe(rows: list[dict[str, Row]], base: str) -> Iterator[str]:
    """Yield a line for each system and figure: its mean, and the difference to another system with its error."""
    for name in rows[0]:
        values = {key: np.array([row[name][key] for row in rows]) for key in rows[0][name]}
        apart = {key: value - [row[base][key] for row in rows] for key, value in values.items()}
        yield f"{name}: share of the evidence {values.pop('share').mean():.2f}"
        for what in ("leaf", "coarse", "compartment"):
            shown = []
            for key in (f"{what} log loss", f"{what} AP", f"{what} F1"):
                error = apart[key].std(ddof=1) / np.sqrt(len(rows)) if len(rows) > 1 else np.nan
                shown.append(
                    f"{key.removeprefix(what)} {values[key].mean():.4f} {apart[key].mean():+.4f} ± {error:.4f}"
                )
            yield f"    {what:12}" + " ".join(shown)


def main(arguments: list[str]) -> int:
    """Print a table for each world, or one of real scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, metavar="CSV", help="the competition's train.csv")
    parser.add_argument("--scores", type=Path, metavar="NPZ", help="real networks' scores of leaves")
    parser.add_argument("--run", type=Path, metavar="DIR", help="a run with the members leaf to leaf-s4 and coarse")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--fitting", type=int, default=600, help="images to fit the ensemble on")
    parser.add_argument("--worlds", default="HU", help="H, U or both")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if options.scores:
        rows = []
        for tree, fitting, test in halves(options.scores):
            alone = tuple(name for name in fitting.members if name.startswith("n"))
            systems = {rule: (alone, rule) for rule in RULES} | {"own groups": (tuple(fitting.members), "evidence")}
            rows.append({name: measure(tree, fitting, test, *system) for name, system in systems.items()})
        print(f"real networks, {HALVES} halves; differences to lift")
        print(*describe(rows, "lift"), sep="\n")
    if options.run:
        leaf = ("leaf", *(f"leaf-s{seed}" for seed in range(1, 5)))
        pools = {"five flats": leaf, "four leaf, coarse": (*leaf[:4], "coarse")}
        rows = [
            {f"{name}, {rule}": measure(*parts, pool, rule) for name, pool in pools.items() for rule in RULES}
            for parts in swapped(options.run)
        ]
        print("two parts, swapped; differences to five flats")
        print(*describe(rows, "five flats, evidence"), sep="\n")
    for world in options.worlds if options.labels else "":
        rows, table = [], read_table(options.labels)
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            tree, fitting, test = networks(draw_world(table, world == "H", seed), seed, options.fitting)
            systems = ((name, rule) for name in POOLS for rule in RULES)
            rows.append({f"{n}, {rule}": measure(tree, fitting, test, POOLS[n], rule) for n, rule in systems})
            print(f"world {world}, seed {seed} done", flush=True)
        print(f"\nworld {world}, {options.seeds} seeds, {options.fitting} images to fit on; differences to five flats")
        print(*describe(rows, "five flats, evidence"), sep="\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
