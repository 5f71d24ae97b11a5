"""Vector sources: which file vectors are in, what of it they are, and which rows are one sample."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hpa_hier.errors import UserError
from hpa_hier.files.atomic import sha256
from hpa_hier.files.faults.folder import list_files
from hpa_hier.files.spelling import did_you_mean

_LISTED = 8  # columns that a message names


@dataclass(frozen=True)
class VectorSource:
    """A file or folder of vectors, and how it is to be read."""

    path: Path  # .csv, .tsv, .csv.gz, .parquet, .feather, .h5ad, .npz, .npy with `ids`, or a folder of .npy files
    ids: Path | None = None  # of a .npy file: a text file with one id a line
    features: str | None = None  # regular expression at the beginning of the names of columns that are features
    per: str | None = None  # column, or expression with a group for ids: rows with the same value are one sample
    layer: str | None = None  # of .h5ad: X, obsm/NAME or layers/NAME

    def describe_changes(self) -> tuple[str, ...]:
        """Return what was asked for beside the file, as texts."""
        asked = (("features", self.features), ("per", self.per), ("layer", self.layer))
        return tuple(f"{name}={text}" for name, text in asked if text is not None)

    def list_files(self) -> tuple[Path, ...]:
        """List the files that the vectors follow from.

        Raises:
            UserError: one of them is not there.
        """
        for path in (self.path, self.ids):
            if path and not path.exists():
                raise UserError(f"{path}: no such file")
        own = self.list_arrays() if self.path.is_dir() else [self.path]
        return (*own, *([self.ids] if self.ids else []))

    def list_arrays(self) -> list[Path]:
        """List the .npy files of a folder, sorted; a folder in it that may not be listed is an OSError."""
        return [path for path in list_files(self.path) if path.suffix == ".npy"]

    @property
    def digests(self) -> tuple[str, ...]:
        """The SHA-256 of each file, in a folder with its name."""
        if not self.path.is_dir():
            return tuple(sha256(path) for path in self.list_files())
        return tuple(f"{path.relative_to(self.path).as_posix()} {sha256(path)}" for path in self.list_files())

    def find_key(self, names: Sequence[str]) -> int | None:
        """Return which of a table's columns `per` names; None: it names none, being an expression for ids, or absent.

        Raises:
            UserError: it is neither a column nor an expression with one group.
        """
        if self.per is None:
            return None
        if self.per in names:
            return names.index(self.per)
        if self.id_pattern is None:
            cure = f"name one of {list_names(names)}, or write an expression for ids with a group, such as '(.+)_'"
            raise UserError(f"--per {self.per}: no such column in {self.path}; {cure}{did_you_mean(self.per, names)}")
        return None

    @property
    def id_pattern(self) -> re.Pattern[str] | None:
        """The expression for ids that `per` is; None: it is none, having no group."""
        if self.per is None or "(" not in self.per:
            return None
        try:
            pattern = re.compile(self.per)
        except re.error as error:
            raise UserError(f"--per {self.per}: not a regular expression ({error})") from None
        if pattern.groups != 1:
            raise UserError(f"--per {self.per}: has {pattern.groups} groups; put (…) around the sample's part of an id")
        return pattern

    def match_features(self, names: Sequence[str]) -> tuple[int, ...] | None:
        """Return which columns `features` picks; None: it was not given.

        Raises:
            UserError: it is no regular expression, or picks none.
        """
        if self.features is None:
            return None
        try:
            pattern = re.compile(self.features)
        except re.error as error:
            raise UserError(f"--features {self.features}: not a regular expression ({error})") from None
        found = tuple(j for j, name in enumerate(names) if pattern.match(name))
        if not found:
            begin = f"no column of {self.path} begins so; it has {list_names(names)}"
            raise UserError(f"--features {self.features}: {begin}")
        return found


@dataclass(frozen=True)
class Rows:
    """What a file holds: its rows, before their ids are cleaned and the cells of one sample are averaged."""

    keys: tuple[str, ...]  # of each of R rows, as the file has it
    features: tuple[str, ...]  # F names
    values: np.ndarray  # (R, F) float32, in memory or mapped from a file; NaN where a value is missing
    key: str  # what the keys are, as in "the column 'id'"
    notes: tuple[str, ...] = ()  # what was taken for what
    by_column: bool = False  # the keys are of the column that `per` names


def list_names(names: Sequence[str]) -> str:
    """Return some names of columns as text.

    >>> list_names([f"f{j}" for j in range(12)])
    "'f0', 'f1', 'f2', 'f3', 'f4', 'f5', 'f6', 'f7' and 4 more"
    """
    shown = ", ".join(repr(name[:40]) for name in names[:_LISTED])
    return shown + (f" and {len(names) - _LISTED:,} more" if len(names) > _LISTED else "")


def count_block_rows(width: int, item: int = 4, most_bytes: int = 32 << 20) -> int:
    """Return how many rows of `width` numbers of `item` bytes are read at a time: at least one.

    >>> count_block_rows(256, 8, 4096), count_block_rows(256, 8, 1)
    (2, 1)
    """
    return max(1, most_bytes // (item * max(1, width)))


def blocks(rows: int, width: int, most_bytes: int = 32 << 20) -> Iterator[slice]:
    """Cut the rows of an array of float32 into blocks of at most so many bytes.

    >>> list(blocks(5, 256, 2048))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    step = count_block_rows(width, most_bytes=most_bytes)
    for first in range(0, rows, step):
        yield slice(first, min(first + step, rows))
