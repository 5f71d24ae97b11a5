"""The real label table: hierarchy and ensembles beside as many flat networks, where features follow the tree or do not.

    python benchmarks/label_table.py --labels train.csv [--seeds 5] [--epochs 10] [--keep DIR]

Real label vectors (a competition's train.csv, 31,072 images of 28 classes), **simulated features**: 96 numbers an
image, from its labels' prototypes, nuisance of a few directions, and noise. In world H prototypes share parts with
those of the same organelle and group; in world U they share nothing. Small networks with this project's own heads,
all trained for the same epochs on 60 % of the images; all else is fitted on 20 % and measured on the last 20 %, drawn
at random. Ensembles of six networks stand against six flat ones that are fitted in the same way, with the default
settings; what acceptance decides is told beside. Macro F1 of single networks has thresholds fitted on the fitting part
only. Differences are paired by seed, with a t interval over seeds, at each level of the tree; safe answers are counted
at each depth over all seeds. --keep keeps the networks' scores in a folder and uses them again. About 60 s a world and
seed on one core, 25 s with kept scores.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from few_labels import read_table
from scipy import stats
from scipy.special import expit
from torch import Tensor, nn

from hpa_hier.data.labels.partition import add_partition_nodes
from hpa_hier.data.split.split import PARTS, make_split
from hpa_hier.ensemble.accept import compare
from hpa_hier.ensemble.decide.threshold_rules import f1_thresholds
from hpa_hier.ensemble.ensemble import Prediction
from hpa_hier.ensemble.fit import OutOfFold, cross_fit, fit
from hpa_hier.ensemble.scores.fit_data import fit_data
from hpa_hier.ensemble.scores.scores import Scores, Truth
from hpa_hier.metrics import scores as metrics
from hpa_hier.metrics.ranking import Ranked
from hpa_hier.models.backbones.mlp import Mlp
from hpa_hier.models.heads.ancestry import Ancestry
from hpa_hier.models.heads.build import HeadData, build_head
from hpa_hier.models.heads.head import Head
from hpa_hier.models.losses.elementwise import bce
from hpa_hier.settings.recipe import EnsembleSettings, SplitSettings
from hpa_hier.settings.training import MlpSettings, TrainingSettings
from hpa_hier.taxonomy import Taxonomy

FEATURES, NUISANCE, HIDDEN, BATCH = 96, 12, 192, 512
NOISE = 3.0  # sets how hard the worlds are; chosen so that one flat network has a mean AP of about 0.55
MAJORITY = ("Nucleoplasm", "Cytosol", "Plasma membrane")
FLATS = tuple(f"flat{seed}" for seed in range(6))
BASE = "six flats"
SETS = {  # six networks each
    BASE: FLATS,
    "five flats, coarse": (*FLATS[:5], "coarse"),
    "four flats, coarse, compartment": (*FLATS[:4], "coarse", "compartment"),
    "three flats, coarse, majority, minority": (*FLATS[:3], "coarse", "majority", "minority"),
    "three flats, all nodes, chain, levels": (*FLATS[:3], "nodes", "chain", "levels"),
}
LEVELS = ("coarse", "compartment", "leaf")
METRICS = ("macro F1", "mean AP", "log loss")
FRACTIONS = (0.6, 0.2, 0.2)


@dataclass(frozen=True)
class World:
    """Features, closed targets and parts of one draw."""

    taxonomy: Taxonomy  # with the partition's virtual nodes
    features: Tensor  # (B, FEATURES) float32, standardised
    present: np.ndarray  # (B, N) bool
    part: np.ndarray  # (B,) 0 train, 1 fitting, 2 test
    digest: str = ""  # of the split

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
    ids = [f"s{row:05d}" for row in range(len(table))]
    kept = make_split(ids, table, [""] * len(table), SplitSettings(fractions=FRACTIONS, seed=seed))
    part = np.array([PARTS.index(name) for name in kept.parts])
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    return World(taxonomy, torch.from_numpy(features).float(), taxonomy.close(present), part, kept.digest)


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
    jobs |= {level: (tree.level(level), "flat", False) for level in LEVELS[:-1]}
    return {
        name: (nodes, train(world, nodes, kind, (1000 * seed + number, epochs), own))
        for number, (name, (nodes, kind, own)) in enumerate(jobs.items())
    }


def kept_networks(
    world: World, seed: int, epochs: int, file: Path | None
) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Return what `networks` does, from a file of these networks' scores where there is one; else write it."""
    if file is None:
        return networks(world, seed, epochs)
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        trained = networks(world, seed, epochs)
        arrays: dict[str, Any] = {name: scores for name, (_, scores) in trained.items()}
        arrays |= {f"{name}: nodes": np.array(nodes) for name, (nodes, _) in trained.items()}
        np.savez(file, digest=np.array(world.digest), **arrays)
    with np.load(file) as kept:
        if str(kept["digest"]) != world.digest:
            raise SystemExit(f"{file}: kept scores of split {kept['digest']}, this is {world.digest}; delete the file")
        names = [name for name in kept.files if f"{name}: nodes" in kept.files]
        return {name: (tuple(kept[f"{name}: nodes"].tolist()), kept[name]) for name in names}


