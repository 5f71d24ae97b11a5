"""Names: whatever an upload is called, it is put below its folder, or nowhere."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpa_hier.serve.uploads.names import Misnamed, find_place


@settings(max_examples=100)
@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from(["..", ".", "/", "\\", "a.png", "C:", "\0", "con", "x.zarr", " "])).map("".join)
)
def test_no_name_leads_out_of_the_folder(name: str) -> None:
    try:
        place = find_place(name)
    except Misnamed:
        return
    if place is not None:
        assert posixpath.normpath(posixpath.join("/top", *place)).startswith("/top/")
        assert ".." not in place
        assert not any(set(part) & set('/\\\0:*?"<>|\n') or part != part.strip() for part in place)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("/etc/passwd.png", ("etc", "passwd.png")),
        ("..\\..\\windows\\a.tif", ("windows", "a.tif")),
        ("a\0b.png", ("a_b.png",)),
        ("AUX.png", ("_AUX.png",)),
        ("com1/a.png", ("_com1", "a.png")),
        ("plate1/B5 (2)_green.png", ("plate1", "B5 (2)_green.png")),
        ("Zelle_µm_grün.jpg", ("Zelle_µm_grün.jpg",)),
        ("s.zarr/.zattrs", ("s.zarr", ".zattrs")),
        ("s.zarr/0/c/0/0", ("s.zarr", "0", "c", "0", "0")),
        ("cells/simulated.json", ("cells", "simulated.json")),
        (".hidden.png", None),
        ("__MACOSX/a.png", None),
        ("labels.csv", None),
        ("evil.svg", None),
    ],
)
def test_what_the_naming_rules_need_stays(name: str, place: tuple[str, ...] | None) -> None:
    assert find_place(name) == place


@pytest.mark.parametrize("name", ["", "/", "..", "a/" * 30 + "b.png", "x" * 300 + ".png"])
def test_names_under_which_nothing_can_be_kept_are_told(name: str) -> None:
    with pytest.raises(Misnamed, match=r"without a name|folders deep|bytes"):
        find_place(name)
