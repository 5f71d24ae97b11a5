"""The ways through the house that docs/developers/rooms.md lists are the ones that a value takes."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "hpa_hier"
LONGEST = 8  # files


def listed_ways() -> dict[str, list[str]]:
    """Return the files of each way, in order, by the line that introduces it."""
    section = (
        (ROOT / "docs" / "developers" / "rooms.md")
        .read_text(encoding="utf-8")
        .split("## Three ways")[1]
        .split("\n## ")[0]
    )
    parts = re.split(r"^(An? .*):$", section, flags=re.M)[1:]
    ways = zip(parts[::2], parts[1::2], strict=True)
    return {title: re.findall(r"^\d\. `([^`]+)`", body, flags=re.M) for title, body in ways}


def files_entered(work: Callable[[], object]) -> list[str]:
    """Return the package's files in the order in which calls first enter them, in this and new threads."""
    entered: list[str] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and frame.f_code.co_name != "<module>" and path.is_relative_to(PACKAGE):
            name = path.relative_to(PACKAGE).as_posix()
            if name not in entered:
                entered.append(name)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return entered


def test_no_way_has_more_than_eight_files_or_one_twice() -> None:
    ways = listed_ways()
    assert len(ways) == 3
    for files in ways.values():
        assert 2 < len(files) <= LONGEST
        assert len(set(files)) == len(files)
        assert all((PACKAGE / file).is_file() for file in files)


def predict_an_image(folder: Path) -> Callable[[], object]:
    from hpa_hier import Predictor

    (folder / "images").mkdir()
    for channel in ("red", "green", "blue", "yellow"):
        cv2.imwrite(str(folder / "images" / f"cell_{channel}.png"), np.full((64, 64), 90, np.uint8))
    predictor = Predictor.load("pretrained")
    predictor.scorers  # noqa: B018  loading the members is no part of the way
    return lambda: predictor.predict(folder / "images").to_csv(folder / "out")


def make_targets(folder: Path) -> Callable[[], object]:
    from hpa_hier.runs.run import Run
    from hpa_hier.runs.start import start_run
    from hpa_hier.settings.recipe_file import load_recipe

    sets = (f"artifacts={folder}", "simulate.count=30", "simulate.image_size=32", "simulate.imbalance=0")
    recipe = load_recipe(None, sets)
    opened = Run(start_run(recipe).folder, recipe)
    opened.split, opened.pack  # noqa: B018  reading these is no part of the way
    return lambda: opened.part("train", opened.taxonomy.level("coarse"))


def label_a_score(folder: Path) -> Callable[[], object]:
    from hpa_hier.ensemble.fit import fit
    from hpa_hier.ensemble.scores.scores import Scores, Truth
    from hpa_hier.settings.recipe import EnsembleSettings
    from hpa_hier.taxonomy import Taxonomy

    taxonomy = Taxonomy.load("hpa28")
    rng = np.random.default_rng(0)
    present = taxonomy.close(rng.random((60, len(taxonomy.nodes))) < 0.1)
    ids = tuple(map(str, range(60)))
    scores = Scores("one", ids, taxonomy.nodes, rng.normal(present * 4.0 - 2.0, 1.0))
    settings = EnsembleSettings(calibrate="platt", aggregate="mean", folds=0, bootstrap=0, thresholds="fixed")
    ensemble = fit([scores], Truth(ids, present, np.ones_like(present)), taxonomy, settings)
    return lambda: ensemble.predict([scores])


@pytest.mark.parametrize(
    ("title", "prepare"),
    [
        ("An image to `predictions.csv`", predict_an_image),
        ("A taxonomy to a member's targets", make_targets),
        ("A score to a label", label_a_score),
    ],
)
def test_a_value_takes_the_way_that_is_listed(
    title: str, prepare: Callable[[Path], Callable[[], object]], tmp_path: Path
) -> None:
    listed = listed_ways()[title]
    entered = files_entered(prepare(tmp_path))
    assert [file for file in entered if file in listed] == listed
