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
from hpa_hier.data.split.split import Split, write_split
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_json, sha256, write_json
from hpa_hier.files.faults.leftovers import name_before, name_temporary
from hpa_hier.predict.fit_run import fit_run
from hpa_hier.settings.recipe import SplitSettings


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallRun:
    run = SmallRun(tmp_path)
    monkeypatch.chdir(tmp_path)
    split = Split(run.truth.ids, tuple(run.parts.tolist()), ("",) * 90, (-1,) * 90)
    write_split(run.folder / "split.csv", split, SplitSettings())
    write_json(run.folder / "run.json", read_json(run.folder / "run.json") | {"split_digest": split.digest})
    sides = {"majority": [], "minority": [], "counts": {}, "min_images": 1, "left_out": "few"}
    write_json(run.folder / "partition.json", sides)
    fit_run(run.run)
    return run


def test_a_whole_run_is_found_whole(small: SmallRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick", "--run", "small", "--pack", str(small.pack.path)]) == 0
    printed = capsys.readouterr().out
    assert "WRONG" not in printed
    assert re.search(r"ensemble +whole, 4 members by mean", printed)
    assert "1, all as they were packed" in printed
    assert "numpy" in printed
    assert "mypy" not in printed
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


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("other", "^other: no such run under artifacts and no such folder; runs there: small$"),
        ("", "^artifacts: is no run, as it holds no members, ensemble, run.json; runs under artifacts: small$"),
    ],
)
def test_no_such_run_is_refused_before_anything_is_tried(
    small: SmallRun, capsys: pytest.CaptureFixture[str], name: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        main(["--run", name])
    assert not capsys.readouterr().out


def test_what_comes_without_its_scores_is_whole(small: SmallRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick", "--run", "pretrained"]) == 0
    assert re.search(r"member leaf +whole, 4 files; without scores.npz, which only fitting", capsys.readouterr().out)


def test_a_damaged_member_that_came_with_the_package_is_installed_again(
    small: SmallRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpa_hier.runs.manifest.pretrained_folder", lambda: small.folder)
    path = small.folder / "members" / "leaf" / "taxonomy.yaml"
    path.write_text(path.read_text() + "# more\n")
    texts = [one.text for one in module.check_run("small") if one.wrong]
    what = "does not match the checksum in member.json; it came with hpa_hier, so install that again"
    assert texts == [f"{path.relative_to(small.home)}: {what}"]


def test_a_file_that_others_go_with_is_missed(small: SmallRun) -> None:
    def look() -> dict[str, tuple[str, bool]]:
        return {one.what: (one.text, one.wrong) for one in module.check_run("small")}

    trained, fit = (
        "missing; the training command, typed again, writes it again",
        "python -m hpa_hier.ensemble fit --run small",
    )
    for gone, what, text in (
        ("run.json", "run.json", trained),
        ("split.csv", "split.csv", trained),
        ("partition.json", "partition.json", trained),
        ("ensemble/ensemble.json", "ensemble", f"missing; run: {fit}"),
        ("ensemble/taxonomy.yaml", "ensemble", f"missing, and needed by ensemble.json; fit it again: {fit}"),
        ("members/leaf/scores.npz", "member leaf", "missing; train the member again with --restart"),
    ):
        path = small.folder / gone
        kept = path.read_bytes()
        path.unlink()
        assert look()[what] == (f"{path.relative_to(small.home)}: {text}", True)
        path.mkdir()  # what is in its place is none
        assert look()[what][1]
        path.rmdir()
        path.write_bytes(kept)
    assert not [text for text, wrong in look().values() if wrong]


def test_an_exported_folder_is_compared_with_what_was_exported(
    small: SmallRun, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (small.folder / "split.csv", small.folder / "split.json", small.folder / "partition.json"):
        path.unlink()
    for member in small.folder.glob("members/*"):
        (member / "scores.npz").unlink()
        (member / "network.onnx").write_bytes(b"a network")
    facts = read_json(small.folder / "run.json") | {"pack": "", "pack_digest": "", "split_digest": ""}
    write_json(small.folder / "run.json", facts)
    files = [path for path in small.folder.rglob("*") if path.is_file()]
    sums = {path.relative_to(small.folder).as_posix(): sha256(path) for path in files}
    write_json(small.folder / "export.json", {"files": sums})
    found = find(capsys)
    assert not [text for text, wrong in found.values() if wrong]
    assert found["export.json"][0] == f"{len(files)} files, all as they were exported"
    assert found["member leaf"][0] == "whole, 1 file"
    (small.folder / "members" / "leaf" / "network.onnx").write_bytes(b"another")
    assert find(capsys)["exported members/leaf/network.onnx"] == (
        "is not what was exported; export it again from the run that it is of",
        True,
    )
    write_json(small.folder / "export.json", {"files": 3})
    assert find(capsys)["export.json"][1]


def test_a_folder_that_cannot_be_written_to_is_wrong(small: SmallRun, capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").touch()
    Path("link").symlink_to("nowhere")
    for name in ("file/below", "link"):
        assert main(["--quick", "--folder", name]) == 2
        printed = capsys.readouterr().out
        assert f"WRONG: {small.home / name.split('/')[0]}: is no folder; move it, or name another place" in printed
        assert printed.endswith("1 line says WRONG, with what helps\n")
    assert main(["--quick", "--folder", "not/yet"]) == 0
    assert f"not/yet (not there yet, so {small.home})" in capsys.readouterr().out


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
