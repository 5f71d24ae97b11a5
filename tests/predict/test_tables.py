"""The three tables of predictions: a submission has every image that was asked for, in the order asked for."""

from __future__ import annotations

import csv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from hpa_hier.errors import UserError
from hpa_hier.files.csv_file import read_csv
from hpa_hier.files.lock import lock_folder
from hpa_hier.predict import tables as module
from hpa_hier.predict.formats.rows import COLUMNS, Rows
from hpa_hier.predict.tables import Rejected, check_free, open_tables, read_wanted
from hpa_hier.taxonomy import Taxonomy

TREE = Taxonomy.from_text("{taxonomy: t, levels: {leaf: leaves}, tree: {A: {B: {label: 1}, C: {label: 2}}}}")


def test_an_image_that_could_not_be_read_has_an_empty_row_of_the_submission(tmp_path: Path) -> None:
    write(tmp_path, None)
    assert submission(tmp_path) == [["Id", "Predicted"], ["a", "1"], ["b", "1 2"], ["broken", ""]]
    rejected = (tmp_path / "rejected.csv").read_text().splitlines()
    assert rejected[1:] == ["broken,broken_red.png,0 bytes", "broken,broken_green.png,0 bytes"]


def test_a_submission_has_the_rows_that_are_wanted_in_their_order(tmp_path: Path) -> None:
    sample = tmp_path / "sample_submission.csv"
    sample.write_text("Id,Predicted\nbroken,0\nb.png,0\nelsewhere,0\na,0\n")
    write(tmp_path, read_wanted(sample))
    assert submission(tmp_path)[1:] == [["broken", ""], ["b", "1 2"], ["elsewhere", ""], ["a", "1"]]


@pytest.mark.parametrize(("text", "what"), [("Id,Predicted\n", "no rows"), ("Id,P\na,0\na,0\n", "'a' appears twice")])
def test_a_sample_submission_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "sample.csv").write_text(text)
    with pytest.raises(UserError, match=rf"^--sample-submission .*{what}.*; give a file with one row an image"):
        read_wanted(tmp_path / "sample.csv")


def test_a_missing_sample_submission_is_named_by_its_flag(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^--sample-submission .*gone\.csv: no such file"):
        read_wanted(tmp_path / "gone.csv")


def test_letters_beyond_ascii_open_rightly_in_excel_and_other_tables_have_no_mark(tmp_path: Path) -> None:
    for name, folder in (("Zelle_µm", tmp_path / "other"), ("cell", tmp_path / "plain")):
        with open_tables(folder, TREE) as tables:
            tables.add(make_rows(name))
        content = (folder / "predictions.csv").read_bytes()
        assert content.startswith(b"\xef\xbb\xbf") == (name != "cell")
        assert read_csv(folder / "predictions.csv").header == COLUMNS
        assert (folder / "probabilities.csv").read_bytes().startswith(b"id,A,B,C\n")


def test_a_cell_that_a_spreadsheet_would_run_is_made_text_in_both_tables(tmp_path: Path) -> None:
    with open_tables(tmp_path, TREE) as tables:
        tables.add(make_rows("=1+1"))
    for name in ("predictions", "probabilities"):
        assert (tmp_path / f"{name}.csv").read_text().splitlines()[1].startswith("'=1+1,")


def test_tables_of_any_format_are_not_replaced_unasked_and_leave_no_older_one_beside_them(tmp_path: Path) -> None:
    (tmp_path / "probabilities.h5ad").write_text("of before")
    with pytest.raises(UserError, match=r"probabilities\.h5ad: exists already"):
        check_free(tmp_path, overwrite=False)
    check_free(tmp_path, overwrite=True)
    write(tmp_path, None)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("predictions.csv", "probabilities.csv", "rejected.csv", "submission.csv"),
    ]


def write(folder: Path, wanted: tuple[str, ...] | None) -> None:
    with open_tables(folder, TREE, wanted) as tables:
        tables.add(make_rows("a", "b"))
        tables.reject([Rejected("broken", f"broken_{colour}.png", "0 bytes") for colour in ("red", "green")])


def make_rows(*ids: str) -> Rows:
    columns = {name: [0.5 if name.startswith("prob_") else name] * len(ids) for name in COLUMNS}
    submitted = tuple("1 2" if sample == "b" else "1" for sample in ids)
    return Rows(columns | {"id": ids}, submitted, np.linspace(0, 1, 3 * len(ids)).reshape(len(ids), 3))


def submission(folder: Path) -> list[list[str]]:
    with (folder / "submission.csv").open(newline="") as handle:
        return list(csv.reader(handle))


def test_two_predictions_write_their_tables_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    with lock_folder(tmp_path, "writing tables into"):
        with (
            pytest.raises(UserError, match=r"another process is writing tables into this folder; wait for it"),
            open_tables(tmp_path, TREE),
        ):
            pass
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    with open_tables(tmp_path, TREE) as tables:
        tables.add(make_rows("a"))
        with (
            pytest.raises(UserError, match=r"another process is"),
            ThreadPoolExecutor(1) as other,
        ):
            other.submit(write, tmp_path, None).result()
    assert [row[0] for row in submission(tmp_path)] == ["Id", "a"]
    assert not (tmp_path / ".lock").exists()


def test_tables_that_another_process_wrote_meanwhile_stay(tmp_path: Path) -> None:
    write(tmp_path, None)
    before = (tmp_path / "predictions.csv").read_bytes()
    with (
        pytest.raises(UserError, match=r"predictions.csv: exists already; name another folder with --out, or replace"),
        open_tables(tmp_path, TREE, overwrite=False) as tables,
    ):
        tables.add(make_rows("z"))
    assert (tmp_path / "predictions.csv").read_bytes() == before


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r"])
def test_no_id_of_a_submission_is_a_formula_but_one_that_the_competition_has(tmp_path: Path, sign: str) -> None:
    answered, rejected = f"{sign}A1", f"{sign}A2"

    def write_odd(wanted: tuple[str, ...] | None) -> list[list[str]]:
        with open_tables(tmp_path, TREE, wanted) as tables:
            tables.add(make_rows(answered, "b"))
            tables.reject([Rejected(rejected, f"{rejected}.png", "0 bytes")])
        return submission(tmp_path)[1:]

    inert = "\\r" if sign == "\r" else f"'{sign}"
    assert write_odd(None) == [[f"{inert}A1", "1"], ["b", "1 2"], [f"{inert}A2", ""]]
    if sign != "\r":  # which no table's id has
        assert write_odd(("b", answered, rejected)) == [["b", "1 2"], [answered, "1"], [rejected, ""]]
    for table in tmp_path.glob("*.csv"):
        for row in csv.reader(table.open(newline="")):
            if table.name != "submission.csv":
                assert not [cell for cell in row if cell.startswith(sign)]
