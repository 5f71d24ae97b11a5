"""Training record: what a run's members were trained on and how it went, read from the run's folder."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hpa_hier.data.balance.cooccurrence import balance_factors
from hpa_hier.data.balance.repeat import balanced_counts
from hpa_hier.data.split.split import read_split
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_json
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.taxonomy import Taxonomy

CURVES = ("train_loss", "calibration_loss", "calibration_macro_f1")


@dataclass(frozen=True)
class ClassCount:
    """Training images of one leaf."""

    leaf: str
    before: int
    after: int  # in one balanced epoch


@dataclass(frozen=True)
class Record:
    """One member's training: what it answers for, what it cost, and its curves over epochs."""

    name: str
    about: dict[str, Any]  # member.json
    history: dict[str, list[float | None]]  # column of history.csv → value per epoch
    balance: str  # how its training images were balanced, as training.balance


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


def read_history(path: Path) -> dict[str, list[float | None]]:
    """Read the curves of a history file; an empty or non-finite cell is None, an absent file has no curves.

    Raises:
        UserError: a cell is not a number.
    """
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    return {
        key: [_cell(path, line, key, row.get(key)) for line, row in enumerate(rows, start=2)]
        for key in CURVES
        if rows and key in rows[0]
    }


def _cell(path: Path, line: int, key: str, text: str | None) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        raise UserError(f"{path}:{line}: {key} is {text!r}, not a number; train the member again") from None
    return value if math.isfinite(value) else None
