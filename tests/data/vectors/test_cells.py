"""Cells become samples: the mean over the rows of each, in blocks."""

from __future__ import annotations

import numpy as np
import pytest

from hpa_hier.data.vectors import cells
from hpa_hier.data.vectors.source import blocks


@pytest.mark.parametrize("most_bytes", [16, 200, 1 << 20])
def test_means_are_the_same_in_blocks_of_any_size(monkeypatch: pytest.MonkeyPatch, most_bytes: int) -> None:
    monkeypatch.setattr(cells, "blocks", lambda rows, width: blocks(rows, width, most_bytes))
    generator = np.random.default_rng(0)
    number = generator.integers(0, 30, 500)
    values = generator.normal(1e4, 1, (500, 3)).astype(np.float32)
    found = cells.average_cells([f"s{n}" for n in number], values)
    assert len(found.ids) == 30
    assert found.most == np.bincount(number).max()
    wanted = [values[number == int(name[1:])].mean(axis=0, dtype=np.float64) for name in found.ids]
    np.testing.assert_allclose(found.values, wanted, rtol=1e-7)


def test_a_missing_value_of_one_cell_is_missing_in_the_mean() -> None:
    values = np.array([[1, np.nan], [3, 4], [5, 6]], np.float32)
    found = cells.average_cells(["a", "a", "b"], values)
    np.testing.assert_array_equal(found.values, [[2, np.nan], [5, 6]])
