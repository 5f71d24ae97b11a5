"""The benchmark of a GPU: every path is walked on a CPU, and without a GPU it says so."""

from __future__ import annotations

import gpu
import pytest
import torch

from hpa_hier.settings.recipe_file import load_recipe


def test_every_path_is_walked_on_a_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(["--dry-run-on-cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == gpu.HEAD.splitlines()[0]
    assert [line.split("|")[2].strip() for line in lines[2:-1]] == list(gpu.ROWS)
    assert lines[-1] == "dry run on a CPU: every path was walked, and these rates mean nothing"


def test_the_last_row_is_the_recipe() -> None:
    recipe, last = load_recipe("gpu").training, {key: value for row in gpu.ROWS.values() for key, value in row.items()}
    for name, value in last.items():
        wanted = {"keep_on_device": "auto"}.get(name, value)  # always, so that the row shows what it says
        assert getattr(recipe, name) == wanted, name


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main([]) == 2
    printed = capsys.readouterr()
    assert (printed.out, len(printed.err.splitlines())) == ("", 1)
    assert printed.err.startswith("no CUDA device here, so nothing was measured")


@pytest.mark.gpu
def test_on_a_gpu_it_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--size", "64", "--images", "512", "--steps", "5", "--rounds", "1"]
    assert gpu.main(["--backbones", "resnet18", *small]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2 + 2 + len(gpu.ROWS)
