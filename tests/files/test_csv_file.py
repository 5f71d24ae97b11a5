"""CSV files: separators, quotes and line ends of the programs that write them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpa_hier.errors import UserError
from hpa_hier.files.csv_file import read_csv, read_plain_numbers

CELLS = st.text(st.characters(exclude_categories=("C",), exclude_characters='"\n\r\0='), max_size=8).map(str.strip)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@given(rows=st.lists(st.tuples(CELLS.filter(bool), CELLS), min_size=1, max_size=6))
@settings(max_examples=40)
def test_what_a_spreadsheet_quotes_is_read_back_whatever_it_separates_by(tmp_path_factory, delimiter, rows) -> None:
    path = Path(tmp_path_factory.mktemp("csv")) / "t.csv"
    lines = [("Id", "Target"), *rows]
    path.write_text("\r\n".join(delimiter.join(f'"{cell}"' for cell in row) for row in lines), encoding="utf-8")
    table = read_csv(path)
    assert (table.header, table.rows) == (lines[0], tuple(rows))


def test_the_separator_is_the_one_that_suits_all_rows(tmp_path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("Id;a, b, c;d\n1;x;y\n2;x, z;y\n")
    assert read_csv(path).header == ("Id", "a, b, c", "d")


def test_excels_text_cells_are_text(tmp_path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('Id,Target\n="007",="0 7"\n=sum,"=""16"""\n')
    assert read_csv(path).rows == (("007", "0 7"), ("=sum", "16"))


def test_rows_with_more_cells_than_the_header_are_no_plain_numbers(tmp_path) -> None:
    (tmp_path / "v.csv").write_text("id,a,b\nx,1,2,3\ny,4,5,6\n")  # pandas takes the first cells for row names
    assert read_plain_numbers(tmp_path / "v.csv") is None
    with pytest.raises(UserError, match=r"v\.csv:2: 4 cells where the header has 3"):
        read_csv(tmp_path / "v.csv")


def test_columns_are_counted_once(tmp_path) -> None:
    path = tmp_path / "wide.csv"
    names = [f"f{i}" for i in range(100_000)]
    path.write_text(",".join(["Id", *names]) + "\n" + ",".join(["a", *names]) + "\n")
    began = time.process_time()
    assert len(read_csv(path).header) == 100_001
    assert time.process_time() - began < 20  # comparing each name with each takes minutes
    path.write_text(",".join(["Id", *names, "f7"]) + "\n")
    with pytest.raises(UserError, match="f7"):
        read_csv(path)
