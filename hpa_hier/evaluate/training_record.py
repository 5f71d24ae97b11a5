"""Training record: what a run's members were trained on and how it went, read from the run's folder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hpa_hier.data.balance.cooccurrence import balance_factors
from hpa_hier.data.balance.repeat import balanced_counts
from hpa_hier.errors import UserError
from hpa_hier.files.tables import read_table
from hpa_hier.runs.manifest import HISTORY, MANIFEST, Manifest, check_files
from hpa_hier.runs.run import Run
from hpa_hier.taxonomy import Taxonomy

CURVES = ("train_loss", "calibration_loss", "calibration_log_loss", "calibration_macro_f1")
_MISSING = ("", "nan", "inf", "-inf")


@dataclass(frozen=True)
class ClassCount:
    """Training images of one leaf."""

    leaf: str
    before: int
    after: int  # in one balanced epoch


@dataclass(frozen=True)
class TrainingRecord:
    """One member's training: what it answers for, what it cost, and its curves."""

    manifest: Manifest
    history: pd.DataFrame  # of history.csv: one row an epoch


def class_counts(run: Run, taxonomy: Taxonomy) -> list[ClassCount]:
    """Count each leaf's training images before and after balancing as the run's recipe does, most frequent first.

    A recipe that does not balance is shown what repeat factors would give.
    """
    rows, columns = run.pack.find_rows(run.split.part_ids("train")), [taxonomy.column[leaf] for leaf in taxonomy.leaves]
    present = run.pack.targets(taxonomy).present[rows][:, columns]
    training = run.recipe.training
    way = {"none": "repeat", "weighted": "cooccurrence"}.get(training.balance, training.balance)
    settings = (training.balance_target, training.balance_bound, training.balance_most)
    before, after = balanced_counts(present, balance_factors(present, way, *settings))
    counts = [ClassCount(*row) for row in zip(taxonomy.leaves, before.tolist(), after.tolist(), strict=True)]
    return sorted(counts, key=lambda count: -count.before)


def read_records(run: Run, names: Iterable[str]) -> list[TrainingRecord]:
    """Read the training records of the named members, in the order given; those that the run lacks are left out."""
    kept = [name for name in names if (run.member_folder(name) / MANIFEST).is_file()]
    members = run.select_members(kept) if kept else ()
    for one in members:
        if HISTORY in one.manifest.files and (one.folder / HISTORY).is_file():
            check_files(one.folder, one.manifest, (HISTORY,))
    return [TrainingRecord(one.manifest, read_history(one.folder / HISTORY)) for one in members]


def read_history(path: Path) -> pd.DataFrame:
    """Read the curves of a history file; empty and non-finite cells are NaN, an absent file has no curves.

    Returns:
        One row an epoch, one column for each of CURVES that the file holds.

    Raises:
        UserError: a cell is not a number.
    """
    if not path.is_file():
        return pd.DataFrame()
    table = read_table(path, ["epoch"])
    texts = table[[key for key in CURVES if key in table]]
    values = texts.apply(pd.to_numeric, errors="coerce").replace([np.inf, -np.inf], np.nan)
    wrong = values.isna() & ~texts.apply(lambda column: column.str.lower().isin(_MISSING))
    for row, column in np.argwhere(wrong.to_numpy()):
        key, text = texts.columns[column], texts.iat[row, column]
        raise UserError(f"{path}:{row + 2}: {key} is {text!r}, not a number; train the member again")
    return values.set_index(pd.to_numeric(table["epoch"], errors="coerce"))
