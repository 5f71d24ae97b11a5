"""Our own CSV tables: the same bytes each time, text as it was, and errors that name the file."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpa_hier.errors import UserError
from hpa_hier.files.tables import read_table, write_table

CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=6) | st.sampled_from(
    ["007", "NA", "nan", "", "1e5", "a,b", '"', "a\nb", "True", " x ", "=1+1", "'=1+1", "-0.5", "'"]
)

FORMULAS = ("=", "+", "-", "@", "\t", "\r")


@given(st.lists(st.tuples(CELLS, CELLS), max_size=5))
def test_any_text_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("table") / "x.csv"
    write_table(path, pd.DataFrame(rows, columns=["Id", "text"], dtype=str))
    found = read_table(path)
    assert [tuple(row) for row in found.itertuples(index=False)] == rows
    written = list(csv.reader(io.StringIO(path.read_bytes().decode()), strict=True))
    assert not [cell for row in written for cell in row if cell[:1] in FORMULAS and not is_number(cell)]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(written)
    assert path.read_bytes().decode() == text.getvalue()


def is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return not cell
    return True


def test_numbers_come_back_exactly_where_their_type_is_named(tmp_path: Path) -> None:
    values = [0.1, 1 / 3, 1e-300, 5e-324, 12345678.9]
    write_table(tmp_path / "x.csv", pd.DataFrame({"epoch": range(5), "loss": values}))
    found = read_table(tmp_path / "x.csv", ["loss"], {"epoch": int, "loss": float})
    assert found["loss"].tolist() == values
    assert found["epoch"].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"x\.csv: no such file"),
        ("", r"x\.csv: not the table expected \(No columns to parse from file\)"),
        ("Id,fold\na,1\n", r"x\.csv: no column 'part'; it has Id, fold"),
        ("Id,part,fold\na,b,c\n", r"x\.csv: not the table expected \(invalid literal for int\(\)"),
        ("Id,part\na,b,c\n", r"x\.csv: not the table expected \(rows have more cells than the header\)"),
        ("Id,part\na,b\na,b,c\n", r"x\.csv: not the table expected \(Error tokenizing data"),
    ],
)
def test_another_file_than_expected_is_a_users_error(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "x.csv"
    if content is not None:
        path.write_text(content)
    types = {"fold": int} if content and "fold" in content else {}
    with pytest.raises(UserError, match=message):
        read_table(path, ["Id", "part"], types)


def test_what_the_machine_refuses_is_no_damage(tmp_path: Path) -> None:
    (tmp_path / "x.csv").mkdir()
    with pytest.raises(UserError, match=r"x\.csv: Is a directory; a folder is in the way of a file"):
        read_table(tmp_path / "x.csv")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_in_a_table_s_place_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "split.csv")
    with pytest.raises(UserError, match=r"split\.csv: is no regular file; run the step that writes it again"):
        read_table(tmp_path / "split.csv")
