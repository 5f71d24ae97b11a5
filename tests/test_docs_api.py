"""The page on the Python API is true: its blocks run, in their order, on a folder as a user has it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from ensemble_run import SmallRun

from hpa_hier.data.split.split import Split, write_split
from hpa_hier.files.shipped import pretrained_folder
from hpa_hier.predict.fit_run import evaluate_run, fit_run
from hpa_hier.settings.recipe import SimulateSettings, SplitSettings
from hpa_hier.settings.recipe_file import recipe_yaml
from hpa_hier.simulate.write import write_folder

PAGE = Path(__file__).resolve().parents[1] / "docs" / "api.md"


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with nine images under my_images/, and a run under artifacts/mine/ that was fitted and evaluated."""
    write_folder(tmp_path / "simulated", SimulateSettings(count=9, image_size=80, seed=5))
    (tmp_path / "my_images").mkdir()
    for number, green in enumerate(sorted((tmp_path / "simulated").glob("*_green.png")), start=1):
        for channel in ("red", "green", "blue", "yellow"):
            source = green.with_name(green.name.replace("_green", f"_{channel}"))
            shutil.move(source, tmp_path / "my_images" / f"cell_{number:04d}_{channel}.png")
    small = SmallRun(tmp_path)
    ids = small.truth.ids
    split = Split(ids, tuple(small.parts), ("",) * len(ids), (-1,) * len(ids))
    write_split(small.folder / "split.csv", split, SplitSettings())
    (small.folder / "config.yaml").write_text(recipe_yaml(small.recipe))
    fit_run(small.run)
    evaluate_run(small.run)
    small.folder.rename(small.folder.with_name("mine"))
    return tmp_path


@pytest.mark.skipif(pretrained_folder() is None, reason="artifacts/pretrained was not made: benchmarks/pretrained.py")
def test_every_block_of_the_page_runs(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.S)
    assert len(blocks) > 5
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)


def test_no_line_of_the_page_is_too_long() -> None:
    assert [line for line in PAGE.read_text(encoding="utf-8").splitlines() if len(line) > 120] == []
