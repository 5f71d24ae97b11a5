"""2D HeLa: the ensemble of configs/hela.yaml against an RBF SVM and extra trees, in the same ten folds.

    python benchmarks/hela.py --data hela_2d_slf7.csv [--seeds 0] [--config hela]

Cells are divided into ten folds, stratified by marker; each fold is answered for by systems that have seen the other
nine alone. The ensemble's members are trained in five folds inside of these, and its calibration, weights, thresholds
and safe answers are fitted on the scores that they give to cells which they have not seen. The SVM (C = 10) and the
300 extra trees have scikit-learn's other defaults, on standardised features. Intervals are Wilson's, at 95 %, over the
cells of a seed; that of a difference is Student's over cells, paired, each cell's mean over the seeds. One seed takes
about a minute of a core. A run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import t as student
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from hpa_hier.cli.command import one_thread_a_process, run
from hpa_hier.data.pack.vector_pack import write_vector_pack
from hpa_hier.data.split.split import Split, write_split
from hpa_hier.ensemble.ensemble import Prediction
from hpa_hier.ensemble.fit import fit
from hpa_hier.metrics.scores import wilson
from hpa_hier.settings.recipe import Recipe
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.taxonomy import Taxonomy

OUTER, INNER = 10, 5
LEVEL = 0.95  # of intervals


@dataclass(frozen=True)
class Cells:
    """The data set."""

    ids: tuple[str, ...]
    leaves: np.ndarray  # (B,) column of each cell's leaf
    vectors: np.ndarray  # (B, F)
    features: tuple[str, ...]
    taxonomy: Taxonomy


def read_cells(path: Path, taxonomy: Taxonomy) -> Cells:
    """Read the table: id, label and the features."""
    table = pd.read_csv(path, dtype={"id": str, "label": str})
    nodes = [taxonomy.find_node(label) for label in table["label"]]
    leaves = np.array([taxonomy.column[str(node)] for node in nodes])
    values = table.drop(columns=["id", "label"])
    return Cells(tuple(table["id"]), leaves, values.to_numpy(np.float64), tuple(values.columns), taxonomy)


def divide(cells: Cells, seed: int) -> list[np.ndarray]:
    """Return the cells (rows) of each of the ten folds."""
    outer = StratifiedKFold(OUTER, shuffle=True, random_state=seed)
    return [held for _, held in outer.split(cells.vectors, cells.leaves)]


def answer_baselines(cells: Cells, held: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Return the leaf columns that the SVM and the trees give the cells of a fold."""
    learned = np.setdiff1d(np.arange(len(cells.ids)), held)
    systems = {
        "RBF SVM": make_pipeline(StandardScaler(), SVC(C=10)),
        "300 extra trees": ExtraTreesClassifier(300, random_state=seed),
    }
    return {
        name: system.fit(cells.vectors[learned], cells.leaves[learned]).predict(cells.vectors[held])
        for name, system in systems.items()
    }


def answer(cells: Cells, held: np.ndarray, recipe: Recipe, seed: int, threads: int) -> Prediction:
    """Train and fit the recipe's ensemble on all other cells, and return what it says of those of a fold."""
    from hpa_hier.members.scores_file import load_scores
    from hpa_hier.runs.start import start_run
    from hpa_hier.training.plan import plan_training
    from hpa_hier.training.train_member import TrainOptions, train_member

    folder = Path(recipe.artifacts, recipe.run)
    if not (folder / "split.csv").exists():
        folder.mkdir(parents=True, exist_ok=True)
        fold = np.full(len(cells.ids), -1)
        learned = np.setdiff1d(np.arange(len(cells.ids)), held)
        inner = StratifiedKFold(INNER, shuffle=True, random_state=seed)
        for number, (_, rows) in enumerate(inner.split(learned, cells.leaves[learned])):
            fold[learned[rows]] = number
        parts = np.where(fold < 0, "test", np.where(fold == 0, "calibration", "train")).tolist()
        split = Split(cells.ids, tuple(parts), ("",) * len(cells.ids), tuple(fold.tolist()))
        write_split(folder / "split.csv", split, recipe.split)
    opened = start_run(recipe)
    for member in opened.recipe.listed:
        shifted = member.model_copy(update={"seed": member.seed + 1000 * seed})
        train_member(plan_training(opened, shifted), TrainOptions("cpu", lines=False, threads=threads))
    held_out, tested = (
        [load_scores(folder / "members" / name / "scores.npz", name, part) for name in recipe.ensemble.members]
        for part in ("calibration", "test")
    )
    ensemble = fit(held_out, opened.truth(cells.taxonomy), cells.taxonomy, recipe.ensemble)
    return ensemble.predict(tested).take([cells.ids[row] for row in held])


