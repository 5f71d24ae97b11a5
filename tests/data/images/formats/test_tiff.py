"""TIFF: a file gives its own planes only, by the axes that it names, as a viewer shows them."""

from __future__ import annotations

import re
import struct
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from hpa_hier.data.images.formats.tiff import TiffReader
from hpa_hier.data.images.reader import UnreadableImage
from hpa_hier.data.images.stacks import StackRules

READER = TiffReader()
LEVEL = {"red": 40, "green": 90, "blue": 160, "yellow": 220}
_opened: list[str] | None = None


def _audit(event: str, args: tuple[object, ...]) -> None:
    if _opened is not None and event in ("open", "os.listdir", "os.scandir", "glob.glob"):
        _opened.append(str(args[0]))


sys.addaudithook(_audit)  # sees every file that Python opens


@contextmanager
def opened_files() -> Iterator[list[str]]:
    """Collect the names of the files that are opened meanwhile."""
    global _opened
    _opened = []
    try:
        yield _opened
    finally:
        _opened = None


def noise(shape: tuple[int, ...], seed: int = 0, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype=dtype)


def write_ome_set(
    folder: Path,
    stains: tuple[str, ...],
    *,
    sections: int = 1,
    root: bool = True,
    place: Callable[[str], str] = str,
    side: Callable[[str], int] = lambda _: 16,
) -> dict[str, Path]:
    """Write one grey OME-TIFF a stain, each telling of all of them.

    Args:
        folder: to write into.
        stains: one a file.
        sections: along z, in each file.
        root: whether a file says which of the set it is.
        place: file name → what the metadata calls it.
        side: of a stain's file, pixels.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {stain: folder / f"a1_{stain}.ome.tif" for stain in stains}
    ids = {stain: f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, stain)}" for stain in stains}
    channels = "".join(f'<Channel ID="Channel:0:{i}" Name="{s}" SamplesPerPixel="1"/>' for i, s in enumerate(stains))
    data = "".join(
        f'<TiffData FirstC="{c}" FirstT="0" FirstZ="{z}" IFD="{z}" PlaneCount="1">'
        f'<UUID FileName="{place(files[stain].name)}">{ids[stain]}</UUID></TiffData>'
        for c, stain in enumerate(stains)
        for z in range(sections)
    )
    for stain, file in files.items():
        xml = (
            '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'
            + (f' UUID="{ids[stain]}"' if root else "")
            + '><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="16" SizeY="16" '
            f'SizeC="{len(stains)}" SizeZ="{sections}" SizeT="1">{channels}{data}</Pixels></Image></OME>'
        )
        planes = np.stack([np.full((side(stain),) * 2, LEVEL[stain] + z, np.uint8) for z in range(sections)])
        tifffile.imwrite(file, planes, description=xml.encode(), metadata=None, photometric="minisblack")
    return files


# a file of a set


@pytest.mark.parametrize("stains", [("green", "blue"), ("red", "green", "blue"), ("red", "green", "blue", "yellow")])
@pytest.mark.parametrize("root", [True, False])
def test_each_file_of_an_ome_set_gives_its_own_plane(tmp_path, stains, root):
    for stain, file in write_ome_set(tmp_path, stains, root=root).items():
        assert READER.read(file).tolist() == np.full((1, 16, 16), LEVEL[stain]).tolist()
        assert READER.layout(file).names == (stain,)


def test_a_file_of_an_ome_set_opens_no_other_file(tmp_path):
    files = write_ome_set(tmp_path / "in", ("red", "green"))
    with opened_files() as opened:
        READER.read(files["green"])
    assert {name for name in opened if name.startswith(str(tmp_path))} == {str(files["green"])}


@pytest.mark.parametrize("named", ["../outside/{}", "/etc/{}", "absent-{}", "..\\outside\\{}"])
def test_what_the_metadata_calls_its_siblings_does_not_matter(tmp_path, named):
    write_ome_set(tmp_path / "outside", ("red", "green"))
    files = write_ome_set(tmp_path / "in", ("red", "green"), place=named.format)
    with opened_files() as opened:
        assert (READER.read(files["green"]) == LEVEL["green"]).all()
    assert {name for name in opened if name.startswith(str(tmp_path))} == {str(files["green"])}


def test_renamed_and_lone_files_of_an_ome_set_are_read(tmp_path):
    files = write_ome_set(tmp_path, ("red", "green", "blue"))
    renamed = files["green"].rename(tmp_path / "x.ome.tif")
    for stain in ("red", "blue"):
        files[stain].unlink()
    assert (READER.read(renamed) == LEVEL["green"]).all()
    assert READER.layout(renamed).names == ("green",)


def test_a_renamed_file_that_does_not_say_which_it_is_gives_its_plane_without_a_name(tmp_path):
    files = write_ome_set(tmp_path, ("red", "green"), root=False)
    renamed = files["green"].rename(tmp_path / "x.ome.tif")
    assert (READER.read(renamed) == LEVEL["green"]).all()
    assert READER.layout(renamed).names == ()


def test_the_files_of_an_ome_set_may_differ_in_size(tmp_path):
    files = write_ome_set(tmp_path, ("red", "green"), side=lambda stain: 8 if stain == "red" else 16)
    assert READER.read(files["red"]).shape == (1, 8, 8)
    assert READER.read(files["green"]).shape == (1, 16, 16)


def test_a_file_of_an_ome_set_may_be_a_z_stack(tmp_path):
    file = write_ome_set(tmp_path, ("red", "green"), sections=3)["green"]
    assert (READER.layout(file).planes, READER.layout(file).sections) == (1, 3)
    assert [int(READER.read_stack(file, StackRules(rule)).planes.max()) for rule in ("max", "mean", "middle")] == [
        LEVEL["green"] + 2,
        LEVEL["green"] + 1,
        LEVEL["green"] + 1,
    ]


def test_a_file_of_an_ome_set_with_more_planes_than_it_tells_of_is_refused(tmp_path):
    file = write_ome_set(tmp_path, ("red", "green"), sections=3)["green"]
    with tifffile.TiffFile(file, _multifile=False) as tiff:
        xml = tiff.ome_metadata
    tifffile.imwrite(file, noise((2, 16, 16)), description=xml.encode(), metadata=None, photometric="minisblack")
    assert READER.layout(file).sections == 2  # a stack that was stopped early
    tifffile.imwrite(file, noise((4, 16, 16)), description=xml.encode(), metadata=None, photometric="minisblack")
    with pytest.raises(UnreadableImage, match="4 planes where its metadata tells of 3"):
        READER.layout(file)


def test_a_micro_manager_stack_opens_no_other_file(tmp_path, monkeypatch):
    """Micro-Manager's files are found by a pattern in their folder, unless told otherwise."""
    asked = {}
    monkeypatch.setattr(tifffile, "TiffFile", lambda path, **flags: asked.update(flags))
    from hpa_hier.data.images.formats import tiff

    (tmp_path / "a_MMStack.ome.tif").write_bytes(b"II*\0")
    tiff._open(tmp_path / "a_MMStack.ome.tif")
    assert asked == {"_multifile": False, "is_mmstack": False, "is_ndtiff": False}


