"""scores.npz: a member's logits of samples that its networks have not seen; its one reader and its one writer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hpa_hier.ensemble.scores.scores import Scores
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import write_with
from hpa_hier.files.faults.arrays import read_npz


@dataclass(frozen=True)
class HeldOutScores:
    """Logits of samples that the networks scoring them have not seen."""

    ids: tuple[str, ...]
    parts: tuple[str, ...]  # "calibration", where one of the folds held the sample out, or "test"
    nodes: tuple[str, ...]  # columns of the logits, by name
    logits: np.ndarray  # (B, n) float32


def fold_folder(member: Path, fold: int) -> Path:
    """Return where a member's network of one fold is kept."""
    return member / f"fold-{fold}"


def read_scores(path: Path) -> HeldOutScores:
    """Read scores.npz; a UserError if it is absent or broken."""
    again = "train the member again"
    stored = read_npz(path, "a score file", again)
    try:
        ids, parts, nodes = (tuple(map(str, stored[key])) for key in ("ids", "part", "nodes"))
        logits = stored["logits"]
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: not a score file ({error}); {again}") from None
    if logits.shape != (len(ids), len(nodes)) or len(parts) != len(ids) or logits.dtype.kind != "f":
        raise UserError(f"{path}: not a score file (logits of {logits.shape} {logits.dtype}); {again}")
    return HeldOutScores(ids, parts, nodes, logits)


def load_scores(path: Path, name: str, part: str | None = None) -> Scores:
    """Read scores.npz as the scores of the member `name`, of the part `calibration` or `test`; None keeps both.

    Raises:
        UserError: the file is absent or broken, or holds nothing of the part.
    """
    held = read_scores(path)
    rows = [row for row, its_part in enumerate(held.parts) if part in (None, its_part)]
    if not rows:
        raise UserError(f"{path}: holds no scores of the {part} part; train the member '{name}' again")
    try:
        return Scores(name, tuple(held.ids[row] for row in rows), held.nodes, held.logits[rows])
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def merge_scores(folds: Sequence[HeldOutScores]) -> HeldOutScores:
    """Put the folds' scores together, in order: out of fold where a sample has a fold, the test part's mean of all.

    >>> one, other = (HeldOutScores((i, "t"), ("calibration", "test"), ("n",), np.float32([[v], [v]])) for i, v in
    ...     (("a", 1), ("b", 3)))
    >>> merged = merge_scores([one, other])
    >>> merged.ids, merged.logits.ravel().tolist()
    (('a', 'b', 't'), [1.0, 3.0, 2.0])
    """
    held = [np.array(scores.parts) == "calibration" for scores in folds]
    ids = [sample for scores, mask in zip(folds, held, strict=True) for sample in np.array(scores.ids)[mask].tolist()]
    test_ids = np.array(folds[-1].ids)[~held[-1]].tolist()
    total, *others = (scores.logits[~mask] for scores, mask in zip(folds, held, strict=True))
    for one in others:  # in this order, and in float32, as the networks are summed when they are averaged
        total = total + one
    logits = [scores.logits[mask] for scores, mask in zip(folds, held, strict=True)]
    parts = ("calibration",) * len(ids) + ("test",) * len(test_ids)
    return HeldOutScores(
        (*ids, *test_ids), parts, folds[0].nodes, np.concatenate([*logits, total / np.float32(len(folds))])
    )


def write_scores(path: Path, scores: HeldOutScores) -> None:
    """Write scores.npz: ids, part, nodes and (B, n) float32 logits."""
    ids, parts, nodes = (np.array(names) for names in (scores.ids, scores.parts, scores.nodes))
    write_with(path, lambda handle: np.savez(handle, ids=ids, part=parts, nodes=nodes, logits=scores.logits))
