"""Channels: what --channels says, and what may be missing."""

from __future__ import annotations

import pytest
from image_folders import write_sample

from hpa_hier.cli.data import main
from hpa_hier.data.images.channels import check_may_be_missing, cure_missing
from hpa_hier.errors import UserError
from hpa_hier.settings.recipe_file import load_recipe


def test_the_protein_can_never_be_missing():
    check_may_be_missing(["red", "blue", "yellow"])
    with pytest.raises(UserError, match="green is the protein in question: an image without it cannot be answered for"):
        check_may_be_missing(["yellow", "green"])
    with pytest.raises(UserError, match=r"may_be_missing.*green is the protein in question"):
        load_recipe("configs/default.yaml", ["data.may_be_missing=[green]"])


def test_the_flag_refuses_the_protein(tmp_path, capsys):
    write_sample(tmp_path / "images", "a")
    flags = ["--images", str(tmp_path / "images"), "--labels", "no.csv", "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as stopped:
        main(["pack", *flags, "--may-be-missing", "yellow,green"])
    assert stopped.value.code == 2
    assert "argument --may-be-missing: green is the protein in question" in capsys.readouterr().err


def test_what_to_do_about_a_missing_protein_is_never_zeros():
    assert "may-be-missing" not in cure_missing(["red", "green"])
    assert cure_missing(["green"], ["Cy3", "Cy5"]) == (
        "the files also have Cy3, Cy5; green is the protein and is never filled with zeros; "
        "name it, as in --channels green=Cy3"
    )
