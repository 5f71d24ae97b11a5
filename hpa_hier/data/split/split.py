"""Split: a test part drawn at random, train and calibration stratified by label, no group in two parts."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from hpa_hier.data.labels.ids import is_valid_id
from hpa_hier.data.pack.pack import Pack
from hpa_hier.data.split.draw import draw_test_part
from hpa_hier.data.split.near_duplicates import find_near_duplicates, join_groups
from hpa_hier.data.split.stratify import stratify
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_json, refuse_foreign, text_digest, write_json
from hpa_hier.files.faults.together import together
from hpa_hier.files.lock import PATIENCE, lock_folder, settle
from hpa_hier.files.tables import read_table, write_table
from hpa_hier.metrics.groups import number_units
from hpa_hier.settings.recipe import SplitSettings

if TYPE_CHECKING:
    import pandas as pd

PARTS = ("train", "calibration", "test")
_COLUMNS = ("id", "part", "fold", "group")


@dataclass(frozen=True)
class Split:
    """Which part each sample belongs to."""

    ids: tuple[str, ...]
    parts: tuple[str, ...]  # "train", "calibration" or "test"
    groups: tuple[str, ...]  # "" where unknown
    folds: tuple[int, ...]  # -1: none; test samples have none

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def digest(self) -> str:
        """16 hex digits of who is in which part, and in which fold where there are any, whatever the rows' order."""
        folded = any(fold >= 0 for fold in self.folds)
        rows = sorted(zip(self.ids, self.parts, self.folds, strict=True))
        return text_digest(*(f"{i}\t{part}\t{fold}" if folded else f"{i}\t{part}" for i, part, fold in rows))

    @cached_property
    def groups_digest(self) -> str:
        """16 hex digits of the group of each sample, whatever the rows' order."""
        return text_digest(*(f"{i}\t{group}" for i, group in sorted(zip(self.ids, self.groups, strict=True))))

    @property
    def fold_count(self) -> int:
        """How many folds there are; 0: none."""
        return len({fold for fold in self.folds if fold >= 0})

    def part_rows(self, part: str) -> np.ndarray:
        """Return the row numbers (int64) of a part, in the order of `ids`."""
        return np.flatnonzero(np.array([name == part for name in self.parts], dtype=bool))

    def part_ids(self, part: str) -> tuple[str, ...]:
        """Return the ids of a part, in the order of `ids`."""
        return tuple(i for i, name in zip(self.ids, self.parts, strict=True) if name == part)


class SplitFile(BaseModel):
    """What split.json holds."""

    model_config = ConfigDict(frozen=True)

    digest: str  # of the split beside it: ids, parts and folds
    groups_digest: str = ""  # of its groups; older files have none
    seed: int = 0
    fractions: dict[str, float] = {}  # share of each part
    folds: int = 0
    counts: dict[str, int] = {}  # samples of each part
    groups: int = 0


def split(present: np.ndarray, groups: Sequence[str], fractions: Sequence[float], seed: int = 0) -> np.ndarray:
    """Split samples into parts, stratified by label; each group stays whole.

    Args:
        present: (B, L) bool, which of L labels each sample carries; usually the leaves.
        groups: (B,) keys such as antibodies; samples of one key stay together, "" is a sample by itself.
        fractions: share of each part, summing to 1.
        seed: decides between equals.

    Returns:
        (B,) int64 part numbers, as the order of `fractions`; where every sample has a key, whatever the rows' order.
    """
    unit = number_units(groups, by_name=True)
    return np.asarray(stratify(*_count_units(present, unit), fractions, np.random.default_rng(seed))[unit])


