"""Tables that prediction writes: predictions, probabilities, submission and rejected; each whole or not at all."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TextIO

from hpa_hier.data.labels.ids import find_id
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import replacing
from hpa_hier.files.csv_file import read_csv
from hpa_hier.files.faults.together import remove_file, together
from hpa_hier.files.lock import PATIENCE, lock_folder
from hpa_hier.files.tables import safe_cell
from hpa_hier.predict.formats.probabilities import FORMATS, open_probabilities
from hpa_hier.predict.formats.rows import COLUMNS, Rows, Writer
from hpa_hier.taxonomy import Taxonomy

FIRST = "predictions.csv"
_NAMES = (FIRST, "submission.csv", "rejected.csv")
_PROBABILITIES = tuple(f"probabilities.{name}" for name in FORMATS)
_BYTE_ORDER_MARK = "\ufeff"  # without it, Excel reads letters beyond ASCII wrongly


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
    """The tables, open for writing."""

    def __init__(self, files: Sequence[TextIO], probabilities: Writer) -> None:  # files as _NAMES
        self._predictions, self._submission, self._rejected = (csv.writer(one, lineterminator="\n") for one in files)
        self._probabilities = probabilities
        self._predictions.writerow(COLUMNS)
        self._submission.writerow(["Id", "Predicted"])
        self._rejected.writerow(Rejected._fields)
        self.ascii = True  # whether what was written to predictions.csv is

    def add(self, rows: Rows) -> None:
        """Append answered samples."""
        for cells in rows.cells():
            self.ascii = self.ascii and all(map(str.isascii, cells))
            self._predictions.writerow(map(safe_cell, cells))
        self._submission.writerows(
            (safe_cell(one), safe_cell(labels)) for one, labels in zip(rows.ids, rows.submitted, strict=True)
        )
        self._probabilities.add(rows)

    def reject(self, rejected: Iterable[Rejected]) -> None:
        """Append samples that could not be answered for; each has an empty row of the submission."""
        seen = set()
        for sample, *why in rejected:
            self._rejected.writerow(map(safe_cell, (sample, *why)))
            if sample not in seen:
                self._submission.writerow([safe_cell(sample), ""])
            seen.add(sample)


@contextmanager
def open_tables(
    out: Path, taxonomy: Taxonomy, wanted: Sequence[str] | None = None, form: str = "csv", *, overwrite: bool = True
) -> Iterator[Tables]:
    """Open the tables under temporary names; they get their own names together when all is written.

    Args:
        out: folder, created where absent.
        taxonomy: its nodes are the columns of the probabilities, but for virtual ones, which are no answers.
        wanted: ids that submission.csv is to have, in this order; None: as they are answered.
        form: format of the probabilities, a name of `FORMATS`; a table of them in another one is removed.
        overwrite: replace tables that are there, also those that another process wrote while this one waited.

    Raises:
        UserError: the folder cannot be written to, or there are tables that stay.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(lock_folder(out, "writing tables into", wait=PATIENCE, tidy=True))
            check_free(out, overwrite)
            stack.enter_context(together(out))
            table = stack.enter_context(replacing(out / f"probabilities.{form}"))
            temporary = [stack.enter_context(replacing(out / name)) for name in reversed(_NAMES)]
            files = [stack.enter_context(path.open("w", encoding="utf-8", newline="")) for path in reversed(temporary)]
            probabilities = stack.enter_context(open_probabilities(table, taxonomy.without_virtual))
            tables = Tables(files, probabilities)
        except OSError as error:
            raise UserError(f"{out}: cannot be written to ({error.strerror}); name another folder with --out") from None
        yield tables
        for file in files:
            file.flush()
        if wanted is not None:
            _order_submission(temporary[-2], files[1], wanted)
        if not tables.ascii:
            files[0].close()
            _mark_order(temporary[-1])
        for name in _PROBABILITIES:
            if name != f"probabilities.{form}":
                remove_file(out / name)


def _mark_order(path: Path) -> None:
    """Put the byte-order mark before a file's content, however large it is."""
    marked = path.with_name(f"{path.name}.marked")
    try:
        with path.open("rb") as written, marked.open("wb") as copy:
            copy.write(_BYTE_ORDER_MARK.encode())
            shutil.copyfileobj(written, copy)
        marked.replace(path)
    finally:
        marked.unlink(missing_ok=True)


def read_wanted(path: Path) -> tuple[str, ...]:
    """Return the ids of a competition's sample_submission.csv, in its order.

    Raises:
        UserError: the file cannot be read, has no rows, or names an id twice.
    """
    try:
        table = read_csv(path)
    except UserError as error:
        raise UserError(f"--sample-submission {error}") from None
    ids = tuple(find_id(row[0]) for row in table.rows)
    twice = next((sample for sample, count in Counter(ids).items() if count > 1), None)
    if twice is not None or not ids:
        what = f"the id {twice!r} appears twice" if ids else "no rows below the header"
        raise UserError(f"--sample-submission {path}: {what}; give a file with one row an image")
    return ids


def _order_submission(path: Path, file: TextIO, wanted: Sequence[str]) -> None:
    """Write a submission's rows again: those wanted, in that order, empty where there is no answer.

    Their ids are as the competition has them, also where a spreadsheet would run one; who asks for them has them so.
    """
    with path.open(encoding="utf-8", newline="") as written:
        header, *rows = csv.reader(written)
    labels = dict(rows)
    file.seek(0)
    file.truncate()
    csv.writer(file, lineterminator="\n").writerows(
        [header, *([sample, labels.get(safe_cell(sample), "")] for sample in wanted)]
    )


def check_free(out: Path, overwrite: bool, others: Sequence[str] = ()) -> None:
    """Refuse a folder that holds tables already, or other files of these names, unless they may be replaced.

    Raises:
        UserError: naming the file that is there.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; --out names a folder")
    there = [out / name for name in (*_NAMES, *_PROBABILITIES, *others) if (out / name).exists()]
    if there and not overwrite:
        raise UserError(f"{there[0]}: exists already; name another folder with --out, or replace it with --overwrite")
