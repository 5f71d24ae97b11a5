"""The command `doctor`: what it finds, and how it ends."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ensemble_run import SmallRun

from hpa_hier.cli.doctor import main
from hpa_hier.cli.doctor import whole as module
from hpa_hier.files.faults.leftovers import name_before, name_temporary
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


def find(capsys: pytest.CaptureFixture[str]) -> dict[str, tuple[str, bool]]:
    main(["--quick", "--json", "--run", "small"])
    return {one["what"]: (one["text"], one["wrong"]) for one in json.loads(capsys.readouterr().out)["run"]}


def test_a_damaged_pack_of_a_run_is_wrong_and_one_that_is_elsewhere_is_not(
    small: SmallRun, capsys: pytest.CaptureFixture[str]
) -> None:
    file = small.pack.path / "pack.json"
    file.write_text(file.read_text().replace("5", "6", 1))
    assert main(["--quick", "--run", "small"]) == 2
    capsys.readouterr()
    text, wrong = find(capsys)["pack: pack.json"]
    assert wrong
    assert "was changed after it was written" in text
    file.unlink()
    text, wrong = find(capsys)["pack: pack.json"]
    assert wrong
    assert "no finished pack" in text
    shutil.rmtree(small.pack.path)
    text, wrong = find(capsys)["pack"]
    assert not wrong
    assert text.endswith("is not here; it may be on another machine")
    assert main(["--quick", "--run", "small"]) == 0


def test_what_killed_commands_left_is_told_and_what_others_are_writing_is_not(
    small: SmallRun, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()

    def leave(path: Path, process: int) -> Path:
        left = path.with_name(path.name.replace(f".{os.getpid()}-", f".{process}-"))
        left.write_bytes(bytes(1 << 20))
        return left

    def journal(name: str, waiting: Path) -> None:
        (small.folder / name).write_text(json.dumps({"ready": {"x.json": waiting.name}, "removed": []}))

    alive = leave(name_temporary(small.folder / "alive.json"), os.getppid())
    journal(".ensemble.replacing.json", alive)
    assert not {"left over", "half replaced", "put aside"} & find(capsys).keys()
    left = leave(name_temporary(small.folder / "split.csv"), dead.pid)
    aside = leave(name_before(small.folder / "members"), dead.pid)
    journal(".split.replacing.json", left)
    found = find(capsys)
    assert found["left over"][0].startswith("1 file of 1.0 MB of commands that were killed")
    assert found["put aside"][0].startswith("1 folder of 1.0 MB, when commands that were killed replaced them")
    assert found["half replaced"][0].startswith("artifacts/small: a command was killed there")
    measure = module._measure

    def vanish(path: Path) -> int:
        path.unlink()
        return measure(path)

    monkeypatch.setattr(module, "_measure", vanish)
    assert not {"left over", "put aside"} & find(capsys).keys()
    assert not aside.exists()