def make_split(ids: Sequence[str], present: np.ndarray, groups: Sequence[str], settings: SplitSettings) -> Split:
    """Draw the test part by group at random, stratify train and calibration, and both into folds if asked for.

    Every label that three groups carry is in all three parts, as far as groups that carry several labels allow;
    beyond that the test part's label counts are left to chance, as a new folder's are. The order of the rows changes
    nothing.

    Args:
        ids: (B,) of the samples.
        present: (B, L) bool, which of L labels each sample carries; usually the leaves.
        groups: (B,) keys such as antibodies; samples of one key stay together, "" is a sample by itself.
        settings: fractions, folds and seed.

    Returns:
        The split; the same for the same seed.

    Raises:
        UserError: there are fewer samples, or groups, than parts, or than folds and a test part.
    """
    keys = [group or f"\0{sample}" for sample, group in zip(ids, groups, strict=True)]
    unit = number_units(keys, by_name=True)
    counts, sizes = _count_units(present, unit)
    number = settings.count_folds(len(ids), len(sizes))
    least = max(len(PARTS), number + 1)
    if len(sizes) < least:
        raise UserError(
            f"split: {len(ids)} samples in {len(sizes)} groups cannot fill {least} parts; "
            "samples of one antibody, or with identical pixels, stay together. Give more samples, or fewer folds"
        )
    *shares, test_share = settings.fractions
    test = draw_test_part(counts > 0, sizes, test_share, len(shares), np.random.default_rng(settings.seed))[unit]
    inside, part = np.flatnonzero(~test), np.full(len(ids), PARTS.index("test"))
    rest = (present[inside], [keys[i] for i in inside.tolist()])
    part[inside] = split(*rest, [share / sum(shares) for share in shares], settings.seed)
    folds = np.full(len(ids), -1, dtype=np.int64)
    if number > 1:
        folds[inside] = split(*rest, [1.0 / number] * number, settings.seed)
    return Split(tuple(ids), tuple(PARTS[p] for p in part), tuple(groups), tuple(int(f) for f in folds))


