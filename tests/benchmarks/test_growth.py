"""How commands grow: the exponent and what is extrapolated, of costs that are known."""

import numpy as np
import pytest
from growth import Cost, extrapolate, growth, write_samples, write_table

COUNTS = [1000, 10_000, 100_000]


@pytest.mark.parametrize("power", [1.0, 1.5, 2.0])
def test_the_exponent_is_that_of_what_grows_whatever_the_start_takes(power):
    costs = [Cost(3.0 + 1e-6 * count**power, 200.0) for count in COUNTS]
    assert growth(COUNTS, costs) == pytest.approx(power, abs=0.05)
    assert np.isnan(growth(COUNTS[:2], costs[:2]))


def test_a_million_lies_on_the_line_through_the_last_two():
    costs = [Cost(1 + count / 1000, 200 + count / 500) for count in COUNTS]
    assert extrapolate(COUNTS, costs) == Cost(pytest.approx(1001), pytest.approx(2200))
    assert "17 min, 2,200 MB" in write_table({"pack": dict(zip(COUNTS, costs, strict=True))})


def test_samples_have_a_row_a_vector_and_a_picture_each(tmp_path):
    write_samples(tmp_path / "drawn", 30)
    assert len((tmp_path / "drawn" / "labels.csv").read_text().splitlines()) == 31
    assert np.load(tmp_path / "drawn" / "vectors.npy").shape == (30, 32)
    assert len(list((tmp_path / "drawn" / "images").iterdir())) == 30
