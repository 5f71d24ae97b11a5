"""OME-Zarr: its versions, plates, resolutions and stacks, and stores that lead astray."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_folders import CHANNELS, planes

from hpa_hier.data.images.formats.ome_zarr import OmeZarrReader
from hpa_hier.data.images.read import read_image
from hpa_hier.data.images.reader import UnreadableImage
from hpa_hier.data.images.scan import scan
from hpa_hier.data.images.stacks import StackRules

zarr = pytest.importorskip("zarr")
READER = OmeZarrReader()
LABELS = ("Microtubules", "protein", "DAPI", "ER")


def write_group(path: Path, about: dict, version: str) -> Path:
    form = 2 if version == "0.4" else 3
    group = zarr.open_group(path, mode="a", zarr_format=form)
    group.attrs.update(about if form == 2 else {"ome": {"version": version, **about}})
    return path


def write_image(path: Path, array: np.ndarray, axes: str, version: str = "0.4", labels=LABELS, levels: int = 1) -> Path:
    """Write an OME-Zarr; each further level holds every second pixel of the one before it."""
    datasets = [{"path": str(level), "coordinateTransformations": []} for level in range(levels)]
    about = {"multiscales": [{"axes": [{"name": axis} for axis in axes], "datasets": datasets}]}
    if labels:
        about["omero"] = {"channels": [{"label": label} for label in labels]}
    write_group(path, about, version)
    for level in range(levels):
        chunks = tuple(1 if axis in "tcz" else 16 for axis in axes)
        data = array[..., :: 2**level, :: 2**level]
        place = {"store": path / str(level), "zarr_format": 2 if version == "0.4" else 3}
        zarr.create_array(data=data, chunks=chunks, **place)
    return path


def stacked(seed: int = 0, **settings) -> np.ndarray:
    return np.stack([planes(seed, **settings)[channel] for channel in CHANNELS])


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", ["cyx", "tczyx", "zcyx"])
def test_planes_are_found_by_their_labels(tmp_path, version, axes):
    array = stacked()
    shape = tuple(dict(zip("cyx", array.shape, strict=True)).get(axis, 1) for axis in axes)
    write_image(tmp_path / "a.ome.zarr", array.reshape(shape), axes, version)
    (source,) = scan(tmp_path).sources
    assert source.id == "a"
    np.testing.assert_array_equal(read_image(source, 32, CHANNELS, "depth").image, array)


@pytest.mark.parametrize("version", ["0.2", "0.3"])
def test_older_versions_have_their_axes_as_words_or_none(tmp_path, version):
    array = stacked()
    path = write_image(tmp_path / "a.zarr", array.reshape(1, 4, 1, 32, 32), "tczyx")
    about = json.loads((path / ".zattrs").read_text())
    told = about["multiscales"][0]
    told["axes"] = ["t", "c", "z", "y", "x"]
    if version == "0.2":
        del told["axes"]
    (path / ".zattrs").write_text(json.dumps(about))
    np.testing.assert_array_equal(READER.read(path), array)


def test_the_store_itself_may_be_what_is_asked_for_with_or_without_its_suffix(tmp_path):
    for name in ("a.zarr", "b"):
        write_image(tmp_path / name, stacked(), "cyx")
        (source,) = scan(tmp_path / name).sources
        assert (source.id, set(source.planes)) == (name.removesuffix(".zarr"), set(CHANNELS))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_each_field_of_a_plate_is_a_sample(tmp_path, version):
    plate = tmp_path / "screen.zarr"
    write_group(plate, {"plate": {"wells": [{"path": "A/1"}, {"path": "B/12"}]}}, version)
    for seed, well in enumerate(("A/1", "B/12")):
        write_group(plate / well, {"well": {"images": [{"path": "0"}, {"path": "1"}]}}, version)
        for field in ("0", "1"):
            write_image(plate / well / field, stacked(seed), "cyx", version)
    found = scan(tmp_path)
    assert [s.id for s in found.sources] == ["screen_A1_0", "screen_A1_1", "screen_B12_0", "screen_B12_1"]
    np.testing.assert_array_equal(read_image(found.sources[2], 32, CHANNELS, "depth").image, stacked(1))
    cells = ["screen.zarr/B/12/1", "screen_A1_0", "/data/screen.zarr/A/1/1"]
    assert found.names.find_ids(cells, [], [[], [], []]) == (["screen_B12_1", "screen_A1_0", "screen_A1_1"], {})


def test_each_series_of_a_converted_file_is_a_sample(tmp_path):
    write_group(tmp_path / "a.zarr", {"bioformats2raw.layout": 3}, "0.4")
    for series in ("0", "1"):
        write_image(tmp_path / "a.zarr" / series, stacked(), "cyx")
    assert [source.id for source in scan(tmp_path).sources] == ["a_0", "a_1"]


def test_a_stack_and_a_series_become_one_image_by_the_rules(tmp_path):
    rng = np.random.default_rng(0)
    array = rng.integers(0, 255, (3, 2, 5, 32, 24), dtype=np.uint16)  # t, c, z, y, x
    path = write_image(tmp_path / "a.zarr", array, "tczyx", labels=())
    layout = READER.layout(path)
    assert (layout.planes, layout.sections, layout.frames) == (2, 5, 3)
    got = READER.read_stack(path, StackRules("max", "last"))
    np.testing.assert_array_equal(got.planes, array[2].max(axis=1))
    got = READER.read_stack(path, StackRules("middle", "2"))
    np.testing.assert_array_equal(got.planes, array[1, :, 2])
    with pytest.raises(UnreadableImage, match="a time series of 3 frames; choose one with --frame"):
        READER.read(path)


def test_only_the_resolution_and_the_planes_that_are_needed_are_read(tmp_path, monkeypatch):
    array = stacked(side=128)
    path = write_image(tmp_path / "a.zarr", array, "cyx", levels=3)
    opened = []
    whole = Path.open
    monkeypatch.setattr(Path, "open", lambda self, *a, **k: opened.append(self) or whole(self, *a, **k))
    (source,) = scan(tmp_path).sources
    image = read_image(source, 16, ("green",), "depth").image
    chunks = [one.relative_to(path).as_posix() for one in opened if one.parent.name in "012" and one.name[0].isdigit()]
    assert {(chunk.split("/")[0], chunk.split("/")[1][0]) for chunk in chunks} == {("2", "1")}  # 32 pixels, plane 1
    expected = array[1, ::4, ::4].reshape(16, 2, 16, 2).mean(axis=(1, 3))
    assert np.abs(image[0] - expected).max() <= 0.5
    full = READER.read(path)
    np.testing.assert_array_equal(full, array)


@given(data=st.data())
@settings(max_examples=40)
def test_no_metadata_bring_anything_but_their_reason(tmp_path_factory, data):
    path = write_image(tmp_path_factory.mktemp("broken") / "a.zarr", stacked(side=8), "cyx")
    about = json.loads((path / ".zattrs").read_text())
    odd = st.sampled_from([None, 7, "x", [], {}, [[]], [{}], [None], {"path": "0"}, [{"path": "0"}], "../..", 1e400])
    keys = [("multiscales",), ("omero",), ("multiscales", 0, "axes"), ("multiscales", 0, "datasets")]
    keys += [
        ("multiscales", 0),
        ("multiscales", 0, "datasets", 0, "path"),
        ("omero", "channels"),
        ("plate",),
        ("well",),
    ]
    *way, last = data.draw(st.sampled_from(keys))
    place = about
    for key in way:
        place = place[key]
    place[last] = data.draw(odd)
    if data.draw(st.booleans()):
        about = {"plate": {"wells": data.draw(odd)}, **about}
        about.pop("multiscales")
    (path / ".zattrs").write_text(json.dumps(about))
    for source in scan(path.parent).sources:
        assert read_image(source, 8, CHANNELS, "depth").image.shape == (4, 8, 8)


def break_metadata(path: Path, change) -> None:
    about = json.loads((path / ".zattrs").read_text())
    change(about)
    (path / ".zattrs").write_text(json.dumps(about))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda a: a["multiscales"][0]["datasets"][0].update(path="../../b"),
            r"the place '../../b', which is not inside",
        ),
        (lambda a: a["multiscales"][0]["datasets"][0].update(path="/etc"), "the place '/etc', which is not inside"),
        (lambda a: a["multiscales"][0]["datasets"][0].update(path="7"), "no readable OME-Zarr"),
        (lambda a: a["multiscales"][0]["axes"].pop(), r"axes c,y: the axes t, c, z, y and x are read"),
        (lambda a: a.clear(), "tell of no multiscales, plate, well or series"),
    ],
)
def test_a_store_that_is_not_what_it_should_be_has_its_reason(tmp_path, change, message):
    break_metadata(write_image(tmp_path / "a.zarr", stacked(), "cyx"), change)
    (reject,) = scan(tmp_path).rejects
    assert re.search(message, reject.reason)


def test_pixels_of_another_kind_are_refused(tmp_path):
    write_image(tmp_path / "a.zarr", stacked().astype(np.float32), "cyx")
    assert [one.reason for one in scan(tmp_path).rejects] == ["float32 pixels; save it with 8 or 16 bits, unsigned"]


def test_a_damaged_chunk_has_its_reason(tmp_path):
    path = write_image(tmp_path / "a.zarr", stacked(), "cyx")
    for chunk in (path / "0").glob("1.*"):
        chunk.write_bytes(b"damaged")
    (source,) = scan(tmp_path).sources
    with pytest.raises(UnreadableImage, match="damaged: "):
        read_image(source, 32, CHANNELS, "depth")


def test_without_the_library_the_reason_names_what_to_install(tmp_path, monkeypatch):
    write_image(tmp_path / "a.zarr", stacked(), "cyx")
    monkeypatch.setitem(sys.modules, "zarr", None)
    (reject,) = scan(tmp_path).rejects
    assert reject.reason == "an OME-Zarr: `pip install 'hpa-hier[zarr]'` reads it"


def test_what_is_in_a_store_does_not_lead_out_of_it_and_is_not_waited_for(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    for kind in ("chunk", "level", "metadata", "pipe", "array pipe"):
        path = write_image(tmp_path / kind.replace(" ", "-") / "a.zarr", stacked(), "cyx")
        chunk = next((path / "0").glob("[0-9]*"))
        given = {"chunk": chunk, "level": path / "0", "metadata": path / ".zattrs"}.get(kind)
        if given is not None:
            given.rename(outside / kind)
            given.symlink_to(outside / kind)
        else:
            file = chunk if kind == "pipe" else path / "0" / ".zarray"
            file.unlink() if file.is_file() else file.rename(tmp_path / "gone")
            os.mkfifo(file)
        told = "is no regular file" if "pipe" in kind else f"is a link that leaves the store, to {outside}"
        with pytest.raises(UnreadableImage, match=re.escape(told)):
            READER.read(path)


def test_a_link_within_a_store_is_followed(tmp_path):
    path = write_image(tmp_path / "a.zarr", stacked(), "cyx")
    (path / "0").rename(path / "full")
    (path / "0").symlink_to("full")
    np.testing.assert_array_equal(READER.read(path), stacked())


def claim(path: Path, axes: str, shape: tuple[int, ...], chunks: tuple[int, ...]) -> Path:
    """Write a store that holds no chunk."""
    write_group(path, {"multiscales": [{"axes": list(axes), "datasets": [{"path": "0"}]}]}, "0.4")
    zarr.create_array(store=path / "0", shape=shape, chunks=chunks, dtype="uint16", zarr_format=2)
    return path


def test_work_out_of_all_proportion_to_what_is_stored_is_refused(tmp_path):
    with pytest.raises(UnreadableImage, match=r"damaged: claims 320,000 MB of sections in \d{3,4} bytes"):
        READER.read(claim(tmp_path / "a.zarr", "zyx", (40_000, 2048, 2048), (1, 512, 512)))
    with pytest.raises(UnreadableImage, match=r"claims 8000 × 8000 pixels of 8 bytes, 488 MB; at most 192 MB are read"):
        READER.read(claim(tmp_path / "b.zarr", "cyx", (4, 8000, 8000), (1, 512, 512)))
    assert READER.read(claim(tmp_path / "c.zarr", "zyx", (9, 40, 40), (1, 20, 20))).shape == (1, 40, 40)


def test_a_chunk_of_more_than_it_can_hold_is_refused_before_it_is_unpacked(tmp_path):
    path = write_image(tmp_path / "a.zarr", stacked(), "cyx")
    with next((path / "0").glob("[0-9]*")).open("r+b") as chunk:
        chunk.truncate(40 << 20)
    with pytest.raises(UnreadableImage, match=r"damaged: 0/\S+ has 41,943,040 bytes; at most 16,777,216 are meant"):
        READER.read(path)


def test_metadata_that_name_one_place_a_thousand_times_name_it_once(tmp_path):
    path = write_image(tmp_path / "a.zarr", stacked(), "cyx")
    about = json.loads((path / ".zattrs").read_text())
    about["multiscales"][0]["datasets"] *= 1000
    (path / ".zattrs").write_text(json.dumps(about))
    np.testing.assert_array_equal(READER.read(path), stacked())
    about["multiscales"][0]["datasets"] = [{"path": str(n)} for n in range(1000)]
    (path / ".zattrs").write_text(json.dumps(about))
    with pytest.raises(UnreadableImage, match="1,000 resolutions; at most 64 are read"):
        READER.read(path)
