"""The real label table: hierarchy and ensembles beside as many flat networks, where features follow the tree or do not.

    python benchmarks/label_table.py --labels train.csv [--seeds 5] [--epochs 10]

Real label vectors (a competition's train.csv, 31,072 images of 28 classes), **simulated features**: 96 numbers an
image, from its labels' prototypes, nuisance of a few directions, and noise. In world H prototypes share parts with
those of the same organelle and group; in world U they share nothing. Small networks with this project's own heads,
all trained for the same epochs on 60 % of the images; all else is fitted on 20 % and measured on the last 20 %. Six
networks stand against the mean of six flat ones. Macro F1 has thresholds fitted on the fitting part only. Differences
are paired by seed, with a t interval over seeds, and for the default recipe a bootstrap interval in each. About 80 s
a world and seed on one core.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from few_labels import macro_f1, read_table
from scipy import stats
from scipy.special import expit
from sklearn.metrics import average_precision_score
from torch import Tensor, nn

from hpa_hier.data.labels.partition import add_partition_nodes
from hpa_hier.ensemble.accept import fit_accepted
from hpa_hier.ensemble.decide.threshold_rules import f1_thresholds
from hpa_hier.ensemble.fit import assign_folds, fit
from hpa_hier.ensemble.scores.fit_data import fit_data
from hpa_hier.ensemble.scores.scores import Scores, Truth
from hpa_hier.metrics.ranking import Ranked
from hpa_hier.models.backbones.mlp import Mlp
from hpa_hier.models.heads.ancestry import Ancestry
from hpa_hier.models.heads.build import HeadData, build_head
from hpa_hier.models.heads.head import Head
from hpa_hier.models.losses.elementwise import bce
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.settings.training import MlpSettings, TrainingSettings
from hpa_hier.taxonomy import Taxonomy

FEATURES, NUISANCE, HIDDEN, BATCH = 96, 12, 192, 512
NOISE = 3.0  # sets how hard the worlds are; chosen so that one flat network has a mean AP of about 0.55
MAJORITY = ("Nucleoplasm", "Cytosol", "Plasma membrane")
M6 = "M6: mean of six flats, refined, default thresholds"
FLATS = tuple(f"flat{seed}" for seed in range(6))
HIERARCHY = ("chain", "levels", "majority", "minority", "nodes")  # with one flat: six networks
MIXED = ("flat0", *HIERARCHY)
HALF = ("flat0", "flat1", "flat2", "chain", "levels", "nodes")  # three flats and three that know the tree


@dataclass(frozen=True)
class World:
    """Features, closed targets and parts of one draw."""

    taxonomy: Taxonomy  # with the partition's virtual nodes
    features: Tensor  # (B, FEATURES) float32, standardised
    present: np.ndarray  # (B, N) bool
    part: np.ndarray  # (B,) 0 train, 1 fitting, 2 test

    def rows(self, part: int) -> np.ndarray:
        """Rows of a part."""
        return np.flatnonzero(self.part == part)


def draw_world(table: np.ndarray, follows: bool, seed: int) -> World:
    """Draw features for the real label vectors.

    Args:
        table: (B, 28) label vectors, columns by label.
        follows: whether prototypes share parts along the tree.
        seed: of the draw, and of the split.
    """
    rng = np.random.default_rng([seed, 17])
    plain = Taxonomy.load("hierarchy/hpa28.yaml")
    sides = {"majority": MAJORITY, "minority": tuple(leaf for leaf in plain.leaves if leaf not in MAJORITY)}
    taxonomy = add_partition_nodes(plain, sides)
    part_of = {node: rng.normal(size=FEATURES) for node in plain.nodes}
    prototypes = []
    for label in range(table.shape[1]):
        leaf = str(plain.find_node(str(label)))
        above = plain.ancestors(leaf) if follows else ()
        shares = [part_of[leaf], *(part_of[node] for node in above)]
        prototypes.append(np.sum(shares, axis=0) / np.sqrt(len(shares)))
    strength = rng.uniform(0.5, 1.5, table.shape) * table
    nuisance = rng.normal(size=(len(table), NUISANCE)) @ rng.normal(size=(NUISANCE, FEATURES))
    features = strength @ np.array(prototypes) + 0.7 * nuisance + NOISE * rng.normal(size=(len(table), FEATURES))
    features = np.tanh(features / 4)  # images are no sums of their labels
    present = np.zeros((len(table), len(taxonomy.nodes)), bool)
    present[:, [taxonomy.column[str(plain.find_node(str(label)))] for label in range(table.shape[1])]] = table
    fold = assign_folds(table, None, 5, seed)
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    return World(taxonomy, torch.from_numpy(features).float(), taxonomy.close(present), np.maximum(fold - 2, 0))


class Net(nn.Module):
    """Hidden layers and a head."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.backbone, self.head = Mlp(FEATURES, MlpSettings(hidden=HIDDEN, layers=1, dropout=0.2)), head

    def forward(self, features: Tensor) -> Tensor:
        """Turn (B, FEATURES) into (B, n) logits."""
        return self.head(self.backbone(features))  # type: ignore[no-any-return]


