"""The page on embeddings: cells become the vectors of their images, from each of SubCellPortable's tables."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from desk import write_vectors
from pages import ROOT, commands

from hpa_hier.cli.data import main as data
from hpa_hier.data.pack.pack import Pack

PAGE = ROOT / "docs" / "howto" / "embeddings.md"


def test_cells_of_the_page_become_the_vectors_of_their_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_vectors(tmp_path)
    packs = [words[3:] for _, words in commands(PAGE) if words[1:3] == ["data", "pack"]]
    assert len(packs) == 2
    for words in packs:
        data(["pack", *words])
    first, second = (Pack.open(tmp_path / words[words.index("--out") + 1]) for words in packs)
    assert len(first) == len(second) == 120
    assert [shard.sha256 for shard in first.shards] == [shard.sha256 for shard in second.shards]
    with h5py.File("results/embeddings.h5ad") as file:
        np.testing.assert_allclose(first.read(np.arange(120)), file["X"][:], atol=1e-6)
