"""Images of others: changed at random, and small files made to cost much."""

from __future__ import annotations

import io
import random
import resource
import struct
import sys
import time
import traceback
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import tifffile
from faults.forked import call
from faults.tally import Tally
from PIL import Image

SECONDS = 0.5  # of processor time that a file may take
BYTES = 512 << 20  # of memory that reading a file may take beside what the process has
_BATCH = 500  # files that one child reads
_CHANNELS = ("red", "green", "blue", "yellow")
_PNG = b"\x89PNG\r\n\x1a\n"


def try_images(scratch: Path, suffix: str, times: int, seed: int = 11) -> Tally:
    """Read changed files of a format, as one channel and as a whole image: read or refused in a line, at once."""
    tally = Tally()
    for number, start in enumerate(range(0, times, _BATCH)):
        size = min(_BATCH, times - start)
        tally.tries += size
        try:
            found = call(lambda size=size, number=number: _read_batch(scratch, suffix, size, f"{seed}{suffix}{number}"))
        except RuntimeError as error:
            found = [f"{suffix}, batch {number}: {error}"]
        tally.failures += found
    return tally


def _read_batch(scratch: Path, suffix: str, times: int, seed: str) -> list[str]:
    rng, bases, failures = random.Random(seed), draw_bases()[suffix], []
    path = scratch / f"changed.{suffix}"
    with limited_memory():
        for _ in range(times):
            content = change_image(rng.choice(bases), suffix, rng)
            path.write_bytes(content)
            if found := judge_idle(path):
                failures.append(f"{suffix}: {found}")
                (scratch / f"kept-{len(failures)}.{suffix}").write_bytes(content)
    return failures


class limited_memory:  # noqa: N801 - is used as a function
    """Let this process take no more than `BYTES` beside what it has, where the system can say what that is."""

    def __enter__(self) -> None:
        cv2.setNumThreads(1)
        if sys.platform == "linux":
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + BYTES,) * 2)

    def __exit__(self, *_: object) -> None:
        pass


def judge(path: Path) -> str:
    """Return what is wrong with how a file was read or refused; "" where nothing is."""
    from hpa_hier.data.images.planes import Plane
    from hpa_hier.data.images.read import read_image
    from hpa_hier.data.images.reader import UnreadableImage
    from hpa_hier.data.images.scan import ImageSource, scan
    from hpa_hier.errors import UserError

    def read_channel() -> None:
        image = read_image(ImageSource("x", {"green": Plane(path, None)}), 32, ("green",), "depth").image
        assert image.shape == (1, 32, 32)

    def read_whole() -> None:
        for source in scan(path).sources:
            assert read_image(source, 32, _CHANNELS, "percentile", _CHANNELS).image.shape == (4, 32, 32)

    for read in (read_channel, read_whole):
        began = time.process_time()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read()
        except (UnreadableImage, UserError) as error:
            if "\n" in str(error) or len(str(error)) > 1600:
                return f"refused in {len(str(error))} characters: {str(error)[:300]!r}"
        except BaseException:
            return traceback.format_exc()[-700:]
        if (seconds := time.process_time() - began) > SECONDS:
            return f"{read.__name__} takes {seconds:.2f} s"
    return ""


def judge_idle(path: Path) -> str:
    """Judge a file up to three times: a second of a processor does less where others share it."""
    for _ in range(3):
        found = judge(path)
        if " takes " not in found:
            break
    return found


