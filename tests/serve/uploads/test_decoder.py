"""Decoder: whatever is sent, it costs no more than its bounds, and the next image is read."""

from __future__ import annotations

import io
import signal
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from ensemble_run import CHANNELS, SIZE
from small_server import Running, encode

from hpa_hier.serve.uploads.decoder import Decoder, Undecoded


def chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def png(width: int, height: int, data: bytes) -> bytes:
    """Return a grey PNG of 8 bits that claims a size and holds other data."""
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 0, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def zipped() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.png", b"0" * 100_000)
    return content.getvalue()


HOSTILE = {
    "bomb_green.png": png(60_000, 60_000, b"\0" * 1_000_000),
    "large_green.png": png(8000, 8000, b"\0" * 100),
    "html_green.png": b"<html><script>alert(1)</script>",
    "gif_green.png": b"GIF89a" + b"\0" * 100,
    "polyglot_green.jpg": b"\xff\xd8\xff\xe0" + b"<?php system('id'); ?>" * 20,
    "zip_green.tif": zipped(),
    "deep_green.tif": b"II*\0\x08\0\0\0" + b"\xff" * 200,
    "loop_green.tif": b"II*\0\x08\0\0\0\x00\x00\x08\x00\x00\x00",
    "short_green.png": encode(np.zeros((64, 64), np.uint8))[:60],
    "svg_green.png": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
    "pickle_green.tif": b"\x80\x04\x95cos\nsystem\n(S'id'\ntR.",
}


def test_hostile_images_are_each_told_and_the_good_one_is_answered(served: Running) -> None:
    plane = np.random.default_rng(1).integers(0, 255, (SIZE, SIZE)).astype(np.uint8)
    good = {f"good_{channel}.png": encode(plane) for channel in CHANNELS}
    answer = served.send(HOSTILE | good, may_be_missing="red,blue,yellow")
    assert answer.status_code == 200, answer.text
    assert [one["id"] for one in answer.json()["samples"]] == ["good"]
    rejected = {one["file"]: one["reason"] for one in answer.json()["job"]["rejected"]}
    assert rejected.keys() == HOSTILE.keys()
    assert "claims" in rejected["bomb_green.png"]
    assert "Traceback" not in answer.text
    assert all("\n" not in reason for reason in rejected.values())


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    one = Decoder(1 << 30)
    yield one
    one.stop()


def test_what_takes_too_long_is_killed_and_the_next_is_read(decoder: Decoder, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode(np.zeros((SIZE, SIZE), np.uint8)))
    request = {"images": [str(tmp_path)], "roots": [str(tmp_path)], "channels": None}
    decoder.prepare()
    process, before = decoder._process, decoder.replaced
    assert process is not None
    process.send_signal(signal.SIGSTOP)  # as an image that takes for ever
    with pytest.raises(Undecoded, match="took more than 0 s to read"):
        decoder.ask("scan", tmp_path, 0.2, **request)
    assert decoder.replaced == before + 1
    found = decoder.ask("scan", tmp_path, 60, **request)
    assert found["rejects"][0]["file"] == "a.png"
    assert not list(tmp_path.glob(".scan-*"))


def test_more_memory_than_allowed_is_not_had(decoder: Decoder, tmp_path: Path) -> None:
    import cv2

    cv2.imwrite(str(tmp_path / "a_green.png"), np.zeros((7000, 9000), np.uint16))
    plane = {"file": str(tmp_path / "a_green.png"), "index": None, "sections": []}
    source = {"id": "a", "folder": "", "planes": {"green": plane}}
    small = Decoder(560 << 20)
    spec = {"kind": "images", "channels": ["green"], "size": 32, "intensity": "percentile"}
    try:
        found = small.ask("read", tmp_path, 60, source=source, spec=spec, allowed=[], out=str(tmp_path / "0.npy"))
        told = found["rejected"]["reason"]
    except Undecoded as error:
        told = str(error)
    finally:
        small.stop()
    assert "memory" in told.lower() or "damaged" in told, told


def test_a_request_that_is_unknown_does_not_end_it(decoder: Decoder, tmp_path: Path) -> None:
    decoder.prepare()
    before = decoder.replaced
    with pytest.raises(Undecoded, match="KeyError"):
        decoder.ask("eval", tmp_path, 60)
    assert decoder.replaced == before


def test_a_decoder_that_was_stopped_starts_no_more(tmp_path: Path) -> None:
    one = Decoder(1 << 30)
    one.stop()
    with pytest.raises(Undecoded, match="the server stops"):
        one.ask("scan", tmp_path, 1)
