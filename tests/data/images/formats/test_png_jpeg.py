from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hpa_hier.data.images.formats.png_jpeg import PngJpegReader
from hpa_hier.data.images.reader import UnreadableImage


def picture(seed: int, colours: int = 3) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (90, 70, colours), dtype=np.uint8)
    return np.squeeze(cv2.GaussianBlur(noise, (0, 0), 2))


def jpeg(pixels: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", **options)
    return file.getvalue()


def read(path: Path, data: bytes) -> np.ndarray:
    path.write_bytes(data)
    return PngJpegReader().read(path)


def reason(path: Path, data: bytes) -> str:
    with pytest.raises(UnreadableImage) as caught:
        read(path, data)
    return caught.value.reason


KINDS = [{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_blocks": 2}, {"keep_rgb": True}]


@pytest.mark.parametrize("options", KINDS)
@pytest.mark.parametrize("colours", [1, 3])
def test_a_jpeg_is_what_pillow_reads(options: dict[str, object], colours: int, tmp_path: Path) -> None:
    data = jpeg(picture(1, colours), **options)
    expected = np.asarray(Image.open(io.BytesIO(data)))
    found = read(tmp_path / "a.jpg", data)
    np.testing.assert_array_equal(found[0] if colours == 1 else np.moveaxis(found, 0, 2), expected)


@pytest.mark.parametrize("options", KINDS)
@pytest.mark.parametrize("colours", [1, 3])
def test_a_cut_jpeg_with_its_end_mark_is_refused(options: dict[str, object], colours: int, tmp_path: Path) -> None:
    whole = jpeg(picture(2, colours), **options)
    start = whole.index(b"\xff\xda") + 20
    for end in np.linspace(start, len(whole) - 8, 9).astype(int):
        assert "damaged or truncated" in reason(tmp_path / "a.jpg", whole[:end] + b"\xff\xd9")


DAMAGE = given(
    options=st.sampled_from(KINDS),
    places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=3),
    cut=st.floats(0.2, 1.5),
)


def check_damaged_jpeg(options: dict[str, object], places: list[tuple[float, int]], cut: float, path: Path) -> None:
    data = bytearray(jpeg(picture(3), **options))
    for place, value in places:
        data[int(place * (len(data) - 1))] = value
    damaged = bytes(data[: int(len(data) * cut)])
    try:
        found = read(path, damaged)
    except UnreadableImage:
        return
    expected = np.asarray(Image.open(io.BytesIO(damaged)))
    np.testing.assert_array_equal(found, expected[None] if expected.ndim == 2 else np.moveaxis(expected, 2, 0))


@settings(max_examples=80)
@DAMAGE
def test_a_damaged_jpeg_is_refused_or_what_pillow_reads(options, places, cut, tmp_path_factory) -> None:
    check_damaged_jpeg(options, places, cut, tmp_path_factory.getbasetemp() / "damaged.jpg")


@pytest.mark.slow
@settings(max_examples=3000)
@DAMAGE
def test_thousands_of_damaged_jpegs_are_refused_or_what_pillow_reads(options, places, cut, tmp_path_factory) -> None:
    check_damaged_jpeg(options, places, cut, tmp_path_factory.getbasetemp() / "damaged.jpg")


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, depth: int, colour: int, more: bytes = b"") -> bytes:
    """Make a PNG of zeros."""
    size = (width * {0: 1, 2: 3, 3: 1, 6: 4}[colour] * depth // 8 + 1) * height
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    pixels = zlib.compress(bytes(size), 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + more + chunk(b"IDAT", pixels) + chunk(b"IEND")


def test_bytes_are_bounded_and_not_only_pixels(tmp_path: Path) -> None:
    data = png(6000, 2000, 16, 6)
    data = data[:16] + struct.pack(">II", 6000, 6000) + data[24:29] + b"\0\0\0\0" + data[33:]  # with its other rows cut
    data = data[:29] + struct.pack(">I", zlib.crc32(data[12:29])) + data[33:]
    tracemalloc.start()
    told = reason(tmp_path / "a.png", data)
    assert told == (
        "claims 6000 × 6000 pixels of 8 bytes, 274 MB; at most 192 MB are read: "
        "save each channel as a file of its own, or cut it into fields"
    )
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()


@pytest.mark.parametrize(("depth", "colour"), [(8, 0), (16, 0), (8, 2), (16, 2), (8, 6)])
def test_smaller_ones_are_read(depth: int, colour: int, tmp_path: Path) -> None:
    assert read(tmp_path / "a.png", png(64, 32, depth, colour)).shape == (1 if colour == 0 else 3, 32, 64)


def test_a_side_that_libpng_does_not_read_is_told_of(tmp_path: Path) -> None:
    assert (
        reason(tmp_path / "a.png", png(2_000_000, 1, 8, 0)) == "a side of 2,000,000 pixels; at most 1,000,000 are read"
    )


def test_a_png_of_a_million_chunks_is_refused_before_any_library_goes_over_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("opened"))
    data = png(16, 16, 8, 0, chunk(b"teSt") * (1 << 16))
    assert reason(tmp_path / "a.png", data) == "damaged: more than 65,536 pieces"
    assert PngJpegReader().layout(tmp_path / "a.png").planes is None


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (b"\xff\xfe\0\2" * (1 << 16), "damaged: more than 65,536 pieces"),
        (b"\xff" * (1 << 17), "damaged: more than 65,536 pieces"),
        (bytes(1 << 17), "damaged or truncated: no segment of a JPEG at byte 2"),
    ],
)
def test_a_jpeg_of_a_million_segments_is_refused_too(
    more: bytes, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("opened"))
    whole = jpeg(picture(4))
    assert reason(tmp_path / "a.jpg", whole[:2] + more + whole[2:]) == told
    assert PngJpegReader().layout(tmp_path / "a.jpg").planes is None


def test_a_jpeg_of_thousands_of_scans_is_refused(tmp_path: Path) -> None:
    whole = jpeg(picture(5), progressive=True)
    first = whole.index(b"\xff\xda")
    second = whole.index(b"\xff\xda", first + 2)
    assert read(tmp_path / "a.jpg", whole).shape == (3, 90, 70)
    scans = whole.count(b"\xff\xda") + 99
    told = reason(tmp_path / "a.jpg", whole[:first] + whole[first:second] * 100 + whole[second:])
    assert told == f"{scans:,} scans; a progressive JPEG of more than 64 is not read"


def test_a_png_that_inflates_to_more_than_its_pixels_is_refused(tmp_path: Path) -> None:
    def make(colour: int, bits: int) -> bytes:
        palette = chunk(b"PLTE", bytes(768)) if colour == 3 else b""
        head = struct.pack(">IIBBBBB", 16, 16, bits, colour, 0, 0, 0)
        pixels = zlib.compress(bytes(1 << 20))
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + palette + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")

    for colour, bits in ((3, 8), (2, 16), (6, 16), (4, 16)):
        assert reason(tmp_path / "a.png", make(colour, bits)) == "damaged: more packed pixels than 16 × 16"
    for colour, bits in ((0, 8), (0, 16), (2, 8)):  # of these no more is inflated
        assert not read(tmp_path / "a.png", make(colour, bits)).any()


def test_a_palette_counts_as_the_colours_that_it_becomes(tmp_path: Path) -> None:
    told = reason(tmp_path / "a.png", png(8000, 8000, 8, 3, chunk(b"PLTE", bytes(768))))
    assert told.startswith("claims 8000 × 8000 pixels of 4 bytes, 244 MB; at most 192 MB are read")