def draw_bases() -> dict[str, list[bytes]]:
    """Return sound files of each format, of every layout that is read."""
    rng = np.random.default_rng(0)
    grey, colour = rng.integers(0, 255, (40, 48), dtype=np.uint8), rng.integers(0, 255, (40, 48, 3), dtype=np.uint8)
    deep, smooth = grey.astype(np.uint16) * 200, cv2.GaussianBlur(colour, (9, 9), 3)
    stack = rng.integers(0, 255, (4, 40, 48), dtype=np.uint8)

    def by_pillow(pixels: np.ndarray, kind: str, **options: object) -> bytes:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, kind, **options)
        return file.getvalue()

    def tiff(pixels: np.ndarray, **options: object) -> bytes:
        file = io.BytesIO()
        tifffile.imwrite(file, pixels, **options)
        return file.getvalue()

    palette = io.BytesIO()
    Image.fromarray(colour).convert("P").save(palette, "PNG", transparency=3)
    with_alpha = np.dstack([colour, grey])
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    named, axes = ["red", "green", "blue", "yellow"], "CYX"
    plain = {"photometric": "minisblack"}
    return {
        "png": [
            *(cv2.imencode(".png", one)[1].tobytes() for one in (grey, deep, colour, with_alpha, smooth)),
            *(palette.getvalue(), by_pillow(colour, "PNG", optimize=True)),
        ],
        "jpg": [
            *(by_pillow(smooth, "JPEG", quality=80), by_pillow(colour, "JPEG", progressive=True)),
            *(by_pillow(grey, "JPEG"), by_pillow(colour, "JPEG", subsampling=0, restart_marker_blocks=2)),
            by_pillow(smooth, "JPEG", exif=exif),
        ],
        "tif": [
            *(tiff(grey), tiff(deep), tiff(colour, photometric="rgb"), tiff(stack, **plain)),
            tiff(stack.astype(np.uint16) * 100, imagej=True, metadata={"axes": axes, "Labels": named}),
            tiff(deep[None].repeat(4, 0), **plain, ome=True, metadata={"axes": axes, "Channel": {"Name": named}}),
            tiff(stack, compression="zlib", **plain),
            tiff(stack, tile=(16, 16), compression="zlib", **plain),
            tiff(deep, byteorder=">", predictor=True, compression="zlib"),
            *(tiff(stack, bigtiff=True, **plain), tiff(grey, rowsperstrip=1)),
        ],
    }


def change_image(content: bytes, suffix: str, rng: random.Random) -> bytes:
    """Change bytes of a file, above all of its head; of most PNGs the checksums fit again."""
    changed, kind = bytearray(content), rng.random()
    place = rng.randrange(len(changed))
    if kind < 0.5:
        for _ in range(rng.choice((1, 1, 2, 3, 8))):
            place = rng.randrange(len(changed) if rng.random() < 0.5 else min(len(changed), 300))
            bit = changed[place] ^ (1 << rng.randrange(8))
            changed[place] = rng.choice((bit, rng.randrange(256), 0, 255, 127, 128))
    elif kind < 0.62:
        del changed[place:]
    elif kind < 0.72:
        changed[place:place] = rng.randbytes(rng.randint(1, 40))
    elif kind < 0.82:
        del changed[place : place + rng.randint(1, 60)]
    elif kind < 0.92:
        number = rng.choice((0xFFFFFFFF, 0, 0x7FFFFFFF, 0x800000, rng.randrange(1 << 20)))
        changed[place : place + 4] = struct.pack(rng.choice("<>") + "I", number)
    else:
        other = rng.randrange(len(changed))
        changed[place : place + 64] = changed[other : other + 64]
    whole = bytes(changed)
    return _mend_png(whole) if suffix == "png" and whole.startswith(_PNG) and rng.random() < 0.75 else whole


def _mend_png(content: bytes) -> bytes:
    """Return a PNG whose checksums fit, so that a decoder sees what was changed."""
    mended, place = bytearray(content[:8]), 8
    while place + 12 <= len(content):
        size = int.from_bytes(content[place : place + 4], "big")
        if place + 12 + size > len(content):
            mended += content[place:]
            break
        body = content[place + 4 : place + 8 + size]
        mended += content[place : place + 4] + body + zlib.crc32(body).to_bytes(4, "big")
        place += 12 + size
    return bytes(mended)


def try_crafted(scratch: Path) -> Tally:
    """Read each crafted file in a child of its own."""
    tally = Tally()
    for name, suffix, make in list_crafted():
        path = scratch / f"crafted.{suffix}"
        path.write_bytes(make())

        def read(path: Path = path) -> str:
            with limited_memory():
                return judge_idle(path)

        try:
            found = call(read, 60)
        except RuntimeError as error:
            found = str(error)
        tally.add(not found, f"{name} ({path.stat().st_size:,} bytes): {found}")
        path.unlink()
    return tally


