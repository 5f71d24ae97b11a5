"""ARFF files are read as they come, and what cannot be read is refused with its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hmc_data.arff import Arff, read_arff

from hpa_hier.errors import UserError

HEAD = """% a comment
@relation 'some set'

@attribute width numeric
@ATTRIBUTE 'odd name/, it''s' REAL
@Attribute chip {A,B,'A-D'}
@ATTRIBUTE class hierarchical 01,01/02,02
@DATA
"""


def read(tmp_path: Path, text: str) -> Arff:
    path = tmp_path / "set.arff"
    path.write_text(text, encoding="utf-8")
    return read_arff(path)


def head() -> str:
    return HEAD.replace("'odd name/, it''s'", "'odd name/, it\\'s'")


def test_numbers_nominal_values_and_classes_are_read(tmp_path: Path) -> None:
    found = read(tmp_path, head() + "1.5,-2e3,A-D,01/02@02\n\n% between\n0,1,A, 01 \n")
    assert found.features == ("width", "odd name/, it's", "chip=A", "chip=B", "chip=A-D")
    np.testing.assert_array_equal(found.values, np.array([[1.5, -2000, 0, 0, 1], [0, 1, 1, 0, 0]], np.float32))
    assert found.classes == ("01", "01/02", "02")
    assert found.annotations == (("01/02", "02"), ("01",))
    assert found.lines == (9, 12)


def test_a_missing_value_is_nan_in_all_columns_of_its_attribute(tmp_path: Path) -> None:
    found = read(tmp_path, head() + "?,1,?,01\n")
    np.testing.assert_array_equal(np.isnan(found.values), [[True, False, True, True, True]])


def test_a_sparse_row_names_only_what_is_not_zero_or_the_first_value(tmp_path: Path) -> None:
    found = read(tmp_path, head() + "{1 4, 3 01@02}\n{2 'A-D', 3 02}\n")
    np.testing.assert_array_equal(found.values, np.array([[0, 4, 1, 0, 0], [0, 0, 0, 0, 1]], np.float32))
    assert found.annotations == (("01", "02"), ("02",))


@pytest.mark.parametrize(
    ("row", "value"),
    [
        ("{1\t4,2\tB,3\t01}", "chip=B"),
        ("{1  4 , 2   'A, D' , 3  01 }", "chip=A, D"),
        ("{1 4, 2 it's, 3 01}", "chip=it's"),
    ],
)
def test_sparse_values_may_be_quoted_with_commas_and_follow_tabs(tmp_path: Path, row: str, value: str) -> None:
    found = read(tmp_path, head().replace("{A,B,'A-D'}", "{A,B,'A, D',it's}") + row + "\n")
    assert [found.features[j] for j in np.flatnonzero(found.values[0])] == ["odd name/, it's", value]
    assert found.annotations == (("01",),)


def test_comments_behind_types_are_left_out(tmp_path: Path) -> None:
    text = head().replace("numeric", "numeric % pixels").replace("{A,B,'A-D'}", "{A,B,'A %D'} %{low, middle, high}")
    found = read(tmp_path, text.replace("01,01/02,02", "01,01/02,02 % FunCat") + "1,2,'A %D',02\n")
    assert found.features == ("width", "odd name/, it's", "chip=A", "chip=B", "chip=A %D")
    assert found.classes == ("01", "01/02", "02")
    np.testing.assert_array_equal(found.values, np.array([[1, 2, 0, 0, 1]], np.float32))


def test_windows_line_ends_a_byte_order_mark_and_tabs_change_nothing(tmp_path: Path) -> None:
    plain = read(tmp_path, head() + "1,2,B,01\n")
    path = tmp_path / "other.arff"
    text = (head() + "1,2,B,01\n").replace("width numeric", "width\tnumeric").replace("\n", "\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    other = read_arff(path)
    assert other.features == plain.features
    np.testing.assert_array_equal(other.values, plain.values)


def test_comments_behind_rows_are_no_part_of_the_classes(tmp_path: Path) -> None:
    found = read(tmp_path, head() + "1,2,A,01 % the first\n{0 1, 3 02}\t% sparse\n1,2,A,01/02% no comment\n")
    assert found.annotations == (("01",), ("02",), ("01/02% no comment",))


@pytest.mark.parametrize(
    ("row", "attributes"),
    [
        ("1,2,A,01,", "{A,B,'A-D'}"),
        ("1\t2\tA\t01", "{A,B,'A-D'}"),
        ("1,2,A,01", "{A,\u0085B,'A-D'}"),
    ],
    ids=["a comma at the end", "tabs", "a line end of another alphabet in a value"],
)
def test_rows_are_read_as_other_programs_write_them(tmp_path: Path, row: str, attributes: str) -> None:
    found = read(tmp_path, head().replace("{A,B,'A-D'}", attributes) + row + "\n")
    np.testing.assert_array_equal(found.values, np.array([[1, 2, 1, 0, 0]], np.float32))
    assert found.annotations == (("01",),)


def test_values_may_follow_a_name_at_once(tmp_path: Path) -> None:
    assert read(tmp_path, head().replace("chip {", "chip{") + "1,2,A,01\n").features[2:] == (
        "chip=A",
        "chip=B",
        "chip=A-D",
    )


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1,2,A,01,{2}", "set.arff:9: a weight {2} behind the row; weights are not used, so remove it"),
        ("{0 1, 0 2, 3 01}", "set.arff:9: attribute 0 has two values in one row; remove one"),
        ("1,2,A", "set.arff:9: 3 values where the header has 4 attributes"),
        ("x,2,A,01", "set.arff:9: 'x' is not a number, which 'width' needs; a missing value is `?`"),
        ("inf,2,A,01", "set.arff:9: 'width' is inf; values must be finite, and a missing one is `?`"),
        ("1,2,C,01", "set.arff:9: 'C' is none of the values of 'chip'"),
        ("1,2,A,", "set.arff:9: a sample without a class; remove the row, or annotate it with the root"),
        ("1,2,A,?", "set.arff:9: a sample without a class; remove the row, or annotate it with the root"),
        ("{9 1}", "set.arff:9: '9' is not an attribute's number; they run from 0 to 3"),
        ("{0 1", "set.arff:9: a sparse row that is not closed by a brace"),
        ("", "set.arff: there is no sample below @DATA"),
    ],
)
def test_a_bad_row_is_refused_with_its_line(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        read(tmp_path, head() + row + "\n")
    assert str(caught.value).startswith(f"{tmp_path}/{message}")


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("@DATA", "", "set.arff:9: '1,2,A,01' is not ARFF; a header holds @RELATION and @ATTRIBUTE lines"),
        ("hierarchical 01,01/02,02", "numeric", "set.arff: 0 attributes are `hierarchical`; exactly one must"),
        ("hierarchical 01,01/02,02", "hierarchical", "set.arff:7: the hierarchical attribute 'class' lists no class"),
        (
            "@ATTRIBUTE 'odd",
            "@attribute width real\n@ATTRIBUTE 'odd",
            "set.arff:5: a second attribute called 'width'; rename",
        ),
        ("width numeric", "width date", "set.arff:4: attribute 'width' is of type 'date'; numeric, nominal"),
        ("width numeric", "width", "set.arff:4: '@attribute width' lacks a name or a type"),
        ("@relation", "id,name", "set.arff:2: \"id,name 'some set'\" is not ARFF"),
        ("{A,B,'A-D'}", "{A,B", "set.arff:6: the values of 'chip' are not closed by a brace"),
    ],
)
def test_a_bad_header_is_refused(tmp_path: Path, before: str, after: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        read(tmp_path, head().replace(before, after) + "1,2,A,01\n")
    assert str(caught.value).startswith(f"{tmp_path}/{message}")


def test_a_header_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"set\.arff: no @DATA line; an ARFF file has one between its header and"):
        read(tmp_path, head().replace("@DATA", ""))


def test_a_file_that_is_absent_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.arff: no such file"):
        read_arff(tmp_path / "absent.arff")
    (tmp_path / "picture.arff").write_bytes(b"@relation \xff\xfe")
    with pytest.raises(UserError, match=r"picture\.arff: byte 10 is not UTF-8 text"):
        read_arff(tmp_path / "picture.arff")