def train(world: World, nodes: tuple[str, ...], kind: str, job: tuple[int, int], own: bool = False) -> np.ndarray:
    """Train a network and score all samples, (B, n).

    Args:
        world: what to train on.
        nodes: what it answers for.
        kind: flat, chain (the first half of its steps on conditional logits) or levels.
        job: its seed and epochs.
        own: only on images that carry one of the nodes.
    """
    seed, epochs = job
    torch.manual_seed(seed)
    columns = [world.taxonomy.column[node] for node in nodes]
    rows = world.rows(0)
    if own:
        rows = rows[world.present[rows][:, columns].any(axis=1)]
    x, y = world.features[rows], torch.from_numpy(world.present[rows][:, columns]).float()
    told = torch.from_numpy(parents_present(world, rows, nodes)).float()
    ancestry = Ancestry.from_names(nodes, {node: world.taxonomy.parents(node) for node in nodes})
    settings = TrainingSettings.model_validate({"head": kind, "dropout": 0.0, "levels": {"hidden": 64}})
    net = Net(build_head(settings, HIDDEN, HeadData(ancestry, y.mean(dim=0).numpy())))
    steps = epochs * (len(rows) // BATCH)
    optimiser = torch.optim.AdamW(net.parameters(), 3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    for step in range(steps):
        if step % (len(rows) // BATCH) == 0:
            order = torch.randperm(len(rows))
        chosen = order[(step % (len(rows) // BATCH)) * BATCH :][:BATCH]
        known = torch.ones_like(y[chosen])
        if kind == "chain" and step < steps // 2:
            logits = net.head.training_logits(net.backbone(x[chosen]), first_stage=True)
            known = told[chosen]
        else:
            logits = net(x[chosen])
        optimiser.zero_grad()
        bce(logits, y[chosen], known).backward()
        optimiser.step()
        schedule.step()
    net.eval()
    with torch.inference_mode():
        return np.asarray(net(world.features).double().numpy())


def parents_present(world: World, rows: np.ndarray, nodes: tuple[str, ...]) -> np.ndarray:
    """Say where all nodes right above are present, (B, n): there a conditional logit has something to learn."""
    present, told = world.present[rows], np.ones((len(rows), len(nodes)), bool)
    for j, node in enumerate(nodes):
        above = [world.taxonomy.column[parent] for parent in world.taxonomy.parents(node) if parent in nodes]
        told[:, j] = present[:, above].all(axis=1)
    return told


def networks(world: World, seed: int, epochs: int) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Train all networks: name to nodes and scores (B, n)."""
    tree = world.taxonomy
    every, leaves = tree.without_virtual.nodes, tree.without_virtual.leaves
    minority = tree.leaves_below("has_minority")
    jobs: dict[str, tuple[tuple[str, ...], str, bool]] = dict.fromkeys(FLATS, (leaves, "flat", False))
    jobs |= {"nodes": (every, "flat", False), "chain": (every, "chain", False), "levels": (every, "levels", False)}
    jobs |= {"majority": (tree.leaves_below("has_majority"), "flat", False), "minority": (minority, "flat", False)}
    jobs |= {"own minority": (minority, "flat", True), "parts": (tree.virtual, "flat", False)}
    return {
        name: (nodes, train(world, nodes, kind, (1000 * seed + number, epochs), own))
        for number, (name, (nodes, kind, own)) in enumerate(jobs.items())
    }


class Measured:
    """One world's networks, and what systems made of them reach on the test part."""

    def __init__(self, table: np.ndarray, follows: bool, seed: int, epochs: int) -> None:
        self.world = draw_world(table, follows, seed)
        self.nets = networks(self.world, seed, epochs)
        self.leaves = self.world.taxonomy.without_virtual.leaves
        self.columns = [self.world.taxonomy.column[leaf] for leaf in self.leaves]
        self.truth = self.world.present[self.world.rows(2)][:, self.columns]

    def leaf_logits(self, name: str) -> np.ndarray:
        """A network's logits of the leaves, (B, 28); it must answer for all of them."""
        nodes, scores = self.nets[name]
        return scores[:, [nodes.index(leaf) for leaf in self.leaves]]

    def plain(self, probs: np.ndarray, per_class: bool = True) -> tuple[float, float]:
        """Macro F1 and mean AP of probabilities (B, 28), thresholds by class fitted on the fitting part, or 0.5."""
        called = probs[self.world.rows(2)] >= (self._f1_thresholds(probs) if per_class else 0.5)
        return self.figures(probs[self.world.rows(2)], called)

    def _f1_thresholds(self, probs: np.ndarray) -> np.ndarray:
        rows = self.world.rows(1)
        present = self.world.present[rows][:, self.columns]
        ranked = Ranked.of(probs[rows], present, np.ones_like(present))
        return f1_thresholds(ranked)

    def figures(self, probs: np.ndarray, called: np.ndarray) -> tuple[float, float]:
        """Macro F1 and mean AP on the test part, (B, 28) each."""
        some = self.truth.any(axis=0)
        ap = average_precision_score(self.truth[:, some], probs[:, some], average="macro")
        return macro_f1(called, self.truth), float(ap)

    def scores(self, names: tuple[str, ...], part: int) -> list[Scores]:
        """The networks' scores of one part, as members."""
        rows = self.world.rows(part)
        ids = tuple(f"s{row:05d}" for row in rows)
        given = {"own minority": "has_minority"}
        return [Scores(n, ids, self.nets[n][0], self.nets[n][1][rows], given.get(n, "")) for n in names]

    def fitting_truth(self) -> Truth:
        """Targets of the fitting part."""
        rows = self.world.rows(1)
        return Truth(
            tuple(f"s{row:05d}" for row in rows),
            self.world.present[rows],
            np.ones((len(rows), len(self.world.taxonomy.nodes)), bool),
        )

    def ensemble(self, names: tuple[str, ...], **changed: object) -> tuple[float, float]:
        """Macro F1 and mean AP of an ensemble with the default settings but for those changed, used unasked."""
        settings = EnsembleSettings(bootstrap=0).model_copy(update=changed)
        fitted = fit(self.scores(names, 1), self.fitting_truth(), self.world.taxonomy, settings)
        said = fitted.predict(self.scores(names, 2))
        return self.figures(said.probs[:, self.columns], said.present[:, self.columns])

    def recipe(self, names: tuple[str, ...]) -> tuple[tuple[float, float], tuple[float, float], str]:
        """The default recipe and its baseline, six flats fitted alike; what it decided, with an interval on test."""
        truth = self.fitting_truth()
        given, baseline = (fit_data(self.scores(pool, 1), truth) for pool in (names, FLATS))
        accepted = fit_accepted(given, baseline, self.world.taxonomy, EnsembleSettings(bootstrap=0))
        assert accepted.flat is not None
        ours = accepted.ensemble.predict(self.scores(FLATS if accepted.uses_baseline else names, 2))
        theirs = accepted.flat.predict(self.scores(FLATS, 2))
        called = [one.present[:, self.columns] for one in (ours, theirs)]
        figures = [
            self.figures(one.probs[:, self.columns], said) for one, said in zip((ours, theirs), called, strict=True)
        ]
        low, high = self._interval(called[0], called[1])
        verdict = "the flats are kept" if accepted.uses_baseline else "accepted"
        return figures[0], figures[1], f"{verdict}, F1 on test {low:+.4f} to {high:+.4f}"

    def _interval(self, ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float]:
        """95 % bootstrap interval of the difference in macro F1."""
        rng = np.random.default_rng(0)
        draws = [rng.integers(0, len(self.truth), len(self.truth)) for _ in range(200)]
        apart = [macro_f1(ours[i], self.truth[i]) - macro_f1(theirs[i], self.truth[i]) for i in draws]
        low, high = np.quantile(apart, (0.025, 0.975))
        return float(low), float(high)

    def systems(self) -> tuple[dict[str, tuple[float, float]], list[str]]:
        """Every row of the table, and what the acceptances said."""
        flat, flats = expit(self.leaf_logits("flat0")), np.mean([expit(self.leaf_logits(n)) for n in FLATS], axis=0)
        rows = {"M6, thresholds 0.5": self.plain(flats, per_class=False), "M6, F1 thresholds": self.plain(flats)}
        rows |= {
            "one flat, thresholds 0.5": self.plain(flat, per_class=False),
            "one flat, F1 thresholds": self.plain(flat),
        }
        nodes, scores = self.nets["nodes"]
        above = np.stack([self._above(expit(scores), nodes, leaf) for leaf in self.leaves], axis=1)
        leaf = expit(self.leaf_logits("nodes"))
        rows |= {"all nodes, F1 thresholds": self.plain(leaf), "  its hard gate": self.plain(leaf * (above >= 0.5))}
        rows["  its product gate"] = self.plain(leaf * above)
        two, own = ("majority", "minority"), ("majority", "own minority")
        concat = {"aggregate": "concat", "thresholds": "f1", "folds": 0}
        rows["partition, concatenated"] = self.ensemble(two, **concat)
        rows["partition, minority on its own images, concatenated"] = self.ensemble(own, **concat)
        rows["  times its missing factor"] = self.ensemble((*own, "parts"), aggregate="mean", thresholds="f1", folds=0)
        rows |= {name: self.plain(expit(self.leaf_logits(name))) for name in ("chain", "levels")}
        rows["plain mean of six mixed, F1 thresholds"] = self.ensemble(
            MIXED, aggregate="mean", refine=False, calibrate="none", thresholds="f1"
        )
        said = []
        for name, pool in (("default recipe, six mixed", MIXED), ("default recipe, three and three", HALF)):
            rows[name], rows[M6], verdict = self.recipe(pool)
            said.append(f"{name}: {verdict}")
        rows["rnn, three and three, used unasked"] = self.ensemble(HALF, aggregate="rnn", folds=2)
        return rows, said

    def _above(self, probs: np.ndarray, nodes: tuple[str, ...], leaf: str) -> np.ndarray:
        """The probability of a leaf's top group, (B,)."""
        taxonomy = self.world.taxonomy.without_virtual
        top = next(node for node in taxonomy.ancestors(leaf) if not taxonomy.parents(node))
        return np.asarray(probs[:, nodes.index(top)])


def interval_over(values: np.ndarray) -> str:
    """Mean of seeds' differences with its 95 % t interval."""
    half = (
        stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    )
    return f"{values.mean():+.4f} ({values.mean() - half:+.4f} to {values.mean() + half:+.4f})"


def main(arguments: list[str]) -> int:
    """Print a table for each world."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, required=True, metavar="CSV", help="the competition's train.csv")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=10, help="of every network")
    parser.add_argument("--worlds", default="HU", help="H, U or both")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    table = read_table(options.labels)
    for world in options.worlds:
        found: list[dict[str, tuple[float, float]]] = []
        print(
            f"\nworld {world}: simulated features that {'follow' if world == 'H' else 'do not follow'} the tree",
            flush=True,
        )
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            began = time.monotonic()
            rows, said = Measured(table, world == "H", seed, options.epochs).systems()
            found.append(rows)
            shown = ", ".join(f"{name.strip()} {f1:.4f} {ap:.4f}" for name, (f1, ap) in rows.items())
            print(f"  macro F1 and mean AP: {shown}")
            print(f"seed {seed} ({time.monotonic() - began:.0f} s): " + "; ".join(said), flush=True)
        base = np.array([rows[M6] for rows in found])
        print(f"{'':52}macro F1  mean AP   F1 to M6 (95 % over seeds)      AP to M6 (95 % over seeds)")
        for name in found[0]:
            values = np.array([rows[name] for rows in found])
            apart = values - base
            shown = "   ".join(interval_over(apart[:, k]) for k in (0, 1))
            print(f"{name:52}{values[:, 0].mean():.4f}    {values[:, 1].mean():.4f}    {shown}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