def list_crafted() -> Iterator[tuple[str, str, Callable[[], bytes]]]:
    """Yield small files that are made to cost much, or to lead elsewhere: a name, a suffix, and what makes it."""
    for width, height, bits, colour in (
        *((8191, 8191, 8, 0), (8191, 8191, 16, 6), (67_108_864, 1, 8, 0), (1, 67_108_864, 8, 0)),
        *(
            (65_500, 1000, 16, 2),
            (8191, 8191, 8, 2),
            (8191, 8191, 8, 3),
            (8191, 8191, 1, 0),
            (2**31 - 1, 2**31 - 1, 16, 6),
        ),
    ):
        yield (
            f"PNG, {width} x {height}, {bits} bits, colour {colour}",
            "png",
            lambda w=width, h=height, b=bits, c=colour: make_png(w, h, b, c),
        )
    small = {"width": 16, "height": 16, "bits": 8, "colour": 2}
    yield "PNG of 1.7 million chunks", "png", lambda: make_png(**small, extra=_chunk(b"teSt", b"") * 1_700_000)
    yield (
        "PNG with a colour profile of 64 MB",
        "png",
        lambda: make_png(**small, extra=_chunk(b"iCCP", b"x\0\0" + _zeros(64 << 20))),
    )
    yield (
        "PNG with 20 texts of 64 MB",
        "png",
        lambda: make_png(**small, extra=_chunk(b"zTXt", b"x\0\0" + _zeros(64 << 20)) * 20),
    )
    yield "PNG whose pixels end early", "png", lambda: make_png(2000, 2000, 8, 0, data=zlib.compress(bytes(20_000)))
    yield "PNG of 16 x 16 that inflates to 2 GB", "png", lambda: make_png(**small, data=_zeros(2 << 30))
    for bits, colour in ((8, 0), (16, 2), (8, 3)):
        yield (
            f"PNG of 1,000 x 1,000, {bits} bits, colour {colour}, that inflates to 2 GB",
            "png",
            lambda b=bits, c=colour: make_png(1000, 1000, b, c, data=_zeros(2 << 30)),
        )
    yield "TIFF of 4,000 pages that share a strip", "tif", lambda: _share_strip(4000, 4000)
    yield "TIFF of 500 pages of 8,000 x 8,000 in 65 kB each", "tif", lambda: _share_strip(500, 8000, apart=True)
    for scans in (1, 90, 2000):
        yield f"JPEG of {scans} scans", "jpg", lambda scans=scans: make_jpeg(8000, 8000, scans)
    yield "JPEG of 65,496 x 1,024", "jpg", lambda: make_jpeg(65_496, 1024, 1)
    for count in (10_000, 100_000):
        yield (
            f"OME-TIFF of {count:,} channels",
            "tif",
            lambda count=count: make_tiff(
                16, 16, 1, 8, 1, bytes(256), b"<?xml version='1.0'?>" + b"<Channel " * count + b"OME>"
            ),
        )
    yield "TIFF, 8191 x 8191 x 3, 16 bits", "tif", lambda: make_tiff(8191, 8191, 3, 16, 8, _zeros(8191 * 8191 * 6))
    yield "TIFF, a strip of 2 GB for 1,000 x 1,000", "tif", lambda: make_tiff(1000, 1000, 1, 8, 8, _zeros(2 << 30))
    yield "TIFF, 60 million x 1", "tif", lambda: make_tiff(60_000_000, 1, 1, 8, 8, _zeros(60_000_000))
    yield "TIFF, 20 million x 3 x 3", "tif", lambda: make_tiff(20_000_000, 3, 3, 8, 8, _zeros(180_000_000))
    yield "TIFF of 300,000 empty pages", "tif", lambda: _make_chain(300_000)
    yield "TIFF whose page leads to itself", "tif", lambda: b"II*\0" + struct.pack("<IHHHIII", 8, 1, 256, 4, 1, 1, 8)
    for name, text in (
        ("OME, entities of entities", _laugh()),
        ("OME, a file as entity", _ome(b'<!DOCTYPE l [<!ENTITY a SYSTEM "file:///etc/passwd">]>', b"&a;")),
        ("OME, another file", _ome_elsewhere(b"../secret.tif")),
        ("ImageJ, 10^9 images", b"ImageJ=1.53\nimages=1000000000\nslices=1000000000\n"),
        ("a shape of 10^12", b'{"shape": [1000000, 1000000]}'),
        ("a shape of 10^12 in 10^5 parts", b'{"shape": [' + b"1," * 100_000 + b"1]}"),
        ("a shape nested 100,000 deep", b'{"shape": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        ("ScanImage, 5,000 brackets", b"SCANIMAGE.x = " + b"(" * 5000),
        ("1 MB of <", b"<" * 1_000_000),
        ("OME, 1 MB of one attribute", b'<?xml version="1.0"?><OME Name="' + b"x" * 1_000_000 + b'"></OME>'),
        ("OME, nested 100,000 deep", b'<?xml version="1.0"?>' + b"<OME>" * 100_000),
        ("OME, 30,000 images", b'<?xml version="1.0"?><OME>' + b'<Image ID="a"><Pixels/></Image>' * 30_000 + b"</OME>"),
    ):
        yield f"TIFF, {name}", "tif", lambda text=text: make_tiff(16, 16, 1, 8, 1, bytes(256), text)
    yield "TIFF of a million strips", "tif", _make_strips
    yield "no bytes", "png", lambda: b""
    yield "zeros", "tif", lambda: bytes(1_000_000)
    yield "text", "jpg", lambda: b"Id,Target\n" * 1000


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _zeros(size: int) -> bytes:
    """Return zeros, deflated."""
    deflate, parts, piece = zlib.compressobj(9), [], bytes(1 << 20)
    for start in range(0, size, len(piece)):
        parts.append(deflate.compress(piece[: min(len(piece), size - start)]))
    return b"".join((*parts, deflate.flush()))


def make_png(width: int, height: int, bits: int, colour: int, extra: bytes = b"", data: bytes | None = None) -> bytes:
    """Return a PNG of zeros."""
    samples = {0: 1, 2: 3, 3: 1, 6: 4}[colour]
    row = -(-width * samples * bits // 8) + 1
    pixels = _zeros(min(row * height, 1 << 30)) if data is None else data
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    palette = _chunk(b"PLTE", bytes(768)) if colour == 3 else b""
    return _PNG + _chunk(b"IHDR", head) + palette + extra + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def make_tiff(
    width: int, height: int, samples: int, bits: int, compression: int, data: bytes, text: bytes | None = None
) -> bytes:
    """Return a TIFF of one strip."""
    photometric = 2 if samples == 3 else 1

    def build(offset: int) -> bytes:
        entries = [(256, 4, [width]), (257, 4, [height]), (258, 3, [bits] * samples), (259, 3, [compression])]
        entries += [(262, 3, [photometric]), (273, 4, [offset]), (277, 3, [samples]), (278, 4, [height])]
        entries += [(279, 4, [len(data)]), *([(270, 2, text + b"\0")] if text else [])]
        return _write_entries(entries)

    return build(len(build(0))) + data


def _write_entries(entries: list[tuple[int, int, list[int] | bytes]]) -> bytes:
    start, blob = 8 + 2 + 12 * len(entries) + 4, b""
    page = struct.pack("<H", len(entries))
    for code, kind, values in sorted(entries, key=lambda entry: entry[0]):
        form = {3: "<H", 4: "<I"}.get(kind, "")
        raw = values if isinstance(values, bytes) else b"".join(struct.pack(form, value) for value in values)
        if len(raw) <= 4:
            page += struct.pack("<HHI", code, kind, len(values)) + raw.ljust(4, b"\0")
        else:
            page += struct.pack("<HHII", code, kind, len(values), start + len(blob))
            blob += raw + bytes(len(raw) % 2)
    return b"II*\0" + struct.pack("<I", 8) + page + bytes(4) + blob


def _make_chain(pages: int) -> bytes:
    parts = [b"II*\0" + struct.pack("<I", 8)]
    for i in range(pages):
        parts.append(struct.pack("<HHHIII", 1, 256, 4, 1, 1, 8 + 18 * (i + 1) if i < pages - 1 else 0))
    return b"".join(parts)


def _share_strip(pages: int, side: int, apart: bool = False) -> bytes:
    """Return a stack whose pages are one strip of zeros, or a copy of it each."""
    strip = _zeros(side * side)
    parts, place = [b"II*\0" + struct.pack("<I", 8)], 8
    size = 2 + 12 * 10 + 4
    first = 8 + size * pages
    for i in range(pages):
        at = first + (i * len(strip) if apart else 0)
        entries = [(256, 4, side), (257, 4, side), (258, 3, 8), (259, 3, 8), (262, 3, 1), (273, 4, at), (277, 3, 1)]
        entries += [(278, 4, side), (279, 4, len(strip)), (305, 4, 0)]
        page = b"".join(struct.pack("<HHII", code, kind, 1, value) for code, kind, value in entries)
        place += size
        parts.append(struct.pack("<H", len(entries)) + page + struct.pack("<I", place if i < pages - 1 else 0))
    return b"".join((*parts, strip * (pages if apart else 1)))


def _make_strips() -> bytes:
    count = 1_000_000
    entries = [(256, 4, [1]), (257, 4, [count]), (258, 3, [8]), (259, 3, [1]), (262, 3, [1]), (273, 4, [8] * count)]
    return _write_entries([*entries, (277, 3, [1]), (278, 4, [1]), (279, 4, [1] * count)])


def _ome(head: bytes, body: bytes) -> bytes:
    space = b'xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'
    return b'<?xml version="1.0"?>' + head + b"<OME " + space + b">" + body + b"</OME>"


def _laugh() -> bytes:
    lines = b"".join(b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(9))
    return _ome(b'<!DOCTYPE l [<!ENTITY a "aaaaaaaaaa">' + lines + b"]>", b"&j;")


def _ome_elsewhere(file: bytes) -> bytes:
    pixels = (
        b'<Image ID="Image:0"><Pixels ID="P:0" DimensionOrder="XYCZT" Type="uint8" SizeX="16" SizeY="16" SizeC="2" '
        b'SizeZ="1" SizeT="1"><Channel ID="C:0" Name="green"/><Channel ID="C:1" Name="red"/>'
        b'<TiffData IFD="0" FirstC="0" PlaneCount="1"><UUID FileName="a.tif">urn:uuid:1</UUID></TiffData>'
        b'<TiffData IFD="0" FirstC="1" PlaneCount="1"><UUID FileName="' + file + b'">urn:uuid:2</UUID></TiffData>'
        b"</Pixels></Image>"
    )
    return _ome(b"", pixels)


def make_jpeg(width: int, height: int, scans: int) -> bytes:
    """Return a progressive JPEG of grey, each of whose scans goes over all blocks."""
    blocks = -(-width // 8) * -(-height // 8)
    tables = b"\xff\xdb\0\x43\0" + b"\x01" * 64
    frame = b"\xff\xc2" + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\x01\x11\0"

    def huffman(kind: int, value: int) -> bytes:
        return b"\xff\xc4" + struct.pack(">H", 20) + bytes([kind << 4, 1, *[0] * 15, value])

    def scan(first: int, last: int, bits: str) -> bytes:
        bits += "1" * (-len(bits) % 8)
        body = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
        return b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0, first, last, 0) + body

    runs = -(-blocks // 32_767)
    whole = b"\xff\xd8" + tables + frame + huffman(0, 0) + huffman(1, 0xE0) + scan(0, 0, "0" * blocks)
    return whole + scan(1, 63, ("0" + "1" * 14) * runs) * scans + b"\xff\xd9"


def make_elsewhere(file: bytes) -> bytes:
    """Return an OME-TIFF that says that its second channel is in another file."""
    return make_tiff(16, 16, 1, 8, 1, bytes(256), _ome_elsewhere(file))