def test_a_companion_file_of_metadata_is_not_opened(tmp_path):
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
        'UUID="urn:uuid:1"><BinaryOnly MetadataFile="x.companion.ome" UUID="urn:uuid:2"/></OME>'
    )
    (tmp_path / "x.companion.ome").write_text(xml)
    tifffile.imwrite(tmp_path / "a.ome.tif", noise((8, 8)), description=xml.encode(), metadata=None)
    with opened_files() as opened:
        np.testing.assert_array_equal(READER.read(tmp_path / "a.ome.tif")[0], noise((8, 8)))
    assert {name for name in opened if name.startswith(str(tmp_path))} == {str(tmp_path / "a.ome.tif")}


# axes


@pytest.mark.parametrize("writer", ["ome", "imagej", "shaped"])
@pytest.mark.parametrize("axes", ["ZYX", "CYX", "ZCYX", "TZCYX"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_axes_are_obeyed(tmp_path, writer, axes, compression):
    sizes = {"T": 2, "Z": 3, "C": 4, "Y": 8, "X": 9}
    array = noise(tuple(sizes[axis] for axis in axes), dtype=np.uint16)
    file = tmp_path / "a.tif"
    kind = {} if writer == "shaped" else {writer: True}
    settings = {"metadata": {"axes": axes}, "photometric": "minisblack", "compression": compression}
    tifffile.imwrite(file, array, **kind, **settings)
    layout = READER.layout(file)
    told = tuple(sizes[axis] if axis in axes else 1 for axis in "CZT")
    assert (layout.planes, layout.sections, layout.frames) == told
    full = array.reshape(tuple(sizes[axis] if axis in axes else 1 for axis in "TZCYX"))
    for rule in ("max", "mean", "middle"):
        got = READER.read_stack(file, StackRules(rule, "last"))
        frame = full[-1]
        expected = {
            "max": frame.max(axis=0),
            "mean": np.floor(frame.mean(axis=0) + 0.5),
            "middle": frame[(len(frame) - 1) // 2],
        }[rule]
        np.testing.assert_array_equal(got.planes, expected)
        assert (got.sections, got.frames) == told[1:]


def test_a_coloured_z_stack_is_projected_colour_by_colour(tmp_path):
    array = noise((3, 8, 9, 3))
    tifffile.imwrite(tmp_path / "a.tif", array, imagej=True, metadata={"axes": "ZYXS"})
    assert READER.layout(tmp_path / "a.tif").rgb
    np.testing.assert_array_equal(READER.read(tmp_path / "a.tif"), np.moveaxis(array.max(axis=0), 2, 0))


def test_a_time_series_needs_a_frame(tmp_path):
    array = np.arange(5, dtype=np.uint8)[:, None, None] * np.ones((1, 8, 8), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", array, imagej=True, metadata={"axes": "TYX"})
    with pytest.raises(UnreadableImage, match="a time series of 5 frames; choose one with --frame first, middle, last"):
        READER.read(tmp_path / "a.tif")
    taken = {
        frame: int(READER.read_stack(tmp_path / "a.tif", StackRules(frame=frame)).planes.max())
        for frame in ("first", "middle", "last", "4")
    }
    assert taken == {"first": 0, "middle": 2, "last": 4, "4": 3}
    with pytest.raises(UnreadableImage, match="--frame 6: the time series has 5 frames"):
        READER.read_stack(tmp_path / "a.tif", StackRules(frame="6"))


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((40, 32, 32), r"shape \(40, 32, 32\), axes QYX: nothing says whether these are sections, frames or channels"),
        ((5, 4, 32, 32), r"shape \(5, 4, 32, 32\), axes QQYX: an axis without a meaning; say which it is in Fiji"),
    ],
)
def test_pages_that_nothing_is_said_of_are_refused(tmp_path, shape, reason):
    tifffile.imwrite(tmp_path / "a.tif", noise(shape), photometric="minisblack")
    with pytest.raises(UnreadableImage, match=reason):
        READER.layout(tmp_path / "a.tif")


def test_a_spectral_stack_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", noise((32, 8, 8)), imagej=True, metadata={"axes": "CYX"})
    with pytest.raises(UnreadableImage, match="32 channels; at most 16 are read"):
        READER.layout(tmp_path / "a.tif")


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_long_z_stack_is_projected_section_by_section(tmp_path, compression, monkeypatch):
    from hpa_hier.data.images.formats import tiff

    array = noise((64, 32, 32))
    settings = {"metadata": {"axes": "ZYX"}, "photometric": "minisblack", "compression": compression}
    tifffile.imwrite(tmp_path / "a.tif", array, **settings)
    monkeypatch.setattr(tiff, "MAX_BYTES", 4 * array[0].nbytes)  # a whole stack is more than may be in memory
    np.testing.assert_array_equal(READER.read(tmp_path / "a.tif")[0], array.max(axis=0))


# as a viewer shows them


def test_white_as_zero_is_read_as_pillow_shows_it(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", noise((8, 8)), photometric="miniswhite")
    np.testing.assert_array_equal(READER.read(tmp_path / "a.tif")[0], np.asarray(Image.open(tmp_path / "a.tif")))


def test_white_as_zero_in_16_bits_is_refused_since_viewers_disagree(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", noise((8, 8), dtype=np.uint16), photometric="miniswhite")
    with pytest.raises(UnreadableImage, match="16 bits in which white is zero; save it with black as zero"):
        READER.read(tmp_path / "a.tif")


@pytest.mark.parametrize("grey", [True, False])
def test_a_colour_map_is_applied_as_pillow_does(tmp_path, grey):
    colours = noise((3, 256), dtype=np.uint16)
    colours = np.stack([colours[0]] * 3) if grey else colours
    tifffile.imwrite(tmp_path / "a.tif", noise((8, 8)), photometric="palette", colormap=colours)
    shown = np.moveaxis(np.asarray(Image.open(tmp_path / "a.tif").convert("RGB")), 2, 0)
    read = READER.read(tmp_path / "a.tif")
    np.testing.assert_array_equal(read, shown[:1] if grey else shown)
    assert READER.layout(tmp_path / "a.tif").rgb is not grey


def test_printed_colours_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", noise((8, 8, 4)), photometric="separated")
    with pytest.raises(UnreadableImage, match="SEPARATED colours; save it as grey or RGB"):
        READER.layout(tmp_path / "a.tif")


def test_alpha_is_no_plane(tmp_path):
    grey, colour = noise((8, 8, 2)), noise((8, 8, 4))
    tifffile.imwrite(tmp_path / "grey.tif", grey, photometric="minisblack", planarconfig="contig", extrasamples=[2])
    np.testing.assert_array_equal(READER.read(tmp_path / "grey.tif"), grey[None, ..., 0])
    tifffile.imwrite(tmp_path / "colour.tif", colour, photometric="rgb", extrasamples=[2])
    assert READER.layout(tmp_path / "colour.tif").rgb


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.uint32])
def test_another_depth_is_refused_with_what_to_do(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8), dtype))
    cure = re.escape("save it with 8 or 16 bits, unsigned, as in Fiji: Image > Type > 16-bit")
    with pytest.raises(UnreadableImage, match=f"{np.dtype(dtype)} pixels; {cure}"):
        READER.layout(tmp_path / "a.tif")


