"""A table's features are those of the members, by name, or by number where both only count them."""

from __future__ import annotations

import numpy as np
import pytest

from hpa_hier.data.vectors.table import order_features
from hpa_hier.errors import UserError

SERIES = tuple(f"feat{j:04d}" for j in range(5))


def test_features_of_another_order_are_found_by_name_and_others_left_out() -> None:
    order = order_features("new.csv", ("mass", "dose", "area"), ("area", "mass"))
    np.testing.assert_array_equal(order.apply(np.array([[1.0, 2.0, 3.0]])), [[3.0, 1.0]])
    assert order.notes == ("left out, as the members do not know them: 'dose'",)


@pytest.mark.parametrize("names", [("f0", "f1", "f2", "f3", "f4"), ("4", "3", "2", "1", "0"), SERIES])
def test_features_that_are_only_counted_are_taken_by_number(names: tuple[str, ...]) -> None:
    order = order_features("new.h5ad", names, SERIES)
    values = np.array([[float(name.removeprefix("feat").removeprefix("f")) for name in names]])
    np.testing.assert_array_equal(order.apply(values), [[0, 1, 2, 3, 4]])
    assert bool(order.notes) == (names != SERIES)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (SERIES[:4], "new: 4 features, not the 5 that the members were trained on; it has no 'feat0004'"),
        (("f0", "f1"), "new: 2 features, not the 5 .*; it has no 'feat0000' and 4 more"),
        ((*SERIES, "feat0005"), "new: 6 features, .*; it has 'feat0005', which they do not know: is it of the same m"),
        (("area", "mass", "age", "f1", "f2"), "new: 5 features, not the 5 .*; it has no 'feat0000'"),
    ],
)
def test_features_of_another_model_are_refused(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        order_features("new", names, SERIES)
