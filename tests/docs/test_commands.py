"""Commands on pages: each is one that the real parser takes, flags and settings in the text exist, and pages run.

A page's `sh` blocks run in their order on a desk with the files that pages speak of; what is not run is named below,
with the reason. Trainings are cut to a few steps of a small network.
"""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from desk import make_desk, run_shortened
from pages import PAGES, ROOT, blocks, commands, name
from parsers import FLAGS, SETTINGS, command_words, parse, setting_key

NOT_RUN = {  # a word of the command → why it is not run
    "make": "a target of the Makefile; tests/test_readme.py looks at it",
    "serve": "answers until it is stopped; tests/serve drives it",
    "data.image_size=448": "for SubCell, at a size that takes minutes",
    "dask://127.0.0.1:8786": "needs a scheduler; test_cluster.py starts one",
    "ray": "starts Ray; test_cluster.py has it",
    "slurm": "needs SLURM; test_cluster.py starts it",
    "all_channels_ViT-ProtS-Pool.pth": "349 MB that are not here; tests/models has the network",
}
TWICE = {"docs/howto/few_images.md", "README.md"}  # pages that a faster test runs from beginning to end
SHELL = [page for page in PAGES if any(block.language == "sh" for block in blocks(page))]
PROSE = [page for page in PAGES if name(page).startswith(("docs/", "README"))]
OTHER_FLAGS = {"--force-reinstall", "--no-deps"}  # pip's
BLOCKS = ("data", "simulate", "split", "partition", "training", "ensemble", "report", "members")
NAMED = re.compile(rf"(?<![\w./-])(?:{'|'.join(BLOCKS)})(?:\.[a-z_]\w*)+(?![\w/(])", flags=re.I)
FILES = ("json", "html", "csv", "md", "py", "yaml", "npz", "svg", "safetensors", "ckpt", "main")


def test_every_command_of_every_block_is_parsed() -> None:
    found = 0
    for page in PAGES:
        for block in blocks(page):
            for line in block.text.replace("\\\n", " ").splitlines():
                if not re.match(r"\s*(\$ )?(hpa-hier|python3? -m hpa_hier)\b", line) or "…" in line:
                    continue
                words = command_words(
                    shlex.split(line.replace("[", "").replace("]", "").replace("$ ", ""), comments=True)
                )
                assert words, block.place
                try:
                    parse(words)
                except SystemExit:
                    pytest.fail(f"{block.place}: {line.strip()}")
                found += 1
    assert found > 60


@pytest.mark.parametrize("page", PROSE, ids=name)
def test_flags_and_settings_that_the_text_names_exist(page: Path) -> None:
    known = set().union(*FLAGS.values()) | OTHER_FLAGS
    for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", page.read_text(encoding="utf-8")):
        script = re.search(r"\bbenchmarks/\w+\.py\b", span)
        flags = re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]", span)
        if script:
            text = (ROOT / script[0]).read_text(encoding="utf-8")
            assert [flag for flag in flags if f'"{flag}"' not in text] == [], f"{name(page)}: `{span}`"
        elif not span.startswith(("pip ", "python process")):
            assert [flag for flag in flags if flag not in known] == [], f"{name(page)}: `{span}`"
        for key in NAMED.findall(span):
            if key.rpartition(".")[2] not in FILES:
                key = setting_key(key)
                is_block = any(one.startswith(f"{key}.") for one in SETTINGS)
                assert key in SETTINGS or is_block, f"{name(page)}: `{span}` names no setting"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that pages speak of, an ensemble of its images too."""
    folder = tmp_path_factory.mktemp("desk")
    make_desk(folder)
    run_shortened(["run", "--images", "my_images", "--labels", "my_labels.csv", "--out", "mine"], folder)
    shutil.copytree(folder / "artifacts" / "mine", folder / "artifacts" / "mine_2")
    return folder


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("page", [page for page in SHELL if name(page) not in TWICE], ids=name)
def test_every_command_of_a_page_runs_in_its_order(page: Path, desk: Path, tmp_path: Path) -> None:
    here = tmp_path / "desk"
    shutil.copytree(desk, here, symlinks=True)
    to_run = [(place, words) for place, words in commands(page) if not NOT_RUN.keys() & set(words)]
    for _, words in to_run:
        makes = {"run": "--out", "train": "--run"}.get(words[1], "")
        if makes and words[words.index(makes) + 1] == "mine":  # a page that trains it begins without it
            shutil.rmtree(here / "artifacts" / "mine", ignore_errors=True)
            break
    for place, words in to_run:
        own = command_words(words)
        assert own, place
        assert run_shortened(own, here) == 0, place


def test_what_is_not_run_is_on_a_page() -> None:
    said = {word for page in SHELL for _, words in commands(page) for word in words}
    assert set(NOT_RUN) <= said
