"""Microscope makers' formats: scenes and stacks by a stand-in for bioio, and the export to make without it."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest
from image_folders import CHANNELS, planes, write, write_sample

from hpa_hier.data.images.formats.microscope import FORMATS
from hpa_hier.data.images.read import read_image
from hpa_hier.data.images.reader import UnreadableImage
from hpa_hier.data.images.scan import scan
from hpa_hier.data.images.stacks import StackRules


class UnsupportedFileFormatError(Exception):
    """As bioio raises where it has no reader for a file."""


class FakeImage:
    """What is used of bioio.BioImage: two scenes of four channels and three sections."""

    scenes = ("Position 1/A", "Position 2")
    channel_names = ("Tubulin", "protein", "DAPI", "ER")
    dtype = np.dtype(np.uint16)
    dims = types.SimpleNamespace(order="TCZYX", shape=(1, 4, 3, 32, 32))

    def __init__(self, path: Path) -> None:
        assert path.is_file()
        if path.suffix == ".vsi":
            raise UnsupportedFileFormatError
        self.scene = 0

    def set_scene(self, number: int) -> None:
        self.scene = number

    @staticmethod
    def section(scene: int, z: int) -> np.ndarray:
        return np.stack([planes(10 * scene + z, dtype=np.uint16)[channel] for channel in CHANNELS])

    def get_image_dask_data(self, order: str, T: int, Z: int):
        assert (order, T) == ("CYX", 0)
        return types.SimpleNamespace(compute=lambda: self.section(self.scene, Z))


@pytest.fixture
def bioio(monkeypatch) -> type[FakeImage]:
    module = types.ModuleType("bioio")
    module.BioImage = FakeImage
    monkeypatch.setitem(sys.modules, "bioio", module)
    return FakeImage


def test_each_scene_is_a_sample_and_its_stack_is_projected(tmp_path, bioio):
    (tmp_path / "a.czi").write_bytes(b"raw")
    found = scan(tmp_path)
    assert [source.id for source in found.sources] == ["a_Position 1-A", "a_Position 2"]
    reading = read_image(found.sources[1], 32, CHANNELS, "depth")
    expected = np.max([bioio.section(1, z) for z in range(3)], axis=0)
    np.testing.assert_array_equal(reading.image, np.rint(expected / 257).astype(np.uint8))
    assert reading.sections == 3
    middle = read_image(found.sources[0], 32, CHANNELS, "depth", stacks=StackRules("middle"))
    np.testing.assert_array_equal(middle.image, np.rint(bioio.section(0, 1) / 257).astype(np.uint8))


def test_a_file_of_one_scene_keeps_its_name(tmp_path, bioio, monkeypatch):
    monkeypatch.setattr(FakeImage, "scenes", ("only",))
    (tmp_path / "a.nd2").write_bytes(b"raw")
    assert [source.id for source in scan(tmp_path).sources] == ["a"]


def test_a_format_without_a_reader_and_other_pixels_have_their_reasons(tmp_path, bioio, monkeypatch):
    (tmp_path / "a.vsi").write_bytes(b"raw")
    (reject,) = scan(tmp_path).rejects
    assert reject.reason.startswith("Olympus VSI is not read: `pip install bioio-bioformats`; or export it as OME-TIFF")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name if name == "bioio_bioformats" else None)
    (reject,) = scan(tmp_path).rejects
    assert reject.reason.startswith("damaged, or no Olympus VSI: bioio-bioformats cannot read it; export it")
    monkeypatch.setattr(FakeImage, "dtype", np.dtype(np.float32))
    monkeypatch.setattr(FakeImage, "scenes", ("only",))
    (tmp_path / "a.vsi").rename(tmp_path / "a.lif")
    assert [one.reason for one in scan(tmp_path).rejects] == ["float32 pixels; save it with 8 or 16 bits, unsigned"]


def test_what_a_reader_raises_is_the_reason(tmp_path, bioio, monkeypatch):
    (tmp_path / "a.lif").write_bytes(b"raw")
    monkeypatch.setattr(FakeImage, "get_image_dask_data", lambda *_, **__: 1 / 0)
    with pytest.raises(UnreadableImage, match="damaged: ZeroDivisionError"):
        read_image(scan(tmp_path).sources[0], 32, CHANNELS, "depth")


@pytest.mark.parametrize("suffix", [*FORMATS, ".bmp", ".webp", ".svs"])
def test_without_a_reader_the_reason_names_what_to_do(tmp_path, monkeypatch, suffix):
    monkeypatch.setitem(sys.modules, "bioio", None)
    (tmp_path / f"a{suffix.upper()}").write_bytes(b"raw")
    (reject,) = scan(tmp_path).rejects
    assert reject.id == "a"
    if suffix in FORMATS:
        assert "export it as OME-TIFF, as in Fiji: File > Import > Bio-Formats" in reject.reason
        assert "pip install" in reject.reason
    else:
        assert "which is not read; " in reject.reason


def test_an_original_beside_images_made_of_it_is_left_aside(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "bioio", None)
    write_sample(tmp_path, "a_series1")
    write(tmp_path / "b.png", np.zeros((8, 8, 3), np.uint8))
    for name in ("a.lif", "b.czi", "c.czi"):
        (tmp_path / name).write_bytes(b"raw")
    found = scan(tmp_path)
    assert [source.id for source in found.sources] == ["a_series1", "b"]
    assert (found.ignored, [one.id for one in found.rejects]) == (("a.lif", "b.czi"), ["c"])
