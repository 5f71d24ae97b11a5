"""Columns of ids, features and places are told apart by what people call them and by what they hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpa_hier.data.vectors.columns import Column, choose_columns, find_kind
from hpa_hier.data.vectors.source import VectorSource
from hpa_hier.errors import UserError


def choose(columns: dict[str, list[str]], wanted: tuple[str, ...] = (), **asked: str) -> tuple[str, list[str]]:
    made = [Column(name, find_kind(cells), tuple(cells)) for name, cells in columns.items()]
    found = choose_columns(VectorSource(Path("v.csv"), **asked), made, range(2, 1000), wanted)
    return made[found.key].name, [made[j].name for j in found.features]


NAMES = [f"s{i}" for i in range(20)]
COUNT = [str(i) for i in range(20)]
NUMBER = [f"{i / 7:.3f}" for i in range(20)]


@pytest.mark.parametrize(
    ("columns", "key", "features"),
    [
        ({"sample": NAMES, "area": NUMBER, "mass": NUMBER}, "sample", ["area", "mass"]),
        ({"": COUNT, "Id": NAMES, "area": NUMBER}, "Id", ["area"]),
        ({"anything": COUNT, "area": NUMBER}, "anything", ["area"]),  # the first column, when none is called so
        ({"image_id": NAMES, "n": COUNT, "area": NUMBER}, "image_id", ["area"]),  # one that counts the rows
        ({"image_id": NAMES, "Metadata_Dose": NUMBER, "Plate": NUMBER, "area": NUMBER}, "image_id", ["area"]),
        ({"ImageNumber": COUNT, "ObjectNumber": COUNT, "Cells_Area": NUMBER}, "ImageNumber", ["Cells_Area"]),
        ({"id": NAMES, "gene": NAMES, "area": NUMBER, "Target": COUNT}, "id", ["area"]),
    ],
)
def test_columns_are_what_people_call_them(columns: dict[str, list[str]], key: str, features: list[str]) -> None:
    assert choose(columns) == (key, features)


def test_a_numbered_series_is_the_vector_where_it_is_most_of_the_numbers() -> None:
    series = {f"emb_{j}": NUMBER for j in range(40)}
    assert choose({"id": NAMES, "age": NUMBER, **series})[1] == list(series)
    assert choose({"id": NAMES, "age": NUMBER, **series}, features="age|emb_1$")[1] == ["age", "emb_1"]
    few = {f"emb_{j}": NUMBER for j in range(10)}
    assert choose({"id": NAMES, "age": NUMBER, **few})[1] == ["age", *few]
    gap = {name: cells for name, cells in series.items() if name != "emb_7"}
    assert choose({"id": NAMES, "age": NUMBER, **gap})[1] == ["age", *gap]
    halves = {f"{stem}{j}": NUMBER for stem in ("dna", "er") for j in range(40)}
    assert choose({"id": NAMES, **halves})[1] == list(halves)


def test_what_members_know_is_a_feature_whatever_it_is_called() -> None:
    columns = {"id": NAMES, "plate": NUMBER, "area": NUMBER, **{f"f{j}": NUMBER for j in range(40)}}
    assert "plate" not in choose(columns)[1]
    assert choose(columns, wanted=("plate", "f3"))[1][0] == "plate"


def test_words_are_refused_where_they_must_be_numbers() -> None:
    mixed = {"id": NAMES, "area": [*NUMBER[:19], "big"]}
    with pytest.raises(UserError, match=r"v\.csv:21: 'big' in the column 'area' is no number"):
        choose(mixed)
    with pytest.raises(UserError, match=r"v\.csv:2: 's0' in the column 'gene' is no number"):
        choose({"id": NAMES, "gene": NAMES, "area": NUMBER}, features="gene")
    with pytest.raises(UserError, match=r"--features zzz: no column of v\.csv begins so; it has 'id', 'area'"):
        choose(mixed, features="zzz")
    with pytest.raises(UserError, match=r"--features \(: not a regular expression"):
        choose(mixed, features="(")
