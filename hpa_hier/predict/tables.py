"""Tables that prediction writes: predictions.csv, submission.csv and rejected.csv, row by row, whole or not at all."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np

from hpa_hier.data.labels.ids import find_id
from hpa_hier.ensemble.decide.safe import UNSURE
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import replacing
from hpa_hier.files.csv_file import read_csv
from hpa_hier.files.tables import safe_cell
from hpa_hier.taxonomy import Taxonomy

NAMES = ("predictions.csv", "submission.csv", "rejected.csv")


class Rejected(NamedTuple):
    """A sample that could not be answered for."""

    id: str
    file: str
    reason: str


@dataclass(frozen=True)
class SampleAnswer:
    """The answer for one sample, by name."""

    labels: tuple[str, ...]  # leaves that are present
    groups: tuple[str, ...]  # present nodes that are no leaves
    fallback: str  # most likely leaf where nothing with a label of its own is present, else ""
    safe: str  # deepest node whose precision target is met, `unsure` where none is, "" where nothing is safe here
    submitted: tuple[str, ...]  # labels of the annotation table


class Tables:
    """The three tables, open for writing."""

    def __init__(self, taxonomy: Taxonomy, predictions: TextIO, submission: TextIO, rejected: TextIO) -> None:
        self._predictions, self._submission, self._rejected = (
            csv.writer(file, lineterminator="\n") for file in (predictions, submission, rejected)
        )
        self._separator = taxonomy.label_separator
        shown = taxonomy.without_virtual.nodes  # a virtual node is no answer
        header = ["id", "labels", "groups", "fallback", "filled", "safe", "warning", *map(safe_cell, shown)]
        self._predictions.writerow(header)
        self._submission.writerow(["Id", "Predicted"])
        self._rejected.writerow(Rejected._fields)

    def add(
        self,
        samples: Iterable[tuple[str, SampleAnswer]],
        filled: Sequence[Sequence[str]],
        warnings: Sequence[str],
        probs: np.ndarray,
    ) -> None:
        """Append answered samples.

        Args:
            samples: id and answer of each.
            filled: for each sample, the channels that it lacks.
            warnings: for each sample, what to bear in mind.
            probs: (B, N) of the nodes that can be an answer.
        """
        for (sample, one), lacking, warning, row in zip(samples, filled, warnings, probs, strict=True):
            labels = "|".join(one.labels) if one.labels or one.groups else UNSURE
            words = (sample, labels, "|".join(one.groups), one.fallback, "|".join(lacking))
            numbers = [f"{prob:.6f}" for prob in row]
            self._predictions.writerow([*map(safe_cell, (*words, one.safe, warning)), *numbers])
            self._submission.writerow([sample, self._separator.join(one.submitted)])

    def reject(self, rejected: Iterable[Rejected]) -> None:
        """Append samples that could not be answered for; each has an empty row of the submission."""
        seen = set()
        for sample, *why in rejected:
            self._rejected.writerow(map(safe_cell, (sample, *why)))
            if sample not in seen:
                self._submission.writerow([sample, ""])
            seen.add(sample)


@contextmanager
def open_tables(out: Path, taxonomy: Taxonomy, wanted: Sequence[str] | None = None) -> Iterator[Tables]:
    """Open the three tables under temporary names; they get their own names when all is written.

    Args:
        out: folder, created where absent.
        taxonomy: its nodes are the columns.
        wanted: ids that submission.csv is to have, in this order; None: as they are answered.

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
        if wanted is not None:
            files[1].flush()
            _order_submission(temporary[-2], files[1], wanted)


def read_wanted(path: Path) -> tuple[str, ...]:
    """Return the ids of a competition's sample_submission.csv, in its order.

    Raises:
        UserError: the file cannot be read, has no rows, or names an id twice.
    """
    table = read_csv(path)
    ids = tuple(find_id(row[0]) for row in table.rows)
    twice = next((sample for sample, count in Counter(ids).items() if count > 1), None)
    if twice is not None or not ids:
        what = f"the id {twice!r} appears twice" if ids else "no rows below the header"
        raise UserError(f"--sample-submission {path}: {what}; give a file with one row an image")
    return ids


def _order_submission(path: Path, file: TextIO, wanted: Sequence[str]) -> None:
    """Write a submission's rows again: those wanted, in that order, empty where there is no answer."""
    with path.open(encoding="utf-8", newline="") as written:
        header, *rows = csv.reader(written)
    labels = dict(rows)
    file.seek(0)
    file.truncate()
    csv.writer(file, lineterminator="\n").writerows([header, *([sample, labels.get(sample, "")] for sample in wanted)])


def check_free(out: Path, overwrite: bool) -> None:
    """Refuse a folder that holds tables already, unless they may be replaced.

    Raises:
        UserError: naming the file that is there.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; --out names a folder")
    there = [out / name for name in NAMES if (out / name).exists()]
    if there and not overwrite:
        raise UserError(f"{there[0]}: exists already; name another folder with --out, or replace it with --overwrite")
