"""Inspect: what a look at some images finds, the intensity rule that follows, and what stops a pack."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from image_folders import CHANNELS, planes, write, write_folder, write_sample

from hpa_hier.data.pack import inspect as inspect_file
from hpa_hier.data.pack import shard
from hpa_hier.data.pack.build import build_pack
from hpa_hier.data.pack.inspect import inspect
from hpa_hier.data.pack.matching import PackRequest
from hpa_hier.data.pack.pack import Pack
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_json
from hpa_hier.taxonomy import Taxonomy

TREE = Taxonomy.load("hierarchy/hpa28.yaml")


def request(folder: Path, **changes: object) -> PackRequest:
    places = {name: folder / name for name in ("images", "labels.csv", "pack")}
    settings = {"images": places["images"], "labels": places["labels.csv"], "out": places["pack"], "taxonomy": TREE}
    return PackRequest(**{**settings, "size": 16, "channels": CHANNELS, **changes})


def twelve_bits(folder: Path, ids: list[str]) -> None:
    """Make files use 12 of their 16 bits."""
    for sample in ids:
        for channel in CHANNELS:
            path = folder / f"{sample}_{channel}.png"
            write(path, cv2.imread(str(path), cv2.IMREAD_UNCHANGED) >> 4)


def copy_red(folder: Path, *ids: str) -> None:
    """Make the protein's file a copy of the microtubules'."""
    for sample in ids:
        (folder / f"{sample}_green.png").write_bytes((folder / f"{sample}_red.png").read_bytes())


def test_what_was_found_is_told(tmp_path):
    write_folder(tmp_path / "images", 5)
    (tmp_path / "images" / "s4_yellow.png").unlink()
    found = inspect(request(tmp_path, may_be_missing=("yellow",)))
    assert found.describe() == (
        "images: 5 of 32 × 32 pixels",
        "channels: red from *_red.png, green from *_green.png, blue from *_blue.png, yellow from *_yellow.png",
        "channel yellow: missing in 1, filled with zeros there",
        "bits used: 8 of 8",
        "intensity: depth, since images use the range of their files",
    )
    assert not (tmp_path / "pack").exists()


def test_planes_of_one_file_and_images_that_cannot_be_packed_are_told(tmp_path):
    for i, side in enumerate((32, 32, 24)):
        made = planes(i, side=side)
        write(tmp_path / "images" / f"s{i}.png", np.dstack([made[c] for c in CHANNELS[:3]]))
    (tmp_path / "images" / "s3.png").write_bytes(b"no image")
    (tmp_path / "labels.csv").write_text("Id,Target\n" + "".join(f"s{i},{i}\n" for i in range(4)))
    found = inspect(request(tmp_path, may_be_missing=("yellow",)))
    assert found.sizes == {(32, 32): 2, (24, 24): 1}
    assert found.channels["green"] == {"plane 2 of *.png": 4}
    lines = found.describe()
    assert lines[0] == "images: 4 of 32 × 32 (2), 24 × 24 (1) pixels"
    assert lines[-1].startswith("cannot be packed: 1, the first is s3 (neither a PNG nor a JPEG header")


def test_only_some_images_are_looked_at_and_always_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(inspect_file, "LOOKED_AT", 4)
    write_folder(tmp_path / "images", 10)
    found = inspect(request(tmp_path), threads=3)
    assert list(found.looks) == ["s0", "s3", "s6", "s9"]
    assert found.describe()[0] == "images: 10 of 32 × 32 pixels; 4 of them looked at"
    assert inspect(request(tmp_path), threads=1) == found


def test_twelve_bits_in_sixteen_make_the_rule_percentile_and_the_pack_keeps_why(tmp_path):
    write_folder(tmp_path / "images", 6, dtype=np.uint16)
    twelve_bits(tmp_path / "images", [f"s{i}" for i in range(5)])
    report = build_pack(request(tmp_path))
    facts = Pack.open(tmp_path / "pack").facts
    assert (facts.intensity, facts.reason) == ("percentile", "5 of 6 images use 12 of 16 bits")
    assert facts.bits == {"12 of 16": 5, "16 of 16": 1}
    assert report.pack.images(np.arange(6)).max() == 255
    assert report.doubts == ()


def test_depth_is_kept_where_it_is_asked_for_and_said_to_be_dark(tmp_path):
    write_folder(tmp_path / "images", 3, dtype=np.uint16)
    twelve_bits(tmp_path / "images", ["s0", "s1", "s2"])
    found = inspect(request(tmp_path, intensity="depth"))
    report = build_pack(request(tmp_path, intensity="depth"), found=found)
    assert (report.pack.facts.intensity, report.pack.facts.reason) == ("depth", "")
    assert report.pack.images(np.arange(3)).max() <= 16
    assert report.doubts == ("3 of 3 images: only 12 of 16 bits used, so nearly black (s0, s1, s2)",)
    assert found.describe()[-2:] == (
        "look again: 3 of 3 images: only 12 of 16 bits used, so nearly black (s0, s1, s2)",
        "  dark: --intensity percentile uses the range that each channel has",
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_images_that_use_their_range_are_packed_as_by_depth_and_the_pack_is_the_same_one(tmp_path, dtype):
    write_folder(tmp_path / "images", 4, dtype=dtype)
    first = build_pack(request(tmp_path, intensity="depth"))
    again = build_pack(request(tmp_path))
    assert again.reused
    other = build_pack(request(tmp_path, out=tmp_path / "other"))
    assert other.pack.digest == first.pack.digest
    assert other.pack.facts.sources["request"] == first.pack.facts.sources["request"]


def test_a_pack_without_the_facts_of_today_is_opened(tmp_path):
    write_folder(tmp_path / "images", 2)
    pack = build_pack(request(tmp_path)).pack
    content = read_json(tmp_path / "pack" / "pack.json")
    for name in ("reason", "bits", "range_used"):
        del content["facts"][name]
    (tmp_path / "pack" / "pack.json").write_text(json.dumps(content))
    old = Pack.open(tmp_path / "pack")
    assert (old.digest, old.facts.bits, old.facts.range_used) == (pack.digest, {}, None)


def test_channels_that_are_one_picture_stop_before_anything_is_written(tmp_path):
    write_folder(tmp_path / "images", 4)
    copy_red(tmp_path / "images", "s1", "s3")
    with pytest.raises(
        UserError,
        match=r"2 problems; give each stain its own picture.*\n  red and green are one pictur"
        r"e \(2\): s1; s3$",
    ):
        build_pack(request(tmp_path))
    assert not (tmp_path / "pack").exists()
    report = build_pack(request(tmp_path, on_problem="skip"))
    assert report.pack.ids == ("s0", "s2")
    assert [(one.id, one.reason) for one in report.rejects] == [
        ("s1", "red and green are one picture"),
        ("s3", "red and green are one picture"),
    ]


def test_one_that_was_not_looked_at_stops_in_the_end_and_skipping_goes_on_from_there(tmp_path, monkeypatch):
    monkeypatch.setattr(inspect_file, "LOOKED_AT", 2)
    monkeypatch.setattr(shard, "_MOST_ROWS", 2)
    write_folder(tmp_path / "images", 4)
    copy_red(tmp_path / "images", "s1")
    with pytest.raises(UserError, match=r"red and green are one picture \(1\): s1$"):
        build_pack(request(tmp_path))
    assert not (tmp_path / "pack" / "pack.json").exists()
    report = build_pack(request(tmp_path, on_problem="skip"))
    assert (report.pack.ids, report.reused_shards) == (("s0", "s2", "s3"), 2)
    assert sum(report.pack.facts.bits.values()) == 3


def test_a_grey_picture_saved_as_rgb_is_no_three_stains(tmp_path):
    write_sample(tmp_path / "images", "a")
    grey = planes(7)["green"]
    write(tmp_path / "images" / "b.jpg", np.dstack([grey] * 3))
    (tmp_path / "labels.csv").write_text("Id,Target\na,0\nb,1\n")
    with pytest.raises(UserError, match=r"red, green and blue are one picture \(1\): b$"):
        build_pack(request(tmp_path, may_be_missing=("yellow",)))


def test_an_empty_protein_channel_is_told(tmp_path):
    write_folder(tmp_path / "images", 3)
    write(tmp_path / "images" / "s1_green.png", np.zeros((32, 32), np.uint8))
    report = build_pack(request(tmp_path))
    assert report.doubts == ("1 of 3 images: green is empty, and it is the protein (s1)",)


def test_where_no_image_can_be_packed_nothing_is_left_behind(tmp_path):
    write_folder(tmp_path / "images", 2)
    for file in (tmp_path / "images").glob("*_red.png"):
        file.write_bytes(file.read_bytes()[:99])
    with pytest.raises(UserError, match=r"none of 2 samples could be packed; first: s0_red\.png: damaged or truncated"):
        build_pack(request(tmp_path))
    assert not (tmp_path / "pack").exists()
