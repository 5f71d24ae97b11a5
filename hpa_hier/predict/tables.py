"""Tables that prediction writes: predictions.csv, submission.csv and rejected.csv, row by row, whole or not at all."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

import numpy as np

from hpa_hier.ensemble.decide.safe import UNSURE
from hpa_hier.ensemble.ensemble import Prediction
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import replacing
from hpa_hier.taxonomy import Taxonomy

NAMES = ("predictions.csv", "submission.csv", "rejected.csv")
_RUN_BY_SPREADSHEETS = ("=", "+", "-", "@", "\t", "\r")  # a cell that begins so is taken for a formula


class Tables:
    """The three tables, open for writing."""

    def __init__(self, taxonomy: Taxonomy, predictions: TextIO, submission: TextIO, rejected: TextIO) -> None:
        self._taxonomy = taxonomy
        self._leaves = [taxonomy.column[leaf] for leaf in taxonomy.leaves]
        self._predictions = csv.writer(predictions, lineterminator="\n")
        self._submission = csv.writer(submission, lineterminator="\n")
        self._rejected = csv.writer(rejected, lineterminator="\n")
        shown = taxonomy.without_virtual.nodes  # a virtual node is no answer
        self._shown = [taxonomy.column[node] for node in shown]
        header = ["id", "labels", "groups", "fallback", "filled", "safe", *map(safe_cell, shown)]
        self._predictions.writerow(header)
        self._submission.writerow(["Id", "Predicted"])
        self._rejected.writerow(["id", "file", "reason"])

    def add(self, prediction: Prediction, filled: Sequence[Sequence[str]]) -> None:
        """Append predicted samples.

        Args:
            prediction: of B samples.
            filled: for each sample, the channels it has not, which were filled with zeros.
        """
        nodes = np.array(prediction.nodes, dtype=object)
        leaf = np.zeros(len(nodes), bool)
        leaf[self._leaves] = True
        group = np.zeros(len(nodes), bool)
        group[self._shown] = ~leaf[self._shown]
        for row, sample in enumerate(prediction.ids):
            present = prediction.present[row]
            labels, groups = list(nodes[present & leaf]), list(nodes[present & group])
            answered = [*labels, *self._open_ends(prediction, row)]
            fallback = [] if answered else [_most_likely(prediction, row, self._candidates(groups))]
            safe = [] if prediction.safe.column[row] < 0 else [prediction.nodes[prediction.safe.column[row]]]
            words = ["|".join(part) for part in (labels, groups, fallback, filled[row], safe or [UNSURE])]
            numbers = [f"{prob:.6f}" for prob in prediction.probs[row, self._shown]]
            self._predictions.writerow([*map(safe_cell, [sample, *words]), *numbers])
            submitted = [self._taxonomy.label(name) for name in answered or fallback]
            self._submission.writerow([sample, " ".join(sorted(submitted, key=_as_number))])

    def _candidates(self, groups: Sequence[str]) -> list[str]:
        """Leaves that a sample without any leaf may fall back to: those below the lowest of its groups, else all."""
        above = {name for group in groups for name in self._taxonomy.ancestors(group)}
        below = {leaf for group in groups if group not in above for leaf in self._taxonomy.leaves_below(group)}
        return [leaf for leaf in self._taxonomy.leaves if not groups or leaf in below]

    def _open_ends(self, prediction: Prediction, row: int) -> list[str]:
        """Groups with a label of their own that are present without any node below them."""
        present = prediction.present[row]
        return [
            self._taxonomy.nodes[group]
            for group, children in self._taxonomy.bottom_up
            if present[group]
            and not present[list(children)].any()
            and self._taxonomy.node(self._taxonomy.nodes[group]).label is not None
        ]

    def reject(self, rejects: Iterable[tuple[str, str, str]]) -> None:
        """Append images that could not be predicted: id, file, reason."""
        for cells in rejects:
            self._rejected.writerow(map(safe_cell, cells))


@contextmanager
def writing(out: Path, taxonomy: Taxonomy) -> Iterator[Tables]:
    """Open the three tables under temporary names; they get their own names when all is written.

    Args:
        out: folder, created where absent.
        taxonomy: its nodes are the columns.

    Raises:
        UserError: the folder cannot be written to.
    """
    with ExitStack() as stack:
        try:
            temporary = [stack.enter_context(replacing(out / name)) for name in reversed(NAMES)]
            files = [stack.enter_context(path.open("w", encoding="utf-8", newline="")) for path in reversed(temporary)]
            tables = Tables(taxonomy, *files)
        except OSError as error:
            raise UserError(f"{out}: cannot be written to ({error.strerror}); name another folder with --out") from None
        yield tables


def refuse_existing(out: Path, overwrite: bool) -> None:
    """Refuse a folder that holds results already, unless they may be replaced.

    Raises:
        UserError: naming the file that is there.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; --out names a folder")
    there = [out / name for name in NAMES if (out / name).exists()]
    if there and not overwrite:
        raise UserError(f"{there[0]}: exists already; name another folder with --out, or replace it with --overwrite")


def safe_cell(text: str) -> str:
    """Put an apostrophe before a cell that a spreadsheet would run as a formula.

    >>> safe_cell("=1+1"), safe_cell("Nucleoli")
    ("'=1+1", 'Nucleoli')
    """
    return f"'{text}" if text.startswith(_RUN_BY_SPREADSHEETS) else text


def _most_likely(prediction: Prediction, row: int, leaves: Sequence[str]) -> str:
    columns = [prediction.nodes.index(leaf) for leaf in leaves]
    return leaves[int(np.argmax(prediction.probs[row, columns]))]


def _as_number(label: str) -> tuple[int, str]:
    return (int(label), "") if label.isdecimal() else (1 << 62, label)
