"""Filling on a place: the pack is that of one process, byte for byte, and finished shards are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from image_folders import CHANNELS, write_folder

from hpa_hier.data.pack.build import build_pack
from hpa_hier.data.pack.fill import STATE, fill_shard
from hpa_hier.data.pack.matching import PackRequest, make_plan
from hpa_hier.files.atomic import read_json, write_json
from hpa_hier.places.place import open_place
from hpa_hier.taxonomy import Taxonomy


def test_a_pack_that_is_filled_on_a_place_is_the_one_of_one_process(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("hpa_hier.data.pack.fill.rows_per_shard", lambda *_: 3)
    labels = write_folder(tmp_path / "images", 8)
    tree = Taxonomy.load("hierarchy/hpa28.yaml")
    request = PackRequest(tmp_path / "images", labels, tmp_path / "here", tree, 16, CHANNELS, intensity="depth")
    here = build_pack(request, 1)
    with open_place("threading", 2) as place:
        there = build_pack(replace(request, out=tmp_path / "there"), 1, place=place)
    assert len(here.pack.shards) == 3
    assert there.pack.digest == here.pack.digest
    files = sorted(path.name for path in (tmp_path / "here").iterdir() if path.is_file())
    assert [
        name for name in files if (tmp_path / "here" / name).read_bytes() != (tmp_path / "there" / name).read_bytes()
    ] == []


@pytest.mark.parametrize("content", ["", "[]", "{}", "changed"])
def test_a_shard_whose_state_is_damaged_is_filled_again(tmp_path: Path, content: str) -> None:
    labels = write_folder(tmp_path / "images", 3)
    tree = Taxonomy.load("hierarchy/hpa28.yaml")
    request = PackRequest(tmp_path / "images", labels, tmp_path / "pack", tree, 16, CHANNELS, intensity="depth")
    planned = make_plan(request).samples
    first = fill_shard(request, planned, 0, 1)
    assert fill_shard(request, planned, 0, 1) == replace(first, reused=True)
    (state,) = (tmp_path / "pack").glob(STATE)
    state.write_text(content if content != "changed" else state.read_text().replace("s1", "s7"))
    assert fill_shard(request, planned, 0, 1) == first


@pytest.mark.parametrize("part", ["samples", "looks", "stacks", "micrometres"])
@pytest.mark.parametrize("more", [False, True], ids=["less", "more"])
def test_a_state_that_says_more_or_less_than_its_shard_holds_is_damaged(tmp_path: Path, part: str, more: bool) -> None:
    labels = write_folder(tmp_path / "images", 3)
    tree = Taxonomy.load("hierarchy/hpa28.yaml")
    request = PackRequest(tmp_path / "images", labels, tmp_path / "pack", tree, 16, CHANNELS, intensity="depth")
    planned = make_plan(request).samples
    first = fill_shard(request, planned, 0, 1)
    (state,) = (tmp_path / "pack").glob(STATE)
    content = read_json(state)
    own = content["filled"][part]
    content["filled"][part] = [*own, own[-1]] if more else own[:-1]
    write_json(state, content)
    assert fill_shard(request, planned, 0, 1) == first
    assert fill_shard(request, planned, 0, 1) == replace(first, reused=True)