class Measured:
    """One world's networks, and what systems made of them reach on the test part."""

    def __init__(self, table: np.ndarray, follows: bool, seed: int, epochs: int, file: Path | None = None) -> None:
        self.world = draw_world(table, follows, seed)
        self.nets = kept_networks(self.world, seed, epochs, file)
        taxonomy = self.world.taxonomy
        self.leaves = taxonomy.without_virtual.leaves
        self.columns = {level: [taxonomy.column[node] for node in taxonomy.level(level)] for level in LEVELS}
        self.truth = self.world.present[self.world.rows(2)]

    def leaf_logits(self, name: str) -> np.ndarray:
        """A network's logits of the leaves, (B, 28); it must answer for all of them."""
        nodes, scores = self.nets[name]
        return scores[:, [nodes.index(leaf) for leaf in self.leaves]]

    def plain(self, probs: np.ndarray, per_class: bool = True) -> np.ndarray:
        """Measure probabilities of leaves (B, 28), with thresholds by class fitted on the fitting part, or with 0.5."""
        called = probs[self.world.rows(2)] >= (self._f1_thresholds(probs) if per_class else 0.5)
        row = np.full((len(LEVELS), len(METRICS)), np.nan)
        row[-1] = measure(probs[self.world.rows(2)], called, self.truth[:, self.columns["leaf"]])
        return row

    def _f1_thresholds(self, probs: np.ndarray) -> np.ndarray:
        rows = self.world.rows(1)
        present = self.world.present[rows][:, self.columns["leaf"]]
        return f1_thresholds(Ranked.of(probs[rows], present, np.ones_like(present)))

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

    def ensemble(self, names: tuple[str, ...], **changed: object) -> np.ndarray:
        """Measure an ensemble with the default settings but for those changed."""
        settings = EnsembleSettings(bootstrap=0).model_copy(update=changed)
        fitted = fit(self.scores(names, 1), self.fitting_truth(), self.world.taxonomy, settings)
        return self.by_level(fitted.predict(self.scores(names, 2)))

    def by_level(self, answers: Prediction) -> np.ndarray:
        """Macro F1, mean AP and log loss (3, 3) of each level on the test part."""
        rows = [measure(answers.probs[:, c], answers.present[:, c], self.truth[:, c]) for c in self.columns.values()]
        return np.stack(rows)

    def fitted(self, names: tuple[str, ...]) -> tuple[Prediction, OutOfFold]:
        """Fit an ensemble with the default settings; its answers on the test part, and out of fold."""
        data = fit_data(self.scores(names, 1), self.fitting_truth())
        ensemble, out_of_fold = cross_fit(data, self.world.taxonomy, EnsembleSettings(bootstrap=0))
        assert out_of_fold is not None
        return ensemble.predict(self.scores(names, 2)), out_of_fold

    def safe(self, answers: Prediction) -> np.ndarray:
        """Count safe answers that are right, and safe answers, (2, 3) by level."""
        column, depth = answers.safe.column, np.full(len(answers.nodes), -1)
        for number, level in reversed(list(enumerate(LEVELS))):  # a node of two levels is as deep as the upper one
            depth[self.columns[level]] = number
        depth[self.columns["leaf"]] = LEVELS.index("leaf")
        right = self.truth[np.arange(len(column)), np.maximum(column, 0)]
        given = [(column >= 0) & (depth[np.maximum(column, 0)] == number) for number in range(len(LEVELS))]
        return np.array([[(right & one).sum() for one in given], [one.sum() for one in given]])

    def systems(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, bool]]:
        """Every row of the table (3, 3), safe answers, and which ensembles acceptance takes."""
        flat, flats = expit(self.leaf_logits("flat0")), np.mean([expit(self.leaf_logits(n)) for n in FLATS], axis=0)
        rows, safe, accepted, reference = {}, {}, {}, None
        for name, names in SETS.items():
            answers, out_of_fold = self.fitted(names)
            rows[name], safe[name] = self.by_level(answers), self.safe(answers)
            if reference is None:
                reference = out_of_fold
            else:
                confidence = EnsembleSettings().accept
                verdict = compare(out_of_fold, reference, self.world.taxonomy, confidence, "flat")
                accepted[name] = bool(verdict.accepted)
        rows |= {
            "mean of six flats, thresholds 0.5": self.plain(flats, per_class=False),
            "mean of six flats, F1 thresholds": self.plain(flats),
            "one flat, thresholds 0.5": self.plain(flat, per_class=False),
            "one flat, F1 thresholds": self.plain(flat),
        }
        nodes, scores = self.nets["nodes"]
        above = np.stack([self._above(expit(scores), nodes, leaf) for leaf in self.leaves], axis=1)
        leaf = expit(self.leaf_logits("nodes"))
        rows |= {"all nodes, F1 thresholds": self.plain(leaf), "  its hard gate": self.plain(leaf * (above >= 0.5))}
        rows["  its product gate"] = self.plain(leaf * above)
        concat = {"aggregate": "concat", "thresholds": "f1", "folds": 0}
        rows["partition, concatenated"] = self.ensemble(("majority", "minority"), **concat)
        own = ("majority", "own minority")
        rows["partition, minority on its own images, concatenated"] = self.ensemble(own, **concat)
        rows["  times its missing factor"] = self.ensemble((*own, "parts"), aggregate="mean", thresholds="f1", folds=0)
        rows |= {name: self.plain(expit(self.leaf_logits(name))) for name in ("chain", "levels")}
        return rows, safe, accepted

    def _above(self, probs: np.ndarray, nodes: tuple[str, ...], leaf: str) -> np.ndarray:
        """The probability of a leaf's top group, (B,)."""
        taxonomy = self.world.taxonomy.without_virtual
        top = next(node for node in taxonomy.ancestors(leaf) if not taxonomy.parents(node))
        return np.asarray(probs[:, nodes.index(top)])


