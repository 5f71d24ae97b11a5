"""The three tables of predictions: a submission has every image that was asked for, in the order asked for."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from hpa_hier.errors import UserError
from hpa_hier.predict.tables import Rejected, SampleAnswer, open_tables, read_wanted
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


def write(folder: Path, wanted: tuple[str, ...] | None) -> None:
    one, two = (SampleAnswer((), (), "", "", labels) for labels in (("1",), ("1", "2")))
    with open_tables(folder, TREE, wanted) as tables:
        tables.add([("a", one), ("b", two)], ((), ()), ("", ""), np.zeros((2, len(TREE.nodes))))
        tables.reject([Rejected("broken", f"broken_{colour}.png", "0 bytes") for colour in ("red", "green")])


def submission(folder: Path) -> list[list[str]]:
    with (folder / "submission.csv").open(newline="") as handle:
        return list(csv.reader(handle))
