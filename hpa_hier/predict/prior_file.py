"""Priors that users name: a table of labels, a table of each class's share, or the shipped counts of a competition."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hpa_hier.data.labels.table import read_labels, targets
from hpa_hier.ensemble.calibrate.prior import Prior
from hpa_hier.errors import UserError
from hpa_hier.files.csv_file import CsvTable, read_csv
from hpa_hier.files.spelling import did_you_mean
from hpa_hier.taxonomy import Taxonomy

SHIPPED = "hpa28"  # the label table of the Human Protein Atlas's competition of 2018, as counts
_SHARES = ("share", "frequency", "prevalence", "prior")  # names of the column that has a class's share


def read_prior(name: str, taxonomy: Taxonomy) -> Prior:
    """Read how often each node occurs.

    Args:
        name: `hpa28`, the shipped counts of the competition's 31,072 images; else a CSV file: a label table of any form
            that `read_labels` takes, or a table of classes and their shares of the samples, `class,share`.
        taxonomy: the label tree; its nodes are the columns.

    Returns:
        The shares; NaN of groups that a table of shares does not name.

    Raises:
        UserError: no such file, a class that the taxonomy does not have, a leaf without a share, or a share beyond 0
            and 1.

    >>> prior = read_prior("hpa28", tree := Taxonomy.load("hpa28"))
    >>> round(float(prior.shares[tree.column["Nucleoplasm"]]), 3)
    0.415
    """
    if name == SHIPPED and not Path(name).exists():
        return _read_shipped(taxonomy)
    path = Path(name)
    if not path.is_file():
        raise UserError(f"--prior {name}: no such file; give a label table, a table class,share, or {SHIPPED}")
    table = read_csv(path)
    column = next((j for j, head in enumerate(table.header) if head.strip().lower() in _SHARES), None)
    if column is not None and len(table.header) == 2:
        return _read_shares(table, column, path, taxonomy)
    labels = read_labels(path, taxonomy)
    return Prior.from_targets(f"the {len(labels):,} samples of {path}", targets(labels.nodes, taxonomy))


def _read_shipped(taxonomy: Taxonomy) -> Prior:
    from hpa_hier.simulate.labelsets import LEAVES, set_counts  # imports the simulation's patterns

    node = {label: taxonomy.find_node(leaf) for label, leaf in LEAVES.items()}
    if absent := [LEAVES[label] for label, found in node.items() if found is None]:
        raise UserError(
            f"--prior {SHIPPED}: {taxonomy.source} has no node '{absent[0]}', which the competition's table counts; "
            "give a label table of yours"
        )
    counts = set_counts()
    found = targets([[str(node[label]) for label in labels] for labels in counts], taxonomy).present
    many = np.array(list(counts.values()))
    return Prior.from_counts(f"the competition's {many.sum():,} images", many @ found, int(many.sum()))


def _read_shares(table: CsvTable, column: int, path: Path, taxonomy: Taxonomy) -> Prior:
    shares = np.full(len(taxonomy.nodes), np.nan)
    for row, line in zip(table.rows, table.lines, strict=True):
        word, cell = row[1 - column], row[column]
        node = taxonomy.find_node(word)
        if node is None:
            hint = did_you_mean(word, taxonomy.words)
            raise UserError(f"{path}:{line}: {taxonomy.source} has no node {word!r}{hint}")
        try:
            share = float(cell)
        except ValueError:
            share = math.nan
        if not 0 <= share <= 1:
            raise UserError(
                f"{path}:{line}: the share of '{node}' must be from 0 to 1, of all samples, got {cell!r}; counts "
                "of samples are not shares until they are divided by the number of all"
            )
        shares[taxonomy.column[node]] = share
    missing = [leaf for leaf in taxonomy.leaves if np.isnan(shares[taxonomy.column[leaf]])]
    if missing:
        raise UserError(f"{path}: no share for '{missing[0]}' and {len(missing) - 1} more leaves; 0 is one")
    _check_groups(shares, path, taxonomy)
    return Prior(str(path), shares)


def _check_groups(shares: np.ndarray, path: Path, taxonomy: Taxonomy) -> None:
    """Refuse a group that is rarer than a node below it."""
    column: Mapping[str, int] = taxonomy.column
    for group in taxonomy.nodes:
        for child in taxonomy.children(group):
            if shares[column[child]] > shares[column[group]]:
                raise UserError(
                    f"{path}: '{child}' is in {shares[column[child]]:g} of the samples and '{group}', which holds it, "
                    f"in {shares[column[group]]:g}; a group is as frequent as any node below it, or more"
                )
