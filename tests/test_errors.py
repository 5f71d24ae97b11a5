"""A user's mistake and its lines."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from hpa_hier.data.labels.problems import Problem, stop_at_problems
from hpa_hier.errors import UserError
from hpa_hier.files.text_file import read_text
from hpa_hier.settings.recipe_file import load_recipe


def test_a_line_end_in_what_a_user_gave_makes_no_second_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^--set training=a: 1\\nb: \[: value:2: not valid YAML"):
        load_recipe(None, ["training=a: 1\nb: ["])
    with pytest.raises(UserError, match=r"/a\\nerror: b\.yaml: no such file; check the path$"):
        read_text(tmp_path / "a\nerror: b.yaml", "YAML", 1)


def test_the_lines_of_an_error_stay_apart_also_in_another_process() -> None:
    with pytest.raises(UserError) as caught:
        stop_at_problems("l.csv", [Problem("unknown label", ("x\ny (line 4)",))], "correct it")
    assert str(caught.value) == "l.csv: 1 problem; correct it\n  unknown label (1): x\\ny (line 4)"
    assert str(copy.copy(caught.value)) == str(
        caught.value
    )  # made anew from its parts, as what another process sends is
