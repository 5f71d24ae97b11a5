"""The page on embeddings is true: every command on it runs, in its order, on files as SubCellPortable writes them."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from tiny_run import one_thread

from hpa_hier.cli.data import main as data
from hpa_hier.data.pack.pack import Pack

PAGE = Path(__file__).resolve().parents[1] / "docs" / "embeddings.md"
PLACES = ("Nucleoplasm", "Cytosol", "Mitochondria", "Golgi apparatus")
WIDTH = 48  # numbers a vector, in place of 1,536
SHORT = ["--device", "cpu", "--jobs", "1", "--no-baseline", "--set", "training.max_steps=20", "--config", "short.yaml"]
RECIPE = """training: {backbone: mlp, mlp: {hidden: 16}, batch_size: 16}
members: [{name: leaf, level: leaf}, {name: coarse, level: coarse}]
split: {folds: 0}
"""


def list_commands() -> list[list[str]]:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.S)
    return [shlex.split(line) for block in blocks for line in block.splitlines() if line.strip()]


def write_embeddings(path: Path, ids: list[str], vectors: np.ndarray) -> None:
    """Write an .h5ad file as SubCellPortable does."""
    path.parent.mkdir(exist_ok=True)
    with h5py.File(path, "w") as file:
        file.create_dataset("X", data=vectors)
        file.create_dataset("obs/index", data=np.array(ids, dtype="S"))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all files that the page names."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(4, WIDTH))
    place = np.arange(160) % 4
    vectors = (centres[place] + 0.5 * generator.normal(size=(160, WIDTH))).astype(np.float32)
    ids = [f"{i}_B5_2" for i in range(160)]
    labels = pd.DataFrame({"Id": ids, "Target": [PLACES[n] for n in place]})
    labels[:120].to_csv("train.csv", index=False)
    labels[120:].to_csv("new.csv", index=False)
    write_embeddings(Path("results/embeddings.h5ad"), ids[:120], vectors[:120])
    write_embeddings(Path("new/embeddings.h5ad"), ids[120:], vectors[120:])
    keys = [f"{name}_{number}" for name in ids[:120] for number in (1, 2)]
    cells = np.repeat(vectors[:120], 2, axis=0)
    write_embeddings(Path("cells/embeddings.h5ad"), keys, cells)
    table = pd.DataFrame(cells, columns=[f"feat{j:04d}" for j in range(WIDTH)])
    table.insert(0, "image_id", np.repeat(ids[:120], 2))
    table.to_csv("cells.csv.gz", index=False)
    Path("short.yaml").write_text(RECIPE)
    return tmp_path


def test_cells_of_the_page_become_the_vectors_of_their_images(desk: Path) -> None:
    packs = [words[3:] for words in list_commands() if words[1:3] == ["data", "pack"]]
    assert len(packs) == 2
    for words in packs:
        data(["pack", *words])
    first, second = (Pack.open(desk / words[words.index("--out") + 1]) for words in packs)
    assert len(first) == len(second) == 120
    assert [shard.sha256 for shard in first.shards] == [shard.sha256 for shard in second.shards]
    with h5py.File("results/embeddings.h5ad") as file:
        np.testing.assert_allclose(first.read(np.arange(120)), file["X"][:], atol=1e-6)


@pytest.mark.slow
def test_every_command_of_the_page_runs(desk: Path) -> None:
    for program, *words in list_commands():
        assert program == "hpa-hier"
        line = [sys.executable, "-m", "hpa_hier", *words, *(SHORT if words[0] == "run" else [])]
        done = subprocess.run(line, capture_output=True, text=True, timeout=280, env=one_thread(), check=False)
        assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}\n{done.stderr}"
    answers = pd.read_csv(desk / "answers" / "predictions.csv")
    assert len(answers) == 40
    assert (desk / "evaluated").is_dir()
