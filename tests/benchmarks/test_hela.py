"""The folds and intervals of the benchmark on 2D HeLa."""

from __future__ import annotations

import numpy as np
from hela import Cells, describe_difference, describe_share, divide

from hpa_hier.taxonomy import Taxonomy


def test_every_cell_is_held_out_once_and_each_fold_has_its_share_of_markers() -> None:
    tree = Taxonomy.load("hela")
    leaves = np.repeat([tree.column[leaf] for leaf in tree.leaves], 20)
    cells = Cells(tuple(map(str, range(200))), leaves, np.zeros((200, 1)), ("a",), tree)
    folds = divide(cells, seed=3)
    assert sorted(np.concatenate(folds).tolist()) == list(range(200))
    assert {tuple(np.bincount(leaves[rows])[list(map(tree.column.get, tree.leaves))]) for rows in folds} == {(2,) * 10}


def test_a_difference_is_paired_by_cell() -> None:
    ours, theirs = np.ones((2, 50), bool), np.ones((2, 50), bool)
    theirs[:, :10] = False  # the same cells under both seeds
    reach = 2.0096 * 0.40406 / 50**0.5
    assert describe_difference(ours, theirs) == f"+0.2000 [{0.2 - reach:+.4f}, {0.2 + reach:+.4f}]"
    assert describe_share(theirs[0]) == "0.8000 [0.670, 0.888]"