def measure(probs: np.ndarray, called: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Macro F1, mean AP and log loss (3,) of nodes (B, n)."""
    some, known = present.any(axis=0), np.ones_like(present)
    f1 = metrics.f1(metrics.count(called, present, known))[..., some].mean()
    ap = metrics.mean_of_defined(metrics.average_precision(probs, present, known))
    return np.array([float(f1), float(ap), float(metrics.log_loss(probs, present, known))])


def interval_over(values: np.ndarray) -> str:
    """Mean of seeds' differences with its 95 % t interval."""
    n = len(values)
    half = stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan
    return f"{values.mean():+.4f} ({values.mean() - half:+.4f} to {values.mean() + half:+.4f})"


def print_world(found: list[tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, bool]]]) -> None:
    """Print the tables of one world: leaves, differences by level, safe answers."""
    rows = {name: np.array([one[0][name] for one in found]) for name in found[0][0]}  # (seeds, levels, metrics)
    print(f"leaves | {' | '.join(METRICS)} | {' | '.join(f'{metric} to {BASE}' for metric in METRICS)}")
    for name, values in rows.items():
        leaf, base = values[:, -1], rows[BASE][:, -1]
        means = " | ".join(f"{value:.4f}" for value in leaf.mean(axis=0))
        print(f"{name} | {means} | {' | '.join(interval_over(apart) for apart in (leaf - base).T)}")
    print(f"\nlevel | system less {BASE} | {' | '.join(METRICS)} | accepted")
    for number, level in enumerate(LEVELS):
        for name in list(SETS)[1:]:
            apart = rows[name][:, number] - rows[BASE][:, number]
            taken = sum(one[2][name] for one in found)
            shown = " | ".join(interval_over(values) for values in apart.T)
            print(f"{level} | {name} | {shown} | {taken} of {len(found)}")
    print(f"\nsafe answers right, all seeds, at a target of {EnsembleSettings().safe_precision} | {' | '.join(LEVELS)}")
    for name in SETS:
        hits, trials = np.sum([one[1][name] for one in found], axis=0)
        low, high = metrics.wilson(hits.astype(float), trials.astype(float), 0.95)
        cells = [
            f"{h / max(t, 1):.3f} of {t:,} ({a:.3f} to {b:.3f})"
            for h, t, a, b in zip(hits, trials, low, high, strict=True)
        ]
        print(f"{name} | {' | '.join(cells)}", flush=True)


def main(arguments: list[str]) -> int:
    """Print the tables of each world."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, required=True, metavar="CSV", help="the competition's train.csv")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=10, help="of every network")
    parser.add_argument("--worlds", default="HU", help="H, U or both")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where the networks' scores are kept for another run")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    table = read_table(options.labels)
    for world in options.worlds:
        follow = "follow" if world == "H" else "do not follow"
        print(f"\nworld {world}: simulated features that {follow} the tree", flush=True)
        found = []
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            began = time.monotonic()
            file = options.keep and options.keep / f"{world}{seed}-{options.epochs}.npz"
            measured = Measured(table, world == "H", seed, options.epochs, file)
            found.append(measured.systems())
            positives = measured.truth[:, measured.columns["leaf"]].sum(axis=0)
            print(
                f"seed {seed}: split {measured.world.digest}, {len(measured.truth):,} test images, {positives.sum():,} "
                f"positives, fewest of a class {positives.min()} ({time.monotonic() - began:.0f} s)",
                flush=True,
            )
        print_world(found)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
