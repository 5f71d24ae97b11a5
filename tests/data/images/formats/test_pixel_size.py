"""The side of a pixel is read where a file says it in a unit of length, and reaches the pack."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from image_folders import CHANNELS, planes

from hpa_hier.data.images.formats.ome_zarr import OmeZarrReader
from hpa_hier.data.images.formats.tiff import TiffReader
from hpa_hier.data.images.read import read_image
from hpa_hier.data.images.scan import scan
from hpa_hier.data.images.stacks import StackRules


def _read(path: Path, **metadata: object) -> float | None:
    ome = path.name.endswith(".ome.tif")
    array, resolution = np.arange(64, dtype=np.uint8).reshape(8, 8), metadata.pop("resolution", None)
    tifffile.imwrite(path, array, ome=ome, imagej=not ome, metadata={"axes": "YX", **metadata}, resolution=resolution)
    return TiffReader().read_stack(path, StackRules()).micrometres


@pytest.mark.parametrize(
    ("sizes", "wanted"),
    [
        ({"PhysicalSizeX": 0.08, "PhysicalSizeY": 0.08}, 0.08),  # OME's default unit is the micrometre
        ({"PhysicalSizeX": 80, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 8e-5, "PhysicalSizeYUnit": "mm"}, 0.08),
        ({"PhysicalSizeX": 0.08, "PhysicalSizeY": 0.16}, None),
        ({"PhysicalSizeX": 1, "PhysicalSizeXUnit": "pixel", "PhysicalSizeY": 1, "PhysicalSizeYUnit": "pixel"}, None),
        ({"PhysicalSizeX": 0.08}, None),
        ({}, None),
    ],
)
def test_ome_says_it_in_a_unit(tmp_path: Path, sizes: dict, wanted: float | None) -> None:
    found = _read(tmp_path / "a.ome.tif", **sizes)
    assert found == (wanted and pytest.approx(wanted))


@pytest.mark.parametrize(
    ("unit", "resolution", "wanted"),
    [("micron", (12.5, 12.5), 0.08), ("um", (12.5, 12.5), 0.08), ("inch", (72, 72), None), ("um", (12.5, 6), None)],
)
def test_imagej_says_pixels_a_unit(tmp_path: Path, unit: str, resolution: tuple, wanted: float | None) -> None:
    found = _read(tmp_path / "a.tif", unit=unit, resolution=resolution)
    assert found == (wanted and pytest.approx(wanted, rel=1e-4))


def test_dots_per_inch_say_nothing_of_cells(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8), np.uint8), resolution=(300, 300), resolutionunit="INCH")
    assert TiffReader().read_stack(tmp_path / "a.tif", StackRules()).micrometres is None


@pytest.mark.parametrize(("scale", "unit", "wanted"), [(0.25, "micrometer", 0.25), (250, "nanometer", 0.25)])
def test_a_coarser_resolution_has_larger_pixels(tmp_path: Path, scale: float, unit: str, wanted: float) -> None:
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(tmp_path / "a.ome.zarr", mode="w", zarr_format=2)
    for name, side in (("0", 32), ("1", 16)):
        group.create_array(name, shape=(side, side), chunks=(side, side), dtype="uint8")[:] = 7
    told = {"axes": [{"name": axis, "type": "space", "unit": unit} for axis in "yx"]}
    steps = {"0": scale / 2, "1": scale}  # of the image as a whole comes a factor of two
    told["datasets"] = [
        {"path": name, "coordinateTransformations": [{"type": "scale", "scale": [step, step]}]}
        for name, step in steps.items()
    ]
    told["coordinateTransformations"] = [{"type": "scale", "scale": [2, 2]}]
    (tmp_path / "a.ome.zarr" / ".zattrs").write_text(json.dumps({"multiscales": [told]}))
    for least, factor in ((0, 1), (16, 2)):
        read = OmeZarrReader().read_stack(tmp_path / "a.ome.zarr", StackRules(least_side=least))
        assert read.micrometres == pytest.approx(factor * wanted)
    (tmp_path / "a.ome.zarr" / ".zattrs").write_text(json.dumps({"multiscales": [told | {"axes": ["y", "x"]}]}))
    assert OmeZarrReader().read_stack(tmp_path / "a.ome.zarr", StackRules()).micrometres is None


def test_an_image_has_pixels_as_much_larger_as_it_is_smaller(tmp_path: Path) -> None:
    about = {"axes": "CYX", "PhysicalSizeX": 0.1, "PhysicalSizeY": 0.1, "Channel": {"Name": list(CHANNELS)}}
    tifffile.imwrite(tmp_path / "a.ome.tif", np.stack(list(planes(1, side=40).values())), ome=True, metadata=about)
    (source,) = scan([tmp_path]).sources
    assert read_image(source, 20, CHANNELS, "depth").micrometres == pytest.approx(0.2)
