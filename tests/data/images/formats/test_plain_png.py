from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hpa_hier.data.images.formats.plain_png import decode_plain
from hpa_hier.data.images.formats.png_jpeg import PngJpegReader
from hpa_hier.data.images.kernels.switch import SWITCH, Kernels, compile_kernels
from hpa_hier.data.images.reader import UnreadableImage

pytest.importorskip("numba")
SAMPLES = {0: 1, 2: 3, 4: 2, 6: 4}  # by colour type
REAL = Path(__file__).parents[4] / "../shared/data/hpa"


@pytest.fixture(scope="module")
def kernels() -> Kernels:
    found = compile_kernels()
    assert found is not None
    return found


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(
    rows: bytes,
    width: int,
    height: int,
    depth: int = 8,
    colour: int = 0,
    before: bytes = b"",
    after: bytes = b"",
    pieces: int = 1,
    interlace: int = 0,
) -> bytes:
    """Make a PNG of rows that have their filters already."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    packed = zlib.compress(rows, 6)
    ends = [len(packed) * i // pieces for i in range(pieces + 1)]
    parts = b"".join(chunk(b"IDAT", packed[a:b]) for a, b in pairwise(ends))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + parts + after + chunk(b"IEND", b"")


def random_rows(seed: int, width: int, height: int, step: int, filters: list[int]) -> bytes:
    """Give rows of noise or of smooth values, by which Paeth's filter chooses each of its three neighbours."""
    rng = np.random.default_rng(seed)
    most = int(rng.choice([2, 4, 16, 256]))
    rows = rng.integers(-most // 2, most - most // 2, (height, 1 + width * step)).astype(np.uint8)
    rows[:, 0] = [filters[y % len(filters)] for y in range(height)]
    return rows.tobytes()


def read(data: bytes, path: Path) -> np.ndarray | str:
    path.write_bytes(data)
    try:
        return PngJpegReader().read(path)
    except UnreadableImage as error:
        return error.reason


PNGS = st.builds(
    lambda seed, width, height, depth, colour, filters, pieces: png(
        random_rows(seed, width, height, SAMPLES[colour] * depth // 8, filters),
        width,
        height,
        depth,
        colour,
        pieces=pieces,
    ),
    st.integers(0, 1 << 30),
    st.integers(1, 40),
    st.integers(1, 24),
    st.sampled_from([8, 16]),
    st.sampled_from([0, 2, 4, 6]),
    st.lists(st.integers(0, 4), min_size=1, max_size=6),
    st.integers(1, 3),
)


@settings(max_examples=100)
@given(data=PNGS)
def test_all_filters_depths_and_colours_give_what_the_libraries_give(
    data: bytes, kernels: Kernels, tmp_path_factory: pytest.TempPathFactory
) -> None:
    ours = decode_plain(data, kernels)
    theirs = read(data, tmp_path_factory.getbasetemp() / "plain.png")
    assert isinstance(theirs, np.ndarray)
    if data[41] == 0x78:  # zlib data with its largest window, as those of all but the smallest pictures have
        assert ours is not None
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)
    else:
        assert ours is None


@settings(max_examples=60)
@given(seed=st.integers(0, 1 << 30), grey=st.booleans())
def test_grey_and_rgb_are_what_pillow_reads(seed: int, grey: bool, kernels: Kernels) -> None:
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 60)), int(rng.integers(1, 60)))
    image = rng.integers(0, 256, shape if grey else (*shape, 3), dtype=np.uint8)
    image = cv2.GaussianBlur(image, (0, 0), 2) if seed % 2 else image
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", compress_level=seed % 10)
    ours = decode_plain(file.getvalue(), kernels)
    if ours is not None:
        np.testing.assert_array_equal(ours[0] if grey else np.moveaxis(ours, 0, 2), image)


def fix_checksums(data: bytes) -> bytes:
    """Give each chunk its right checksum, so that what is wrong in it comes to the decoder."""
    fixed, at = bytearray(data[:8]), 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if at + 12 + length > len(data):
            break
        fixed += data[at : at + 8 + length] + struct.pack(">I", zlib.crc32(data[at + 4 : at + 8 + length]))
        at += 12 + length
    return bytes(fixed) + data[at:]


DAMAGE = given(
    data=PNGS,
    places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.floats(0.5, 2),
    fixed=st.booleans(),
)


def check_damaged_png(
    data: bytes, places: list[tuple[float, int]], cut: float, fixed: bool, kernels: Kernels, path: Path
) -> None:
    damaged = bytearray(data)
    for place, value in places:
        damaged[8 + int(place * (len(data) - 9))] = value
    damaged = damaged[: int(len(damaged) * cut)]
    damaged_bytes = fix_checksums(bytes(damaged)) if fixed else bytes(damaged)
    ours = decode_plain(damaged_bytes, kernels)
    if ours is not None:
        theirs = read(damaged_bytes, path)
        assert isinstance(theirs, np.ndarray), theirs
        np.testing.assert_array_equal(ours, theirs)


