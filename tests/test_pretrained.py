"""The ensemble that comes with the package: small, found without a run, and a start for other trainings."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from hpa_hier.cli.ensemble import main
from hpa_hier.cli.ensemble.commands import parser
from hpa_hier.cli.report import main as report
from hpa_hier.errors import UserError
from hpa_hier.files.shipped import pretrained_folder
from hpa_hier.settings.recipe import SimulateSettings
from hpa_hier.simulate.write import write_folder

FOLDER = pretrained_folder()
pytestmark = pytest.mark.skipif(FOLDER is None, reason="artifacts/pretrained was not made: benchmarks/pretrained.py")


def test_each_member_has_at_most_eight_megabytes_and_all_have_twenty() -> None:
    assert FOLDER is not None
    sizes = [path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()]
    assert max(sizes) <= 8_000_000
    assert sum(sizes) <= 20_000_000
    assert {path.suffix for path in FOLDER.rglob("*")} <= {"", ".json", ".yaml", ".csv", ".md", ".safetensors"}


def test_its_card_says_what_it_saw_and_what_it_must_not_be_used_for() -> None:
    assert FOLDER is not None
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    for words in ("Simulated cells only", "## How good is it on real images?", "## What must it not be used for?"):
        assert words in card


def test_where_no_run_is_finished_it_predicts_without_yellow_and_says_what_it_learned_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "images", SimulateSettings(count=3, image_size=64, seed=5))
    for yellow in (tmp_path / "images").glob("*_yellow.png"):
        yellow.unlink()
    assert main(["predict", "--images", "images", "--out", "out", "--device", "cpu"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "no run here has an ensemble: using the bundled one"
    assert printed[1] == "caution: the networks learned from simulated cells only; do not rely on the answers"
    assert len((tmp_path / "out" / "predictions.csv").read_text().splitlines()) == 4


def test_it_can_be_named_as_a_run_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "images", SimulateSettings(count=1, image_size=64, seed=5))
    assert main(["predict", "--run", "pretrained", "--images", "images", "--out", "out", "--device", "cpu"]) == 0


def test_it_has_no_test_part_of_its_own_and_says_how_it_is_tested() -> None:
    for typed in (["evaluate", "--run", "pretrained"], ["--run", "pretrained"]):
        with pytest.raises(
            UserError, match="no scores of a test part came with it; test it on labelled images"
        ) as told:
            (main if typed[0] == "evaluate" else report)(typed)
        printed = str(told.value).rpartition(": ")[2]
        assert printed == "python -m hpa_hier.ensemble evaluate --run pretrained --images DIR --labels CSV --report"
        assert parser().parse_args(shlex.split(printed)[3:]).report


def test_weights_and_the_shipped_start_exclude_each_other() -> None:
    from hpa_hier.cli.train import main as train

    with pytest.raises(UserError, match="--init pretrained and --weights both initialise the backbone"):
        train(["--level", "leaf", "--init", "pretrained", "--weights", "x.safetensors"])
