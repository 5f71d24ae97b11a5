"""The way of few images: its page's commands run in order, on RGB images without a fourth channel."""

from __future__ import annotations

import shutil
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pytest
from pages import commands
from parsers import command_words

from hpa_hier.files.atomic import read_json
from hpa_hier.files.shipped import pretrained_folder
from hpa_hier.runs.run import Run
from hpa_hier.settings.recipe import SimulateSettings
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.simulate.write import write_folder

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "howto" / "few_images.md"
# One step of two networks on small images; all else runs as it stands on the page.
MEMBERS = "[{name: coarse, level: coarse}, {name: leaf, level: leaf}]"
TRAINING = {
    "members": MEMBERS,
    "ensemble.members": "[coarse, leaf]",
    "ensemble.baseline": "[leaf]",
    "training.epochs": 1,
}
SHORT = {
    "data": ["--size", "32"],
    "train": ["--jobs", "2", "--device", "cpu", *(f"--set={key}={value}" for key, value in TRAINING.items())],
    "report": ["--set=report.gallery=3"],
}


def write_rgb(folder: Path, count: int) -> None:
    """Draw cells and keep their red, green and blue as one file each, with a label table beside the folder."""
    write_folder(folder / "drawn", SimulateSettings(count=count, image_size=32, seed=4))
    (folder / "my_images").mkdir()
    for green in sorted((folder / "drawn").glob("*_green.png")):
        name = green.name.removesuffix("_green.png")
        planes = [
            cv2.imread(str(green.with_name(f"{name}_{c}.png")), cv2.IMREAD_GRAYSCALE) for c in ("blue", "green", "red")
        ]
        cv2.imwrite(str(folder / "my_images" / f"{name}.png"), np.dstack(planes))
    (folder / "drawn" / "labels.csv").rename(folder / "my_labels.csv")
    for name in ("new_images", "other_images"):
        (folder / name).symlink_to(folder / "my_images")
    shutil.copy(folder / "my_labels.csv", folder / "other_labels.csv")


def test_the_recipe_starts_from_the_bundled_networks_has_folds_and_no_partition() -> None:
    recipe = load_recipe("few_images")
    assert (recipe.training.init, recipe.split.folds, recipe.training.folds) == ("pretrained", 5, 5)
    assert not [member for member in recipe.listed if member.partition]
    assert len(recipe.ensemble.members) == len(recipe.ensemble.baseline)
    assert {*recipe.ensemble.members, *recipe.ensemble.baseline} == {member.name for member in recipe.listed}


@pytest.mark.skipif(pretrained_folder() is None, reason="made by benchmarks/pretrained.py, and absent here")
@pytest.mark.timeout(300)
def test_every_command_of_its_page_runs_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rgb(tmp_path, 30)
    monkeypatch.chdir(tmp_path)
    typed = [command_words(words) for _, words in commands(PAGE)]
    assert len(typed) >= 6
    for words in typed:
        assert words
        assert not import_module(f"hpa_hier.cli.{words[0]}").main([*words[1:], *SHORT.get(words[0], [])]), words
    printed = capsys.readouterr()
    assert "30 images for 28 classes; " in printed.out
    assert "  what helps: merging classes in the taxonomy; more images" in printed.err  # the recipe does the rest
    run = Run.open("mine")
    assert [record.manifest.folds for record in run.members] == [5, 5]
    assert [record.manifest.width for record in run.members] == [16, 16]
    assert run.ensemble.about["samples"] == len(run.split.part_ids("train") + run.split.part_ids("calibration"))
    assert read_json(run.folder / "partition.json")["left_out"].startswith("30 images: a majority class would have")
    assert len((tmp_path / "answers" / "predictions.csv").read_text().splitlines()) == 31
    assert "<html" in (run.folder / "report" / "index.html").read_text(encoding="utf-8")