def _count_units(present: np.ndarray, unit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (U, L) how many samples of each unit carry each label, and (U,) how many samples it has."""
    counts = np.zeros((int(unit.max()) + 1 if len(unit) else 0, present.shape[1]))
    np.add.at(counts, unit, present)
    return counts, np.bincount(unit)


def split_pack(pack: Pack, settings: SplitSettings) -> Split:
    """Split a pack's samples; those with identical pixels, and near-duplicates if asked for, stay together."""
    bits = settings.near_duplicates
    alike = find_near_duplicates(pack, bits) if bits is not None else ()
    return make_split(pack.ids, annotation_matrix(pack.nodes), join_groups(pack.samples, alike), settings)


def annotation_matrix(nodes: Sequence[Sequence[str]]) -> np.ndarray:
    """Return (B, K) bool, which of the K nodes that any sample is annotated with each sample has, columns by name.

    >>> annotation_matrix([("b",), (), ("a", "b")])
    array([[False,  True],
           [False, False],
           [ True,  True]])
    """
    column = {name: j for j, name in enumerate(sorted({name for names in nodes for name in names}))}
    present = np.zeros((len(nodes), len(column)), dtype=bool)
    for i, names in enumerate(nodes):
        present[i, [column[name] for name in names]] = True
    return present


def refuse_foreign_split(path: Path) -> None:
    """Raise the UserError of an --out that would replace anything but an earlier split and its digest beside it."""
    if path.suffix == ".json":
        raise UserError(f"--out {path}: the digest is kept in a .json beside the table; name a .csv file")
    refuse_foreign(path, ",".join(_COLUMNS))
    refuse_foreign(path.with_suffix(".json"), '{\n "digest":')


def write_split(path: Path, kept: Split, settings: SplitSettings, *, replace: bool = True) -> bool:
    """Write `split.csv` and, beside it, `split.json` with digest, seed, fractions and counts.

    Args:
        path: of split.csv.
        kept: the split.
        settings: that it was made with.
        replace: one that is there; otherwise that one stays.

    Returns:
        Whether it was written.
    """
    import pandas as pd

    folds = ["" if fold < 0 else fold for fold in kept.folds]
    table = pd.DataFrame({"id": kept.ids, "part": kept.parts, "fold": folds, "group": kept.groups})
    with _lock(path):
        if path.exists() and not replace:
            return False
        with together(path.parent, path.stem):
            write_table(path, table)
            _write_split_file(path, kept, settings)
    return True


def complete_split(path: Path, kept: Split, settings: SplitSettings) -> None:
    """Write the `split.json` of a split that has none, as where a process was killed before it wrote it."""
    if not path.with_suffix(".json").exists():
        with _lock(path):
            _write_split_file(path, kept, settings)


def _lock(path: Path) -> AbstractContextManager[bool]:
    return lock_folder(path.parent, "writing a split into", path, wait=PATIENCE, name=path.stem, flag="")


def _write_split_file(path: Path, kept: Split, settings: SplitSettings) -> None:
    facts = SplitFile(
        digest=kept.digest,
        groups_digest=kept.groups_digest,
        seed=settings.seed,
        fractions=dict(zip(PARTS, settings.fractions, strict=True)),
        folds=kept.fold_count,
        counts={part: len(kept.part_rows(part)) for part in PARTS},
        groups=len({group for group in kept.groups if group}),
    )
    write_json(path.with_suffix(".json"), facts.model_dump())


def read_split(path: Path) -> Split:
    """Read `split.csv` and check it against the digest in `split.json`, where that is there.

    Raises:
        UserError: a row is wrong, a group crosses parts, or the file is not the one that the digest belongs to.
    """
    settle(path.parent, name=path.stem)
    table = read_table(path, _COLUMNS)
    for line, sample_id, part, fold in table[["id", "part", "fold"]].set_index(table.index + 2).itertuples():
        if not is_valid_id(sample_id):
            raise UserError(f"{path}:{line}: {sample_id!r} is no sample id")
        if part not in PARTS:
            raise UserError(f"{path}:{line}: part {part!r} is none of {', '.join(PARTS)}")
        if fold and not fold.isdecimal():
            raise UserError(f"{path}:{line}: fold {fold!r} is no whole number; leave it empty where there is none")
    table["fold"] = table["fold"].map(lambda fold: int(fold or -1))
    _check(path, table)
    kept = Split(*(tuple(table[column].tolist()) for column in ("id", "part", "group", "fold")))
    beside = path.with_suffix(".json")
    if not beside.exists():
        return kept
    recorded = _read_split_file(beside)
    for found, known in ((kept.digest, recorded.digest), (kept.groups_digest, recorded.groups_digest)):
        if known and found != known:
            digests = f"digest {found} is not the {known} of {beside.name}"
            raise UserError(f"{path}: {digests}; the split was edited. Write it again with data split")
    return kept


def _check(path: Path, table: pd.DataFrame) -> None:
    """Refuse an id that appears twice, a group in two parts or folds, and a fold where none should be or none is."""
    for twice in table["id"][table["id"].duplicated()][:1]:
        raise UserError(f"{path}: id {twice!r} appears twice; a sample has one part")
    named = table[table["group"] != ""]
    first = named.groupby("group")[["part", "fold"]].transform("first")
    for row in np.flatnonzero(named["part"] != first["part"])[:1]:
        both = f"{first['part'].iloc[row]} and {named['part'].iloc[row]}"
        raise UserError(f"{path}: group {named['group'].iloc[row]!r} is in both {both}; a group stays in one part")
    if (table["fold"] < 0).all():
        return
    for one in table[(table["part"] == "test") != (table["fold"] < 0)][:1].itertuples():
        found = "no fold" if one.fold < 0 else f"fold {one.fold}"
        where = f"{path}: {one.id!r} of the {one.part} part"
        raise UserError(f"{where} has {found}; test samples have none, all others one")
    for row in np.flatnonzero(named["fold"] != first["fold"])[:1]:
        both = f"{first['fold'].iloc[row]} and {named['fold'].iloc[row]}"
        raise UserError(f"{path}: group {named['group'].iloc[row]!r} is in folds {both}; a group stays in one fold")


def _read_split_file(path: Path) -> SplitFile:
    try:
        return SplitFile.model_validate(read_json(path))
    except ValidationError as error:
        raise UserError(f"{path}: no split.json ({error.errors()[0]['msg']}); write the split again") from None
