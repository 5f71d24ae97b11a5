"""An OME set, one grey file a channel whose metadata tells of all: each file gives its own plane."""

from __future__ import annotations

import uuid
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile

from hpa_hier.data.images.read import read_image
from hpa_hier.data.images.scan import scan
from hpa_hier.data.pack.build import build_pack
from hpa_hier.data.pack.matching import PackRequest
from hpa_hier.taxonomy import Taxonomy

LEVEL = {"red": 40, "green": 90, "blue": 160, "yellow": 220}  # every channel has one brightness of its own
RIGHT = {"red": 43, "green": 93, "blue": 163, "yellow": 223}  # whole part of the means of what is written


def write_set(folder: Path, channels: list[str], samples: list[str], *, alone: bool = False) -> None:
    """Write one grey OME-TIFF a channel, as Bio-Formats and 10x exporters do; `alone`: each tells of itself only."""
    folder.mkdir(parents=True)
    for sample in samples:
        names = {c: f"{sample}_{c}.ome.tif" for c in channels}
        ids = {c: f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, names[c])}" for c in channels}
        for c in channels:
            told = [c] if alone else channels
            data = "".join(f'<Channel ID="Channel:0:{i}" Name="{d}" SamplesPerPixel="1"/>' for i, d in enumerate(told))
            data += "".join(
                f'<TiffData FirstC="{i}" FirstT="0" FirstZ="0" IFD="0" PlaneCount="1">'
                f'<UUID FileName="{names[d]}">{ids[d]}</UUID></TiffData>'
                for i, d in enumerate(told)
            )
            xml = (
                '<?xml version="1.0" encoding="UTF-8"?>'
                f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{ids[c]}">'
                f'<Image ID="Image:0" Name="{sample}"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" '
                f'SizeX="32" SizeY="32" SizeC="{len(told)}" SizeZ="1" SizeT="1" BigEndian="false">{data}</Pixels>'
                "</Image></OME>"
            )
            rng = np.random.default_rng(zlib.crc32(f"{sample}{c}".encode()))
            plane = np.full((32, 32), LEVEL[c], np.uint8) + rng.integers(0, 8, (32, 32), dtype=np.uint8)
            tifffile.imwrite(
                folder / names[c], plane, description=xml.encode(), metadata=None, photometric="minisblack"
            )


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("channels", [["green", "blue"], ["red", "green", "blue"], ["red", "green", "blue", "yellow"]])
def test_a_pack_has_each_files_own_plane(tmp_path, channels, alone):
    write_set(tmp_path / "images", channels, ["a1", "a2"], alone=alone)
    (tmp_path / "labels.csv").write_text("Id,Target\na1,0\na2,1\n")
    missing = tuple(c for c in LEVEL if c not in channels)
    tree = Taxonomy.load("hierarchy/hpa28.yaml")
    request = PackRequest(
        tmp_path / "images", tmp_path / "labels.csv", tmp_path / "pack", tree, 32, tuple(LEVEL), missing, "depth"
    )
    images = build_pack(request).pack.images(np.arange(2))
    assert images.mean(axis=(2, 3)).astype(int).tolist() == [[RIGHT[c] if c in channels else 0 for c in LEVEL]] * 2


@pytest.mark.parametrize("change", ["lone", "renamed", "packed"])
def test_what_becomes_of_the_other_files_changes_nothing(tmp_path, change):
    folder = tmp_path / "set"
    write_set(folder, ["red", "green", "blue"], ["a1"])
    files = sorted(folder.iterdir())
    for file in files:
        if change == "renamed":
            file.rename(folder / f"x{file.name}")
        elif change == "packed":  # sizes in bytes differ, and so does what lies behind an offset
            with tifffile.TiffFile(file, _multifile=False) as tiff:
                xml, plane = tiff.ome_metadata, tiff.pages[0].asarray()
            tifffile.imwrite(
                file, plane, description=xml.encode(), metadata=None, photometric="minisblack", compression="zlib"
            )
        elif "green" not in file.name:
            file.unlink()
    (source,) = scan(folder).sources
    image = read_image(source, 32, ("green",), "depth").image
    assert abs(float(image.mean()) - 93.5) < 0.5
