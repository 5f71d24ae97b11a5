"""The README is true: every command in it runs, in its order, on images as a user has them."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hpa_hier.cli.main import dispatch

ROOT = Path(__file__).resolve().parents[1]

# Training is cut to a few steps of a small network; all else runs as it stands in the README.
SHORT = [
    "--device", "cpu",
    "--set", "training.backbone=small_cnn",
    "--set", "training.pretrained=false",
    "--set", "training.width=8",
    "--set", "training.batch_size=16",
    "--set", "training.max_steps=3",
    "--set", "split.folds=0",
    "--set", "partition.majority_min_images=4",
]  # fmt: skip

# Two members instead of all; what `run` does with few images, and without a recipe, is tested by itself.
RECIPE = "members:\n  - {name: leaf, level: leaf}\n  - {name: coarse, level: coarse}\n"
SMALL = ["--size", "32"]  # pixels, of what is packed
SHORT_RUN = ["--config", "short.yaml", *SMALL, *SHORT, "--set", "report.heat_maps=0"]


def _commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.S)
    return [line.strip() for block in blocks for line in block.splitlines() if line.strip()]


def _run(arguments: list[str], folder: Path) -> str:
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, f"{shlex.join(arguments)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a user has it: images, a label table, new images, and the shipped files beside them."""
    folder = tmp_path_factory.mktemp("desk")
    for name in ("hierarchy", "configs"):
        shutil.copytree(ROOT / name, folder / name)
    draw = ["simulate", "--count", "70", "--size", "64", "--seed", "5", "--imbalance", "0"]
    _run([sys.executable, "-m", "hpa_hier.data", *draw, "--out", "my_images"], folder)
    (folder / "my_images" / "labels.csv").rename(folder / "my_labels.csv")
    (folder / "new_images").mkdir()
    (folder / "short.yaml").write_text(RECIPE)
    first = sorted((folder / "my_images").glob("*_green.png"))[0].name.removesuffix("_green.png")
    for channel in ("red", "green", "blue", "yellow"):
        shutil.copy(folder / "my_images" / f"{first}_{channel}.png", folder / "new_images" / f"cell_0001_{channel}.png")
    return folder


def test_the_two_commands_are_make_targets() -> None:
    targets = [command.split()[1] for command in _commands() if command.startswith("make ")]
    assert targets == ["demo", "test"]
    for target in targets:
        _run(["make", "--dry-run", target], ROOT)


@pytest.mark.timeout(900)
def test_every_command_runs_in_its_order(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    commands = [command for command in _commands() if not command.startswith("make ")]
    assert len(commands) >= 3
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program in ("python", "hpa-hier"), f"not a command that this test can run: {command}"
        words = arguments if program == "hpa-hier" else [arguments[1].removeprefix("hpa_hier."), *arguments[2:]]
        extra = {"train": SHORT, "run": SHORT_RUN}.get(words[0], [])
        extra = ["--tta", "none"] if "adapt" in words else extra
        extra = [*extra, "--no-baseline"] if "--all" in words else SMALL if "pack" in words else extra
        if command == commands[0]:
            _run([sys.executable, "-m", "hpa_hier", *words, *extra], desk)
        else:  # in this process, which has imported torch and Lightning already
            assert dispatch([*words, *extra]) == 0, command
    assert "<html" in (desk / "artifacts/mine/report/index.html").read_text(encoding="utf-8")
    assert (desk / "answers/predictions.csv").read_text(encoding="utf-8").startswith("id,")
    assert (desk / "answers/submission.csv").read_text(encoding="utf-8").startswith("Id,Predicted\ncell_0001,")