def describe_share(hits: np.ndarray) -> str:
    """Return the mean of (B,) bool with its interval."""
    low, high = wilson(np.array([hits.sum()], float), np.array([len(hits)], float), LEVEL)
    return f"{hits.mean():.4f} [{low[0]:.3f}, {high[0]:.3f}]"


def describe_difference(ours: np.ndarray, theirs: np.ndarray) -> str:
    """Return the mean difference of (S, B) hits of two systems with its interval over cells."""
    apart = (ours.astype(float) - theirs).mean(axis=0)
    reach = student.ppf((1 + LEVEL) / 2, len(apart) - 1) * apart.std(ddof=1) / np.sqrt(len(apart))
    return f"{apart.mean():+.4f} [{apart.mean() - reach:+.4f}, {apart.mean() + reach:+.4f}]"


def main(arguments: list[str]) -> int:
    """Run the command."""
    one_thread_a_process()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--config", default="hela")
    parser.add_argument("--set", action="append", default=[], dest="sets", metavar="KEY=VALUE")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--out", type=Path, default=Path("artifacts/hela_folds"))
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    begun, recipe = time.monotonic(), load_recipe(options.config, options.sets)
    taxonomy = Taxonomy.load(recipe.taxonomy)
    cells = read_cells(options.data, taxonomy)
    pack = options.out / "pack"
    if not (pack / "pack.json").exists():
        nodes = [(taxonomy.nodes[column],) for column in cells.leaves]
        groups = [""] * len(nodes)
        write_vector_pack(pack, cells.vectors, cells.ids, nodes, groups, cells.features, taxonomy, str(options.data))
    leaf = np.array([taxonomy.column[name] for name in taxonomy.leaves])
    top = [taxonomy.column[name] for name in taxonomy.level("coarse")]
    truth = taxonomy.closure[cells.leaves]  # (B, N)
    hits: dict[str, np.ndarray] = {}  # system → (S, B) whether the leaf is right
    coarse, safe = (np.zeros((len(options.seeds), len(cells.ids)), bool) for _ in range(2))
    column = np.full((len(options.seeds), len(cells.ids)), -1)
    for s, seed in enumerate(options.seeds):
        for number, held in enumerate(divide(cells, seed)):
            changes = {
                "run": f"seed{seed}-fold{number}",
                "artifacts": str(options.out),
                "data": recipe.data.model_copy(update={"pack": str(pack)}),
            }
            found = answer(cells, held, recipe.model_copy(update=changes), seed, options.threads)
            best = leaf[found.probs[:, leaf].argmax(axis=1)]
            for name, given in {"ensemble": best, **answer_baselines(cells, held, seed)}.items():
                right = hits.setdefault(name, np.zeros((len(options.seeds), len(cells.ids)), bool))
                right[s, held] = given == cells.leaves[held]
            coarse[s, held] = truth[held, np.array(top)[found.probs[:, top].argmax(axis=1)]]
            column[s, held] = found.safe.column
            safe[s, held] = truth[held, found.safe.column] & (found.safe.column >= 0)
            shares = ", ".join(f"{name} {right[s, held].mean():.3f}" for name, right in hits.items())
            print(
                f"seed {seed}, fold {number}: {shares}; {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True
            )
    print(f"{len(cells.ids)} cells, {OUTER} folds, seeds {options.seeds}")
    print("| system | right leaf, by seed | minus RBF SVM |\n| --- | --- | --- |")
    for name, right in hits.items():
        each = "; ".join(map(describe_share, right))
        print(f"| {name} | {each} | {describe_difference(right, hits['RBF SVM'])} |")
    answered = column >= 0
    for s, seed in enumerate(options.seeds):
        group = answered[s] & ~np.isin(column[s], leaf)
        print(
            f"seed {seed}: most likely coarse group right {describe_share(coarse[s])}; safe answers for "
            f"{describe_share(answered[s])}, right {describe_share(safe[s][answered[s]])}, {group.sum()} of them groups"
        )
    return 0


if __name__ == "__main__":
    run(main)
