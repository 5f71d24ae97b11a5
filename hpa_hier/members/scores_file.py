"""scores.npz: a member's logits of samples that its networks have not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hpa_hier.files.atomic import write_with


@dataclass(frozen=True)
class HeldOutScores:
    """Logits of samples that the networks scoring them have not seen."""

    ids: tuple[str, ...]
    parts: tuple[str, ...]  # "calibration", where one of the folds held the sample out, or "test"
    logits: np.ndarray  # (B, n) float32


def fold_folder(member: Path, fold: int) -> Path:
    """Return where a member's network of one fold is kept."""
    return member / f"fold-{fold}"


def merged_scores(paths: Sequence[Path]) -> HeldOutScores:
    """Put the folds' scores together: out of fold where a sample has a fold, the mean of all for the test part.

    Args:
        paths: each fold's scores.npz, in order.
    """
    ids: list[str] = []
    parts: list[str] = []
    logits: list[np.ndarray] = []
    tests: list[np.ndarray] = []
    for path in paths:
        with np.load(path, allow_pickle=False) as arrays:
            held = arrays["part"] == "calibration"
            ids += arrays["ids"][held].tolist()
            logits.append(arrays["logits"][held])
            tests.append(arrays["logits"][~held])
            test_ids = arrays["ids"][~held].tolist()
    parts = ["calibration"] * len(ids) + ["test"] * len(test_ids)
    total = tests[0]
    for one in tests[1:]:  # in this order, and in float32, as the networks are summed when they answer as one
        total = total + one
    mean = total / np.float32(len(tests))
    return HeldOutScores((*ids, *test_ids), tuple(parts), np.concatenate([*logits, mean]))


def write_scores(path: Path, scores: HeldOutScores, nodes: Sequence[str]) -> None:
    """Write scores.npz: ids, part, nodes and (B, n) float32 logits."""
    write_with(
        path,
        lambda handle: np.savez(
            handle, ids=np.array(scores.ids), part=np.array(scores.parts), nodes=np.array(nodes), logits=scores.logits
        ),
    )
