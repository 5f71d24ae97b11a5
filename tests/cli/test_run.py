"""The command run: from a folder and its labels to answers, in one line; stopped, or called again, it goes on."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from image_folders import write_folder

from hpa_hier.cli.run import Way, _list_given, _read_kept, main, parser, read_duration
from hpa_hier.errors import UserError
from hpa_hier.files.faults.folder import UNFINISHED

TREE = """taxonomy: toy
levels: {coarse: 1, leaf: leaves}
tree:
  Inside:
    Dots: {label: dots}
    Rings: {label: rings}
  Outside: {label: out}
"""


@pytest.fixture
def vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return flags of 60 vectors of three places, an own tree, and few steps."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    names = ["dots", "rings", "out"]
    rows = [(f"v{i}", i % 3, rng.normal(size=4) + 2 * np.eye(4)[i % 3]) for i in range(60)]
    Path("my vectors.csv").write_text("id,a,b,c,d\n" + "".join(f"{i},{','.join(map(str, v))}\n" for i, _, v in rows))
    Path("labels.csv").write_text("id,label\n" + "".join(f"{i},{names[k]}\n" for i, k, _ in rows))
    Path("toy.yaml").write_text(TREE)
    Path("one.yaml").write_text(
        "training: {backbone: mlp, max_steps: 5, batch_size: 16}\nmembers:\n  - {name: leaf, level: leaf}\n"
    )
    changes = ["--config", "one.yaml", "--set", "split.folds=0"]
    return ["--vectors", "my vectors.csv", "--labels", "labels.csv", "--taxonomy", "toy.yaml", *changes]


def _run(flags: list[str]) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "hpa_hier", "run", *flags]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=280)


def test_what_a_killed_adapt_left_is_adapted_again(tmp_path: Path) -> None:
    way = Way(tmp_path / "mine", "few_images", (), {"images": "i", "labels": "l.csv"}, {}, {}, 1, 1.0, 1.0)
    (step,) = way.list_adapting()
    assert step.output == tmp_path / "mine-adapted" / "ensemble" / "results.json"
    (tmp_path / "mine-adapted").mkdir()
    (tmp_path / "mine-adapted" / UNFINISHED).touch()
    (step,) = way.list_adapting()
    assert step.output is None


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_one_command_ends_at_answers_and_the_same_again_trains_nothing(vectors: list[str]) -> None:
    first = _run(vectors)
    assert first.returncode == 0, first.stdout + first.stderr
    home = Path("artifacts/my-vectors")
    assert "  classes: 3 of the 3 of 'toy': Dots 20, Rings 20, Outside 20" in first.stdout.splitlines()
    assert (home / "report" / "index.html").is_file()
    assert len((home / "answers" / "predictions.csv").read_text().splitlines()) == 61
    weights = {path: path.stat().st_mtime_ns for path in home.glob("members/*/model.safetensors")}
    assert len(weights) == 1
    again = _run(vectors)
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"will do, in {home} (going on)" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in weights} == weights
    finished = re.findall(r"== step (\d) of 6: [a-z ]+: finished already", again.stdout)
    assert finished == ["3", "4", "5", "6"]
    *_, others = again.stdout.strip().splitlines()
    assert others.endswith("ensemble predict --run my-vectors --vectors new_vectors --out new_answers")
    with pytest.raises(UserError, match=r"was begun with --taxonomy toy\.yaml, now it is not given; name another run"):
        main([flag for flag in vectors if flag not in ("--taxonomy", "toy.yaml")])


def test_every_step_is_a_command_of_its_own_that_is_printed(
    vectors: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*vectors, "--dry-run", "--out", "other/place"]) == 0
    printed = capsys.readouterr().out
    assert "will do, in other/place" in printed
    assert re.search(r"time: (about \d+ min|less than a minute) at most; \d+ network", printed)
    assert not Path("other").exists()
    assert not Path("artifacts").exists()


def test_images_are_described_before_anything_is_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(Path("images"), 24)
    assert main(["--images", "images", "--labels", "labels.csv", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    for told in (
        "found in images and labels.csv",
        "  images: 24 of 32 × 32 pixels",
        "  recipe few_images: fewer than 400 images",
        "give the table a column `antibody`",
        "5 folds to learn from",
        "24 images for 28 classes; none has more than 1 to learn from",
    ):
        assert told in printed


def test_a_plan_is_kept_and_a_time_limit_shortens_it_once(vectors: list[str], tmp_path: Path) -> None:
    done = _run([*vectors, "--set", "training.max_steps=2000000", "--time-limit", "62s"])
    assert done.returncode in (0, 2), done.stdout + done.stderr
    assert re.search(r"to keep the time limit: .*training.max_steps=\d+", done.stdout)
    kept = json.loads((tmp_path / "artifacts" / "my-vectors" / "plan.json").read_text())
    assert any(re.fullmatch(r"training.max_steps=\d{1,6}", change) for change in kept["sets"])


def test_another_setting_than_the_run_was_begun_with_is_refused_but_not_another_number_of_threads(
    vectors: list[str],
) -> None:
    _, asked, _ = _list_given(parser().parse_args(vectors))
    home = Path("artifacts") / "mine"
    Way(home, "one.yaml", (), {}, asked, {}, 1, 1.0, 1.0).keep()
    same = _list_given(parser().parse_args([*vectors, "--threads", "7", "--jobs", "3"]))[1]
    assert _read_kept(home, same) is not None
    for flag, now in (("--set", "training.epochs=2"), ("--config", "two.yaml"), ("--on-problem", "skip")):
        other = _list_given(parser().parse_args([*vectors, flag, now]))[1]
        with pytest.raises(UserError, match=f"mine: was begun with {flag} .*, now it is .*{re.escape(now)}; name"):
            _read_kept(home, other)


def test_what_is_newer_than_all_that_it_is_made_of_is_finished(tmp_path: Path) -> None:
    way = Way(tmp_path, "vectors", (), {"vectors": "v.csv"}, {}, {}, 1, 1.0, 1.0)
    assert [step.output for step in way.list_closing_steps(())] == [None] * 4
    made = ("members/leaf/member.json", "ensemble/ensemble.json", "ensemble/results.json", "report/index.html")
    for age, name in enumerate((*made, "answers/report.html")):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        os.utime(file, (age, age))
    (tmp_path / "answers" / "predictions.csv").touch()  # newer, but written before the page
    assert all(step.output for step in way.list_closing_steps(()))
    os.utime(tmp_path / "answers" / "report.html", (0, 0))
    assert [bool(step.output) for step in way.list_closing_steps(())] == [True, True, True, False]
    os.utime(tmp_path / "members/leaf/member.json", (99, 99))  # trained again
    assert [step.output for step in way.list_closing_steps(())] == [None] * 4


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_few_images_are_trained_on_in_folds_and_the_bundled_ensemble_is_adapted_to_them(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = shared_data / "hpa" / "complete"
    done = _run(["--images", str(folder), "--labels", str(folder / "labels.csv"), "--out", "few"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "recipe few_images" in done.stdout
    assert "log loss, lower is better: artifacts/few " in done.stdout
    *_, others = done.stdout.strip().splitlines()
    new = shlex.split(others.replace("new_images", str(shared_data / "hpa" / "dictionary")))[2:]
    again = subprocess.run([sys.executable, *new], capture_output=True, text=True, check=False, timeout=280)
    assert again.returncode == 0, again.stderr
    assert len(Path("new_answers/predictions.csv").read_text().splitlines()) == 29


@pytest.mark.parametrize("text", ["", "0m", "soon", "-3m", "m"])
def test_a_time_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Exception, match="must be a time such as 30m, 2h or 1h30m, got"):
        read_duration(text)