@settings(max_examples=120)
@DAMAGE
def test_a_damaged_file_is_refused_or_equal(data, places, cut, fixed, kernels, tmp_path_factory) -> None:
    check_damaged_png(data, places, cut, fixed, kernels, tmp_path_factory.getbasetemp() / "damaged.png")


@pytest.mark.slow
@settings(max_examples=3000)
@DAMAGE
def test_thousands_of_damaged_files_are_refused_or_equal(data, places, cut, fixed, kernels, tmp_path_factory) -> None:
    check_damaged_png(data, places, cut, fixed, kernels, tmp_path_factory.getbasetemp() / "damaged.png")


ROWS = random_rows(1, 64, 64, 1, [0, 1, 2, 3, 4])
RGB = random_rows(1, 64, 64, 3, [0, 1, 2, 3, 4])


@pytest.mark.parametrize(
    "data",
    [
        png(ROWS, 64, 64, before=chunk(b"pHYs", bytes(9)), after=chunk(b"tIME", bytes(7))),
        png(ROWS, 64, 64, before=chunk(b"tEXt", b"Software\0x") + chunk(b"gAMA", struct.pack(">I", 45455))),
        png(RGB, 64, 64, 8, 2, before=chunk(b"sRGB", b"\0") + chunk(b"cHRM", bytes(32))),
    ],
)
def test_chunks_that_change_no_value_are_passed_over(data: bytes, kernels: Kernels, tmp_path: Path) -> None:
    ours = decode_plain(data, kernels)
    assert ours is not None
    np.testing.assert_array_equal(ours, read(data, tmp_path / "a.png"))


@pytest.mark.parametrize(
    "data",
    [
        png(ROWS, 64, 64, colour=3, before=chunk(b"PLTE", bytes(range(256)) * 3)),
        png(ROWS, 64, 64, before=chunk(b"tRNS", b"\0\3")),
        png(ROWS, 64, 64, before=chunk(b"pHYs", bytes(4))),
        png(ROWS, 64, 64, before=chunk(b"acTL", struct.pack(">II", 1, 0))),
        png(ROWS, 64, 64, before=chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(99)))),
        png(ROWS, 64, 64, before=chunk(b"tEXt", b"x\0" + bytes(9999))),
        png(ROWS, 64, 64, before=chunk(b"teSt", b"") * 5000),
        png(ROWS, 64, 64, interlace=1),
        png(ROWS, 64, 65),
        png(ROWS, 64, 63),
        png(ROWS, 64, 64) + b"more",
        png(ROWS, 64, 64)[:-12],
        png(ROWS.replace(b"\4", b"\5", 1), 64, 64),
        png(ROWS, 64, 64).replace(b"IEND", b"IENd"),
        b"\x89PNG\r\n\x1a\n",
        b"",
    ],
)
def test_what_is_odd_is_left_to_the_libraries(data: bytes, kernels: Kernels) -> None:
    assert decode_plain(data, kernels) is None


NOISE = np.random.default_rng(0).bytes(40_000)


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        (png(ROWS, 1 << 16, 1 << 16), "claims over 134,217,728 pixels; at most 67,108,864 are read"),
        (png(NOISE, 8192, 8192, 16, 6), "claims 8192 × 8192 pixels of 8 bytes, 512 MB; at most 192 MB are read: save"),
        (png(NOISE, 1_000_001, 1), "a side of 1,000,001 pixels; at most 1,000,000 are read"),
        (png(bytes(4096), 8000, 8000), "damaged: claims 8000 × 8000 pixels in 83 bytes, which cannot hold them"),
    ],
    ids=["pixels", "bytes", "side", "packed"],
)
def test_a_file_may_not_claim_more_than_is_read_whoever_decodes_it(
    claims: bytes, reason: str, kernels: Kernels, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    inflate: Callable[..., bytes] = pytest.fail
    for found in (replace(kernels, inflate=inflate), None):
        monkeypatch.setattr(SWITCH, "kernels", found)
        assert str(read(claims, tmp_path / "a.png")).startswith(reason)


def test_real_files_are_the_same(kernels: Kernels, monkeypatch: pytest.MonkeyPatch) -> None:
    files = sorted(REAL.glob("complete/*.png"))[:8] + sorted(REAL.glob("fields/*.png"))[:1]
    if not files:
        pytest.skip("no real images here")
    without = [PngJpegReader().read(file) for file in files]
    monkeypatch.setattr(SWITCH, "kernels", replace(kernels, checksum=zlib.crc32))
    for file, expected in zip(files, without, strict=True):
        assert decode_plain(file.read_bytes(), kernels) is not None
        np.testing.assert_array_equal(PngJpegReader().read(file), expected)
