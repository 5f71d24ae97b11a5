"""A pack of a bucket is fetched once, checked, and is the pack."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from ensemble_run import TAXONOMY

from hpa_hier.data.pack import fetch as module
from hpa_hier.data.pack.pack import Pack
from hpa_hier.data.pack.pack_file import PACK, PackFacts, claim_folder, write_pack
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_json, write_json
from hpa_hier.files.faults.leftovers import name_temporary
from hpa_hier.files.remote.path import fetch
from hpa_hier.taxonomy import Taxonomy

PLACE = "memory://bucket/pack"


def make_pack(folder: Path, seed: int = 0) -> Pack:
    (folder.parent / "small.yaml").write_text(TAXONOMY)
    tree = Taxonomy.load(folder.parent / "small.yaml")
    values = np.random.default_rng(seed).integers(0, 255, (5, 2, 8, 8), np.uint8)
    facts = PackFacts(channels=("red", "green"), size=8, intensity="depth", simulated=False, note="", sources={})
    claim_folder(folder, {})
    ids = [f"s{i}" for i in range(5)]
    write_pack(folder, list(values), ids, [["Nucleoli"]] * 5, [""] * 5, facts, tree)
    return Pack.open(folder)


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("HPA_HIER_CACHE", str(tmp_path / "cache"))
    system = fsspec.filesystem("memory")
    yield system
    system.rm("/", recursive=True)


def upload(memory: Any, folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_file():
            memory.pipe_file(f"/bucket/pack/{path.name}", path.read_bytes())


def test_a_pack_of_a_bucket_is_the_pack_and_is_fetched_once(
    tmp_path: Path, memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = make_pack(tmp_path / "pack")
    upload(memory, tmp_path / "pack")
    fetched: list[str] = []

    def count(path: Any, *rest: Any) -> None:
        fetched.append(path.name)
        fetch(path, *rest)

    monkeypatch.setattr(module, "fetch", count)
    there = Pack.open(PLACE)
    assert (there.digest, there.ids) == (here.digest, here.ids)
    assert (there.read(np.arange(5)) == here.read(np.arange(5))).all()
    assert there.find_damaged() == ()
    assert sorted(fetched) == ["images-00000.npy", "pack.json", "samples.csv", "taxonomy.yaml"]
    fetched.clear()
    assert Pack.open(PLACE).path == there.path
    assert fetched == ["pack.json"]
    other = make_pack(tmp_path / "other", seed=1)
    upload(memory, tmp_path / "other")
    assert Pack.open(PLACE).digest == other.digest  # made again at the same address


def test_a_damaged_or_unfinished_pack_is_refused_and_nothing_of_it_kept(tmp_path: Path, memory: Any) -> None:
    make_pack(tmp_path / "pack")
    with pytest.raises(
        UserError, match=r"memory://bucket/pack/pack.json: is not there; no finished pack, check the addr"
    ):
        Pack.open(PLACE)
    upload(memory, tmp_path / "pack")
    whole = memory.cat_file("/bucket/pack/images-00000.npy")
    memory.pipe_file("/bucket/pack/images-00000.npy", whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(
        UserError, match=r"images-00000.npy: is not what its pack was finished with; copy the pack there"
    ):
        Pack.open(PLACE)
    assert not list((tmp_path / "cache").rglob("images-*.npy"))
    memory.rm("/bucket/pack/images-00000.npy")
    with pytest.raises(UserError, match=r"images-00000.npy: is not there; the pack lacks a file of its own"):
        Pack.open(PLACE)


def test_a_disk_without_room_is_told_before_anything_is_fetched(
    tmp_path: Path, memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_pack(tmp_path / "pack")
    upload(memory, tmp_path / "pack")
    monkeypatch.setattr(module, "_SPARE", 1 << 60)
    with pytest.raises(UserError, match=r"MB are to be fetched, and .* MB free; name a larger disk by HPA_HIER_CACHE"):
        Pack.open(PLACE)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("digest", "../../../../outside"),
        ("digest", "0123456789ABCDEF"),
        ("digest", "0123456789abcdef\n"),
        ("file", "../images-00000.npy"),
        ("file", "/tmp/images-00000.npy"),
        ("file", "pack.json"),
    ],
)
def test_a_pack_that_leads_out_of_the_cache_is_refused_and_nothing_written(
    tmp_path: Path, memory: Any, key: str, value: str
) -> None:
    make_pack(tmp_path / "pack")
    file = tmp_path / "pack" / PACK
    content = read_json(file)
    (content if key == "digest" else content["shards"][0])[key] = value
    write_json(file, content)
    upload(memory, tmp_path / "pack")
    memory.pipe_file(f"/bucket/{Path(value).name}", b"x")
    for place in (PLACE, tmp_path / "pack"):
        with pytest.raises(UserError, match=r"pack\.json: was edited \((digest|shards): .*; pack the images again"):
            Pack.open(place)
    assert {path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()} <= {".lock", PACK}
    assert {path.name for path in tmp_path.iterdir()} == {"pack", "cache", "small.yaml"}


def test_what_a_killed_fetch_left_is_removed_and_a_damaged_copy_of_pack_json_mended(
    tmp_path: Path, memory: Any
) -> None:
    make_pack(tmp_path / "pack")
    upload(memory, tmp_path / "pack")
    folder = Pack.open(PLACE).path
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    own = name_temporary(folder / "images-00001.npy")
    left = own.with_name(own.name.replace(f".{os.getpid()}-", f".{dead.pid}-"))
    left.touch()
    before = (folder / PACK).stat()
    Pack.open(PLACE)
    assert not left.exists()
    assert (folder / PACK).stat().st_ino == before.st_ino  # another process may be reading it
    (folder / PACK).write_text("{}")
    assert Pack.open(PLACE).ids == ("s0", "s1", "s2", "s3", "s4")
