"""The command `ensemble export`: what is wrong is said before anything is computed."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpa_hier.cli.ensemble import main, parser
from hpa_hier.errors import UserError


def test_a_folder_that_is_there_is_refused_before_networks_are_loaded(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is there already, and was not exported; name another folder with --out"):
        main(["export", "--run", "pretrained", "--out", str(tmp_path)])


def test_the_folder_has_to_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["export", "--run", "pretrained"])
    assert "the following arguments are required: --out" in capsys.readouterr().err
