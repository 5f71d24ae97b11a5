"""HierarchicalClassifier beside HiClass on 2D HeLa: the same forest as its local classifier, in the same outer folds.

    pip install hiclass
    python benchmarks/beside_hiclass.py --data ../shared/data/hela/hela_2d_slf7.csv

Labels are rows of paths of hierarchy/hela.yaml. Ten organelle markers, 862 cells, one marker each. Nothing is chosen on
the folds that are tested. About 2 minutes of one core. HiClass is no dependency: without it, its rows are left out.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedKFold

from hpa_hier import HierarchicalClassifier
from hpa_hier.classifier.trees import read_tree
from hpa_hier.cli.command import run
from hpa_hier.metrics.hierarchical import hierarchical_f1
from hpa_hier.metrics.scores import wilson

LOCAL = RandomForestClassifier(100, random_state=0)
OURS = {
    "here: the forest for every node": {"estimators": [("forest", LOCAL)]},
    "here: the forest for leaves": {"estimators": [("forest", LOCAL, "leaves")]},
    "here: as it comes (linear, extra trees)": {},
}
THEIRS = ("LocalClassifierPerNode", "LocalClassifierPerParentNode", "LocalClassifierPerLevel")


def read_rows(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return (B, 90) features and (B, 3) paths."""
    frame, tree = pd.read_csv(path, index_col="id"), read_tree("hela")
    paths = [tree.path(tree.node(label, str(path))) for label in frame["label"]]
    levels = max(map(len, paths))
    return frame.drop(columns="label").to_numpy(), np.array([(*one, *[""] * (levels - len(one))) for one in paths])


def list_systems() -> dict[str, object]:
    """Return the systems by name."""
    systems: dict[str, object] = {}
    try:
        import hiclass
    except ImportError:
        print("hiclass is not installed; its rows are left out: pip install hiclass")
    else:
        systems |= {f"HiClass {version('hiclass')}: {name}": getattr(hiclass, name)(LOCAL) for name in THEIRS}
    return systems | {name: HierarchicalClassifier(**more) for name, more in OURS.items()}


def main(arguments: Sequence[str]) -> int:
    """Cross-validate every system and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--folds", type=int, default=5)
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    X, Y = read_rows(options.data)
    end = np.array([[one for one in row if one][-1] for row in Y])
    outer = list(StratifiedKFold(options.folds, shuffle=True, random_state=0).split(X, end))
    print("| system | hierarchical F1 | leaf accuracy | safe answers: share, right | seconds |")
    print("| --- | --- | --- | --- | --- |")
    for name, system in list_systems().items():
        began, predicted, safe = time.process_time(), np.empty_like(Y, dtype=object), np.full_like(Y, "", dtype=object)
        for train, test in outer:
            fitted = system.fit(X[train], Y[train])
            predicted[test] = fitted.predict(X[test])
            if isinstance(fitted, HierarchicalClassifier):
                safe[test] = fitted.predict_safe(X[test])
        hits = float(((predicted == Y).all(axis=1)).sum())
        low, high = wilson(np.array([hits]), np.array([float(len(Y))]), 0.95)
        f1, answered = hierarchical_f1(Y, predicted), (safe != "").any(axis=1)
        right = ((safe == Y) | (safe == "")).all(axis=1)[answered]
        shown = f"{answered.mean():.3f}, {right.mean():.3f}" if answered.any() else ""
        accuracy = f"{hits / len(Y):.3f} [{low[0]:.3f}, {high[0]:.3f}]"
        print(f"| {name} | {f1:.4f} | {accuracy} | {shown} | {time.process_time() - began:.0f} |", flush=True)
    return 0


if __name__ == "__main__":
    run(main)