def test_a_compression_whose_library_is_missing_says_what_to_install(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8), np.uint8), compression="zlib")

    def decode(*_, **__):
        raise ModuleNotFoundError("No module named 'compression'")

    monkeypatch.setattr(tifffile.TiffPage, "asarray", decode)
    monkeypatch.setattr(tifffile.TiffFrame, "asarray", decode)
    with pytest.raises(
        UnreadableImage, match=r"No module named 'compression': `pip install 'hpa-hier\[tiff\]'` reads it"
    ):
        READER.read(tmp_path / "a.tif")


def test_pages_that_share_their_bytes_are_damaged(tmp_path: Path) -> None:
    path, pages, side = tmp_path / "a.tif", 9, 32
    size, kinds = 2 + 9 * 12 + 4, (256, 257, 258, 259, 262, 273, 277, 278, 279)
    content = b"II*\0" + struct.pack("<I", 8)
    for i in range(pages):
        values = (side, side, 8, 1, 1, 8 + pages * size, 1, side, side * side)
        tags = b"".join(struct.pack("<HHII", kind, 4, 1, value) for kind, value in zip(kinds, values, strict=True))
        content += struct.pack("<H", len(kinds)) + tags + struct.pack("<I", 8 + (i + 1) * size if i < pages - 1 else 0)
    path.write_bytes(content + bytes(side * side))
    with pytest.raises(UnreadableImage, match=r"damaged: its planes share parts of its 2,058 bytes"):
        READER.layout(path)


def test_a_stack_out_of_all_proportion_to_its_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpa_hier.data.images.reader.MAX_DECODED", 1 << 20)
    path = tmp_path / "a.tif"
    empty = np.zeros((40, 1000, 1000), np.uint8)
    tifffile.imwrite(path, empty, photometric="minisblack", compression="zlib", metadata={"axes": "ZYX"})
    with pytest.raises(UnreadableImage, match=r"damaged: claims 38 MB of sections in [\d,]+ bytes"):
        READER.read(path)
    assert READER.read_stack(path, StackRules("middle")).planes.shape == (1, 1000, 1000)
