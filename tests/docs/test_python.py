"""Python on pages: every block runs, in its order, on a folder as a user has it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from ensemble_run import SmallRun
from pages import PAGES, ROOT, name, python

from hpa_hier.cli.data import main as data
from hpa_hier.cli.settings import main as settings
from hpa_hier.data.split.split import Split, write_split
from hpa_hier.files.shipped import pretrained_folder
from hpa_hier.predict.fit_run import evaluate_run, fit_run
from hpa_hier.settings.recipe import SimulateSettings, SplitSettings
from hpa_hier.settings.recipe_file import recipe_yaml
from hpa_hier.simulate.write import write_folder

SPEAKING = [page for page in PAGES if any(python(page))]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images, a pack of them, and a run under artifacts/mine/ that was fitted and evaluated."""
    folder = tmp_path_factory.mktemp("desk")
    write_folder(folder / "simulated", SimulateSettings(count=3, image_size=80, seed=5))
    (folder / "my_images").mkdir()
    for number, green in enumerate(sorted((folder / "simulated").glob("*_green.png")), start=1):
        for channel in ("red", "green", "blue", "yellow"):
            source = green.with_name(green.name.replace("_green", f"_{channel}"))
            shutil.copy(source, folder / "my_images" / f"cell_{number:04d}_{channel}.png")
    (folder / "new_images").mkdir()
    for file in (folder / "my_images").glob("cell_0001_*.png"):
        shutil.copy(file, folder / "new_images")
    given = ["--images", str(folder / "simulated"), "--labels", str(folder / "simulated" / "labels.csv")]
    data(["pack", *given, "--size", "128", "--out", str(folder / "artifacts" / "my_pack")])
    small = SmallRun(folder)
    ids = small.truth.ids
    split = Split(ids, tuple(small.parts), ("",) * len(ids), (-1,) * len(ids))
    write_split(small.folder / "split.csv", split, SplitSettings())
    (small.folder / "config.yaml").write_text(recipe_yaml(small.recipe))
    fit_run(small.run)
    evaluate_run(small.run)
    small.folder.rename(small.folder.with_name("mine"))
    return folder


@pytest.mark.skipif(pretrained_folder() is None, reason="artifacts/pretrained was not made: benchmarks/pretrained.py")
@pytest.mark.parametrize("page", SPEAKING, ids=name)
def test_every_block_of_a_page_runs(page: Path, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    names: dict[str, object] = {}
    for block in python(page):
        exec(compile("\n" * (block.line - 1) + block.text, str(page), "exec"), names)


def test_the_pages_that_show_python_are_seen() -> None:
    assert {"docs/howto/python.md", "docs/howto/hiclass.md"} <= {name(page) for page in SPEAKING}
    assert sum(1 for page in SPEAKING for _ in python(page)) > 15


def test_the_settings_that_hiclass_users_are_told_of_are_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    settings([])
    printed = capsys.readouterr().out
    page = (ROOT / "docs" / "howto" / "hiclass.md").read_text(encoding="utf-8")
    named = re.findall(r'settings=\{"ensemble\.(\w+)": "(\w+)"\}` is the default', page)
    assert len(named) == 2
    for key, value in named:
        assert re.search(rf"^  {key}: {value}\b", printed, flags=re.M)


@pytest.mark.parametrize("page", [page for page in PAGES if page.is_relative_to(ROOT / "docs")], ids=name)
def test_no_line_of_a_page_is_too_long(page: Path) -> None:
    lines = [line for line in page.read_text(encoding="utf-8").splitlines() if not line.startswith(("|", "  |", "!["))]
    assert [line for line in lines if len(line) > 140] == []
