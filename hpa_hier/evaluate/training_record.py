"""Training record: what a run's members were trained on and how it went, read from the run's folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from hpa_hier.data.balance.cooccurrence import balance_factors
from hpa_hier.data.balance.repeat import balanced_counts
from hpa_hier.data.split.split import read_split
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_json
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.taxonomy import Taxonomy

CURVES = ("train_loss", "calibration_loss", "calibration_macro_f1")
_MISSING = ("", "nan", "inf", "-inf")


@dataclass(frozen=True)
class ClassCount:
    """Training images of one leaf."""

    leaf: str
    before: int
    after: int  # in one balanced epoch


@dataclass(frozen=True)
class Record:
    """One member's training: what it answers for, what it cost, and its curves."""

    name: str
    about: dict[str, Any]  # member.json
    history: pd.DataFrame  # of history.csv: one row an epoch
    balance: str  # how its training images were balanced, as training.balance

    @property
    def epochs(self) -> int:
        """How many epochs are recorded."""
        return len(self.history)

    def curve(self, column: str) -> pd.Series[float]:
        """Return a column of the history by epoch; empty where it was not recorded."""
        return self.history[column] if column in self.history else pd.Series(dtype=float)


class Targets(Protocol):
    """Closed annotations: present (B, N)."""

    @property
    def present(self) -> npt.NDArray[np.bool_]:
        """(B, N) bool, closed."""


class Labelled(Protocol):
    """What the counts need of a pack."""

    def find_rows(self, ids: Sequence[str]) -> npt.NDArray[np.integer]:
        """Return where samples stand."""

    def targets(self, taxonomy: Taxonomy) -> Targets:
        """Return closed targets of all samples."""


def class_counts(run: Path, pack: Labelled, taxonomy: Taxonomy) -> list[ClassCount]:
    """Count each leaf's training images before and after balancing as the run's recipe does, most frequent first.

    A recipe that does not balance is shown what repeat factors would give.
    """
    rows = pack.find_rows(read_split(run / "split.csv").part_ids("train"))
    columns = [taxonomy.column[leaf] for leaf in taxonomy.leaves]
    present = pack.targets(taxonomy).present[rows][:, columns]
    training = load_recipe(str(run / "config.yaml") if (run / "config.yaml").is_file() else None).training
    way = {"none": "repeat", "weighted": "cooccurrence"}.get(training.balance, training.balance)
    asked = (training.balance_target, training.balance_bound, training.balance_most)
    before, after = balanced_counts(present, balance_factors(present, way, *asked))
    counts = [ClassCount(*row) for row in zip(taxonomy.leaves, before.tolist(), after.tolist(), strict=True)]
    return sorted(counts, key=lambda count: -count.before)


def read_records(run: Path, names: Sequence[str]) -> list[Record]:
    """Read the training records of the named members, in the order given."""
    return [_record(run / "members" / name) for name in names if (run / "members" / name).is_dir()]


def _record(folder: Path) -> Record:
    about = read_json(folder / "member.json")
    return Record(folder.name, about, read_history(folder / "history.csv"), _balance(folder))


def _balance(folder: Path) -> str:
    """Read from the recipe kept beside a member how its training images were balanced."""
    kept = folder / "config.yaml"
    if not kept.is_file():
        return "none"
    recipe = load_recipe(str(kept))
    own = next((member for member in recipe.members if member.name == folder.name), None)
    return (recipe.member_training(own) if own else recipe.training).balance


def read_history(path: Path) -> pd.DataFrame:
    """Read the curves of a history file; empty and non-finite cells are NaN, an absent file has no curves.

    Returns:
        One row an epoch, one column for each of CURVES that the file holds.

    Raises:
        UserError: a cell is not a number.
    """
    if not path.is_file():
        return pd.DataFrame()
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    texts = table[[key for key in CURVES if key in table]]
    values = texts.apply(pd.to_numeric, errors="coerce").replace([np.inf, -np.inf], np.nan)
    wrong = values.isna() & ~texts.apply(lambda column: column.str.lower().isin(_MISSING))
    for row, column in np.argwhere(wrong.to_numpy()):
        key, text = texts.columns[column], texts.iat[row, column]
        raise UserError(f"{path}:{row + 2}: {key} is {text!r}, not a number; train the member again")
    return values.set_index(pd.to_numeric(table["epoch"]) if "epoch" in table else table.index + 1)
