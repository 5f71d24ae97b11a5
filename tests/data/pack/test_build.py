"""Build: how stacks became one image, and what names were taken for, is kept in a pack."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from image_folders import planes

from hpa_hier.data.images.stacks import StackRules
from hpa_hier.data.pack.build import build_pack
from hpa_hier.data.pack.matching import PackRequest
from hpa_hier.data.pack.pack import Pack
from hpa_hier.errors import UserError
from hpa_hier.taxonomy import Taxonomy

STAINS = ("Tubulin", "GFP", "DAPI")


def write_stacks(folder: Path, axes: str, count: int = 2) -> PackRequest:
    """Write ImageJ hyperstacks of three stains and several sections or frames, and return the request to pack them."""
    (folder / "images").mkdir(parents=True)
    for k in range(count):
        stack = np.stack([np.stack([planes(9 * k + z)[c] for c in ("red", "green", "blue")]) for z in range(3)])
        metadata = {"axes": axes, "Labels": [*STAINS] * 3}
        tifffile.imwrite(folder / "images" / f"s{k}.tif", stack, imagej=True, metadata=metadata)
    (folder / "labels.csv").write_text("Id,Target\n" + "".join(f"s{k},{k}\n" for k in range(count)))
    tree = Taxonomy.load("hierarchy/hpa28.yaml")
    channels = ("red", "green", "blue")
    return PackRequest(folder / "images", folder / "labels.csv", folder / "pack", tree, 32, channels)


@pytest.mark.parametrize("projection", ["max", "mean", "middle"])
def test_a_pack_keeps_how_z_stacks_were_projected(tmp_path, projection):
    request = replace(write_stacks(tmp_path, "ZCYX"), stacks=StackRules(projection))
    report = build_pack(request)
    stack = np.stack([np.stack([planes(z)[c] for c in request.channels]) for z in range(3)])
    expected = {"max": stack.max(axis=0), "mean": np.floor(stack.mean(axis=0) + 0.5), "middle": stack[1]}[projection]
    np.testing.assert_array_equal(report.pack.read(np.array([0]))[0], expected)
    facts = Pack.open(request.out).facts
    assert facts.projection == projection
    named = "Tubulin was taken for red (microtubules), GFP for green (the protein), DAPI for blue (the nucleus)"
    assert facts.image_notes[0] == named
    assert facts.image_notes[-1].startswith("2 of 2 are z stacks of 3 sections: ")
    assert build_pack(request).sample_notes == report.sample_notes == facts.image_notes  # said again by a finished pack


def test_another_projection_is_another_pack(tmp_path):
    request = write_stacks(tmp_path, "ZCYX")
    build_pack(request)
    with pytest.raises(UserError, match="holds a pack of other samples, labels or settings"):
        build_pack(replace(request, stacks=StackRules("mean")))


def test_time_series_are_packed_by_the_frame_that_is_chosen(tmp_path):
    request = write_stacks(tmp_path, "TCYX")
    with pytest.raises(UserError, match="a time series of 3 frames; choose one with --frame first, middle, last"):
        build_pack(request)
    pack = build_pack(replace(request, stacks=StackRules(frame="2"))).pack
    assert pack.facts.frame == "2"
    np.testing.assert_array_equal(pack.read(np.array([0]))[0, 1], planes(1)["green"])


def test_a_stack_of_one_section_packs_to_the_same_digest_as_plain_files(tmp_path):
    request = write_stacks(tmp_path / "stack", "ZCYX")
    plain = replace(request, images=tmp_path / "plain", out=tmp_path / "plain_pack")
    plain.images.mkdir()
    for k in range(2):
        for stain, channel in zip(("w1tubulin", "w2GFP", "w3DAPI"), request.channels, strict=True):
            tifffile.imwrite(plain.images / f"s{k}_{stain}.tif", planes(9 * k + 1)[channel])
    middle = build_pack(replace(request, stacks=StackRules("middle"))).pack
    assert middle.digest == build_pack(plain).pack.digest


@pytest.mark.parametrize(("second", "wanted"), [(0.1, 0.2), (0.3, None), (None, None)])
def test_a_pack_knows_the_size_of_a_pixel_where_all_images_have_the_same(tmp_path, second, wanted):
    (tmp_path / "images").mkdir()
    for name, side in (("a", 0.1), ("b", second)):
        sizes = {} if side is None else {"PhysicalSizeX": side, "PhysicalSizeY": side}
        array = np.stack(list(planes(len(name), side=64).values()))
        about = {"axes": "CYX", "Channel": {"Name": ["red", "green", "blue", "yellow"]}, **sizes}
        tifffile.imwrite(tmp_path / "images" / f"{name}.ome.tif", array, ome=True, metadata=about)
    (tmp_path / "labels.csv").write_text("Id,Target\na,0\nb,1\n")
    tree = Taxonomy.load("hierarchy/hpa28.yaml")
    request = PackRequest(
        tmp_path / "images", tmp_path / "labels.csv", tmp_path / "pack", tree, 32, ("red", "green", "blue", "yellow")
    )
    assert build_pack(request).pack.facts.micrometres == (wanted and pytest.approx(wanted))
