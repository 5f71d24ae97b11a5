from __future__ import annotations

import resource
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile

from hpa_hier.data.images.channels import parse_hint
from hpa_hier.data.images.formats.tiff import TiffReader
from hpa_hier.data.images.planes import find_planes
from hpa_hier.data.images.reader import UnreadableImage

HEAD = '<?xml version="1.0"?>'
MOST_SECONDS = 10  # of processor time, for what takes a hundredth; without its limit each case takes minutes


def write(path: Path, description: str, pages: int = 1) -> Path:
    planes = np.zeros((pages, 16, 16), np.uint8)
    with tifffile.TiffWriter(path) as tiff:
        for plane in planes:
            tiff.write(plane, description=description, contiguous=False, metadata=None, photometric="minisblack")
            description = ""
    return path


def ome(sizes: str, data: str, name: str = "green") -> str:
    return (
        f'{HEAD}<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        f'<Pixels ID="P:0" DimensionOrder="XYCZT" Type="uint8" SizeX="16" SizeY="16" {sizes}>'
        f'<Channel ID="C:0" Name="{name}"/>{data}</Pixels></Image></OME>'
    )


def reason(path: Path) -> str:
    began = resource.getrusage(resource.RUSAGE_SELF)
    with pytest.raises(UnreadableImage) as caught:
        find_planes(path, parse_hint(None))
    ended = resource.getrusage(resource.RUSAGE_SELF)
    assert ended.ru_utime - began.ru_utime < MOST_SECONDS
    assert ended.ru_maxrss - began.ru_maxrss < 512 << 10  # KiB
    return caught.value.reason


ONE = 'SizeC="1" SizeZ="1" SizeT="1"'


def test_metadata_that_tell_of_a_billion_planes_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", ome('SizeC="1000000000" SizeZ="1" SizeT="1"', '<TiffData IFD="0"/>'))
    told = "its OME metadata tells of 1,000,000,000 planes; at most 262,144 are read"
    assert reason(path) == f"no readable TIFF: ValueError: {told}"


def test_entities_of_metadata_are_never_opened_out(tmp_path: Path) -> None:
    laughs = "".join(f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(9))
    xml = f'{HEAD}<!DOCTYPE l [<!ENTITY a "aaaaaaaaaa">{laughs}]><OME xmlns="x">&j;</OME>'
    told = "its OME metadata declares a document type"
    assert reason(write(tmp_path / "a.tif", xml)) == f"no readable TIFF: ValueError: {told}"


@pytest.mark.parametrize(
    "name", ["ab " * 300_000 + "x", ":" * 300_000 + "x", "c" + "_" * 300_000 + "!x", "1" * 300_000]
)
def test_a_name_of_megabytes_takes_no_time_and_is_told_by_its_beginning(name: str, tmp_path: Path) -> None:
    told = reason(write(tmp_path / "a.tif", ome(ONE, '<TiffData IFD="0"/>', name)))
    assert len(told) < 400
    assert name[:20] in told


def test_channels_that_never_end_take_no_time(tmp_path: Path) -> None:
    assert "one grey plane" in reason(write(tmp_path / "a.tif", HEAD + "<Channel " * 100_000 + "OME>"))


def test_pages_that_are_told_of_again_and_again_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", ome('SizeC="1" SizeZ="90" SizeT="1"', "<TiffData/>" * 90_000), pages=90)
    assert "its OME metadata tells of 8,100,000 planes" in reason(path)


def test_pages_that_are_told_of_twice_are_nowhere(tmp_path: Path) -> None:
    twice = '<TiffData><UUID FileName="a.tif">x</UUID></TiffData>' * 2
    other = '<TiffData><UUID FileName="b.tif">y</UUID></TiffData>'
    path = write(tmp_path / "a.tif", ome('SizeC="1" SizeZ="9" SizeT="1"', twice + other), pages=9)
    assert "9 planes, of a set of files in which its metadata does not name it" in reason(path)


def chain(pages: int) -> bytes:
    """Make a TIFF of pages that hold nothing but their width."""
    out, place = bytearray(b"II*\0" + struct.pack("<I", 8)), 8
    for page in range(pages):
        place += 18
        out += struct.pack("<HHHIII", 1, 256, 4, 1, 1, place if page < pages - 1 else 0)
    return bytes(out)


def test_hundreds_of_thousands_of_pages_are_not_gone_to(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(chain(300_000))
    assert reason(tmp_path / "a.tif") == "more than 8,192 pages; an image has fewer"


def test_a_plane_in_a_million_pieces_is_refused(tmp_path: Path) -> None:
    count = 1_000_000
    lists = struct.pack("<I", 8) * count + struct.pack("<I", 1) * count
    first = 8 + 2 + 12 * 9 + 4
    tags = [
        (256, 4, 1, 1), (257, 4, 1, count), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
        (273, 4, count, first), (277, 3, 1, 1), (278, 4, 1, 1), (279, 4, count, first + 4 * count),
    ]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    data = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + lists
    (tmp_path / "a.tif").write_bytes(data)
    assert reason(tmp_path / "a.tif") == "a plane in 1,000,000 pieces; at most 65,536"


def test_hundreds_of_planes_are_refused_in_a_line(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", np.zeros((8, 8, 300), np.uint8), photometric="minisblack", planarconfig="contig"
    )
    assert len(reason(tmp_path / "a.tif")) < 200


def test_bytes_of_all_planes_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, shape=(4, 6000, 6000), dtype=np.uint16, photometric="minisblack", metadata={"axes": "CYX"})
    with pytest.raises(UnreadableImage, match="claims 6000 × 6000 pixels of 8 bytes, 274 MB; at most 192 MB are read"):
        TiffReader().read(path)
