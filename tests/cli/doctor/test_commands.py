"""The command `doctor`: what it finds, and how it ends."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from ensemble_run import SmallRun

from hpa_hier.cli.doctor import main
from hpa_hier.predict.fit_run import fit_run


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallRun:
    run = SmallRun(tmp_path)
    monkeypatch.chdir(tmp_path)
    fit_run(run.run)
    return run


def test_a_whole_run_is_found_whole(small: SmallRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick", "--run", "small", "--pack", str(small.pack.path)]) == 0
    printed = capsys.readouterr().out
    assert "WRONG" not in printed
    assert re.search(r"ensemble +whole, 4 members by mean", printed)
    assert "1, all as they were packed" in printed
    assert "numpy" in printed
    assert "files can be written, synced, renamed and locked there" in printed


def test_a_changed_byte_of_a_member_and_of_the_pack_is_found(
    small: SmallRun, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (small.folder / "members" / "leaf" / "scores.npz", small.pack.path / "images-00000.npy"):
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    assert main(["--quick", "--json", "--run", "small"]) == 2
    found = json.loads(capsys.readouterr().out)
    wrong = {one["what"]: one["text"] for one in found["run"] if one["wrong"]}
    assert wrong["member leaf"].endswith("train the member again with --restart")
    assert wrong["pack: images-00000.npy"].startswith("its bytes have changed since it was packed")
    assert len(wrong) == 2


def test_no_such_run_is_told_by_those_there_are(small: SmallRun) -> None:
    with pytest.raises(Exception, match="other: no such run under artifacts and no such folder; runs there: small"):
        main(["--quick", "--run", "other"])
