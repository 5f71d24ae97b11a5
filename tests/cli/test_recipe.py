"""The recipe command: what is shipped is listed, and copied to where it can be edited."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from hpa_hier.cli.recipe import main
from hpa_hier.cli.train import parser as train_parser
from hpa_hier.errors import UserError
from hpa_hier.files.shipped import find_shipped, shipped_names
from hpa_hier.settings.recipe_file import load_recipe


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_shipped_recipe_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    printed = capsys.readouterr().out
    for name in shipped_names():
        if name.startswith("configs/"):
            assert Path(name).stem in printed
    assert "\nfew_images  For 20 to 400 labelled images: networks that start from the bundled ensemble" in printed


def test_a_copy_is_the_same_recipe_and_the_command_after_it_trains_by_it(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["copy", "few_images"]) == 0
    assert (here / "few_images.yaml").read_text() == find_shipped("few_images").read_text()
    assert load_recipe("few_images.yaml") == load_recipe("few_images")
    line = capsys.readouterr().out.splitlines()[-1]
    flags = train_parser().parse_args(shlex.split(line)[3:])
    assert (flags.all, flags.config, flags.run) == (True, "few_images.yaml", "mine")
    assert main(["copy", "choices/rnn", "--out", "my own.yaml"]) == 0
    assert "--config 'my own.yaml'" in capsys.readouterr().out


def test_nothing_is_overwritten(here: Path) -> None:
    (here / "demo.yaml").write_text("mine")
    with pytest.raises(UserError, match=r"demo\.yaml: is there already, and is not overwritten; name another file wi"):
        main(["copy", "demo"])
    assert (here / "demo.yaml").read_text() == "mine"
    with pytest.raises(UserError, match=r"--out \.: a folder; name the file, as in demo\.yaml"):
        main(["copy", "demo", "--out", "."])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("few_imags", r"^few_imags: no such file; did you mean 'few_images'\?$"),
        ("configs/dmeo.yaml", r"^configs/dmeo\.yaml: no such file; did you mean 'configs/demo\.yaml'\?$"),
        ("mien.yaml", r"^mien\.yaml: no such file; did you mean 'mine\.yaml'\?$"),
        (
            "xyz",
            r"^xyz: no such file; check the path, or name a shipped one: default, demo, .*recipe list shows all\)$",
        ),
    ],
)
def test_a_misspelt_recipe_is_answered_with_the_nearest(here: Path, name: str, message: str) -> None:
    (here / "mine.yaml").write_text("run: mine\n")
    with pytest.raises(UserError, match=message):
        main(["copy", name])


def test_a_misspelt_taxonomy_is_answered_with_taxonomies(here: Path) -> None:
    with pytest.raises(UserError, match=r"^hpa82: no such file; did you mean 'hpa28'\?$"):
        find_shipped("hpa82", "hierarchy")
    with pytest.raises(UserError, match=r"^xyz: no such file; check the path, or name a shipped one: hela, .*hpa28"):
        find_shipped("xyz", "hierarchy")
