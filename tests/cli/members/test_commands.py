"""The command `members export`."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpa_hier.cli.members import main
from hpa_hier.errors import UserError


def test_weights_of_a_bundled_member_are_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["export", "--run", "pretrained", "--member", "coarse", "--format", "safetensors", "--out"]
    assert main([*words, str(tmp_path / "coarse")]) == 0
    assert f"wrote {tmp_path / 'coarse'}; its README.md says how to use it" in capsys.readouterr().out
    files = sorted(path.name for path in (tmp_path / "coarse").iterdir())
    assert files == ["README.md", "export.json", "member.json", "model.safetensors"]


def test_a_member_that_there_is_not_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"--member leaves: .* has no such member.*; it has coarse, compartment, leaf, leaf-s1"
    ):
        main(["export", "--run", "pretrained", "--member", "leaves", "--out", str(tmp_path / "out")])
