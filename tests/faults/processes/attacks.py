"""Hostile requests to the web page's server, a function a kind."""

from __future__ import annotations

import io
import json
import random
import socket
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from faults.processes.served import Served, drain, form, post_form, request

TOKEN = "a-token-of-the-fault-suite"
CHANNELS = ("red", "green", "blue", "yellow")

Send = Callable[[Served, random.Random], bytes]  # says what came back


@dataclass(frozen=True)
class Attack:
    """A kind of hostile request."""

    name: str
    send: Send
    may_close: bool = False  # whether the server may end the connection without a word
    statuses: tuple[int, ...] = ()  # that it may answer with; (): any


def _drip(served: Served, rng: random.Random) -> bytes:
    """Send headers a sign at a time, for as long as the server listens."""
    text = request("GET", "/healthz")
    with served.connect() as line:
        for sign in text[: rng.randrange(5, len(text) - 1)]:
            try:
                line.send(bytes([sign]))
            except OSError:
                break
            time.sleep(rng.choice((0.05, 0.3)))
        return drain(line)


def _stop_in_the_body(served: Served, rng: random.Random) -> bytes:
    """Send a part of a body, and then nothing more, with the connection open."""
    whole = post_form(form([(name.encode(), content) for name, content in served.images.items()]))
    return served.talk(whole[: -rng.randrange(1, len(whole) // 2)], finish=False)


def _leave_in_the_body(served: Served, rng: random.Random) -> bytes:
    """Send a part of a request, and hang up, without a word or with a reset."""
    whole = post_form(form([(name.encode(), content) for name, content in served.images.items()]))
    with served.connect() as line:
        line.sendall(whole[: rng.randrange(1, len(whole))])
        if rng.random() < 0.5:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return b""


def _leave_before_the_answer(served: Served, rng: random.Random) -> bytes:
    """Ask for an answer, and hang up before it comes or while it does."""
    whole = post_form(form([(name.encode(), content) for name, content in served.images.items()]))
    with served.connect() as line:
        line.sendall(rng.choice((whole, request("GET", "/openapi.json"), request("GET", "/static/page.js"))))
        if rng.random() < 0.5:
            line.recv(rng.randrange(1, 100))
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return b""


_LENGTHS = (
    *("1000000000000", "-1", "+5", "0x10", "5, 5", "5, 6", "", " ", "1e3", "9" * 400, "５", "5\t", "0;1", "NaN", "5.0"),
)


def _lie_about_the_length(served: Served, rng: random.Random) -> bytes:
    """Say another length than the body has."""
    body = rng.choice((b"{}", form([(b"a_green.png", b"x" * 50)])))
    kind = rng.choice(("application/json", "multipart/form-data; boundary=edge"))
    said = rng.choice((*_LENGTHS, str(len(body) + rng.randrange(1, 500)), str(max(0, len(body) - 2))))
    text = request("POST", "/predict", body, Content_Length=said, Content_Type=kind)
    if rng.random() < 0.3:
        text = text.replace(b"\r\n\r\n", b"\r\nContent-Length: 7\r\n\r\n", 1)
    return served.talk(text, finish=rng.random() < 0.7)


_CHUNKS = (
    *(b"FFFFFFFFFFFFFFFFF\r\n", b"-5\r\nabc", b"5;ext=" + b"a" * 70_000 + b"\r\n", b"zz\r\n", b"3\r\nabcdef\r\n"),
    *(b"7fffffff\r\nabc", b"\r\n\r\n", b"0\r\nX: y\r\n" + b"T: " + b"t" * 40_000 + b"\r\n\r\n", b"5\nhello\n0\n\n"),
    *(b"2\r\n{}\r\n0\r\n\r\n", b"2\r\n{}\r\n" + b"0" * 5000 + b"\r\n\r\n", b"2\r\n{}\r\n"),
)


def _chunk_badly(served: Served, rng: random.Random) -> bytes:
    """Send a body in pieces that are none, or with a length beside."""
    headers = {
        "Transfer_Encoding": rng.choice(("chunked", "chunked, chunked", "gzip, chunked", "identity", "xchunked"))
    }
    if rng.random() < 0.3:
        headers["Content_Length"] = "3"
    text = request("POST", "/predict", None, Content_Type="application/json", **headers)
    return served.talk(text + rng.choice(_CHUNKS), finish=rng.random() < 0.7)


def _write_png(rng: random.Random) -> bytes:
    width, height = rng.choice(((60_000, 60_000), (8000, 8000), (0, 5), (2**31 - 1, 1), (16, 16)))
    header = struct.pack(">IIBBBBB", width, height, rng.choice((8, 16, 1)), rng.choice((0, 2, 3, 6)), 0, 0, 0)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    data = zlib.compress(b"\0" * rng.choice((10, 300, 1_000_000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def _write_zip(rng: random.Random) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(rng.choice(("../../a.png", "/etc/a.png", "a.png", "a/" * 200 + "a.png")), b"0" * 1_000_000)
    return content.getvalue()


def _mutate(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.randint(1, 12)):
        place = rng.randrange(len(changed) + 1)
        kind = rng.random()
        if kind < 0.6:
            changed[place : place + 1] = rng.randbytes(1)
        elif kind < 0.75:
            del changed[place : place + rng.randint(1, 40)]
        elif kind < 0.9:
            changed[place:place] = rng.randbytes(rng.randint(1, 30))
        else:
            del changed[max(1, place) :]
    return bytes(changed)


def _send_bad_images(served: Served, rng: random.Random) -> bytes:
    """Send images that are damaged, huge, or something else, among good ones."""
    plane = np.frombuffer(rng.randbytes(1024), np.uint8).reshape(32, 32)
    made = [bytes(cv2.imencode(suffix, plane)[1]) for suffix in (".png", ".jpg", ".tif")]
    files = []
    for number in range(rng.randint(1, 4)):
        suffix = rng.choice((".png", ".jpg", ".tif", ".tiff", ".ome.tif", ".png.gz"))
        content = rng.choice(
            (*(_mutate(one, rng) for one in made), _write_png(rng), _write_zip(rng), b"", rng.randbytes(99))
        )
        files.append((f"bad{number}_{rng.choice(CHANNELS)}{suffix}".encode(), content))
    files += [(name.encode(), content) for name, content in served.images.items()] if rng.random() < 0.5 else []
    return served.talk(post_form(form(files)))


_NAMES = (
    *(
        b"../../../etc/passwd",
        b"..\\..\\a_green.png",
        b"/etc/a_green.png",
        b"a\0_green.png",
        b"",
        b".",
        b"..",
        b"con.png",
    ),
    *(b"a" * 5000 + b"_green.png", b"d/" * 300 + b"a_green.png", b"\xff\xfe_green.png", b"a\x1b[2J_green.png"),
    *(b"=HYPERLINK(1)_green.png", b"<script>alert(1)</script>_green.png", b"a_green.png\r\nX: y", b'a"; x="_green.png'),
    *("é\u202e_green.png".encode(), b"a_green.png;b", b"C:\\a_green.png", b"a_green.png:stream", b"simulated.json"),
    *(
        b"x.zarr/.zattrs",
        b"x.zarr/../../a",
        b"A_GREEN.PNG",
        b"a_green.png",
        b"%2e%2e%2fa_green.png",
        b".hidden_green.png",
    ),
)


def _name_files_badly(served: Served, rng: random.Random) -> bytes:
    """Send files whose names lead elsewhere, are no names, or are those of others."""
    files = [(rng.choice(_NAMES), rng.choice(list(served.images.values()))) for _ in range(rng.randint(1, 5))]
    return served.talk(post_form(form(files)))


def _break_the_form(served: Served, rng: random.Random) -> bytes:
    """Send a form that is none."""
    whole = form([(name.encode(), content) for name, content in served.images.items()])
    kind = rng.randrange(8)
    if kind == 0:
        return served.talk(post_form(_mutate(whole, rng)))
    if kind == 1:
        return served.talk(post_form(form([(b"%d_green.png" % n, b"") for n in range(rng.choice((41, 60, 3000)))])))
    if kind == 2:
        header = b"--edge\r\n" + b"X: " + b"y" * rng.choice((5000, 500_000)) + b"\r\n\r\n--edge--\r\n"
        return served.talk(post_form(header))
    if kind == 3:
        types = ("multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=" + "b" * 201)
        return served.talk(
            post_form(whole, Content_Type=rng.choice((*types, "multipart/mixed; boundary=edge", "x", "")))
        )
    if kind == 4:
        field = b'--edge\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
        name = rng.choice((b"channels", b"frame", b"ensemble", b"may_be_missing", b"evil", b"", b"\xff"))
        value = rng.choice((b"", b"x" * 5000, b"red=green=blue", b"../../", b"\0", b"9" * 300, b"a,b,c,d", b"\xff\xfe"))
        return served.talk(post_form(field % (name, value) + whole))
    if kind == 5:
        many = b"".join(b'--edge\r\nContent-Disposition: form-data; name="f%d"\r\n\r\nx\r\n' % n for n in range(40))
        return served.talk(post_form(many + whole))
    if kind == 6:
        return served.talk(post_form(whole[: rng.randrange(len(whole))]))
    return served.talk(post_form(form([(b"a_green.png", b"x" * (3 << 20))])))


def _send_odd_headers(served: Served, rng: random.Random) -> bytes:
    """Send headers, methods and versions that no browser does."""
    plain = request("GET", "/healthz")
    odd = (
        request("GET", "/healthz", **{f"X_{n}": "y" for n in range(rng.choice((50, 900)))}),
        request("GET", "/healthz", X="y" * rng.choice((10_000, 20_000, 1_000_000))),
        request("GET", "/healthz", X="\xff\xfe", Cookie="a=b" * 100),
        plain.replace(
            b"Host: localhost\r\n", rng.choice((b"", b"Host:\r\n", b"Host: a\r\nHost: b\r\n", b" Host: x\r\n"))
        ),
        plain.replace(
            b"localhost", rng.choice((b"[::1", b"evil.example", b"localhost@evil", b"127.0.0.1.evil", b"\xff"))
        ),
        plain.replace(b"HTTP/1.1", rng.choice((b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.10", b"", b"HTTP/"))),
        plain.replace(
            b"GET", rng.choice((b"TRACE", b"CONNECT", b"OPTIONS", b"HEAD", b"get", b"G\0T", b"A" * 3000, b""))
        ),
        plain.replace(b"\r\n", rng.choice((b"\n", b"\r", b"\r\n\r\n", b"\0"))),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\xfc\x03\x03" + rng.randbytes(100),
        request("GET", "/healthz", Upgrade="websocket", Connection="Upgrade", Sec_WebSocket_Key="x"),
        request("GET", "/healthz", Upgrade="h2c", Connection="Upgrade, HTTP2-Settings"),
        request("POST", "/predict", b"{}", Expect="100-continue", Content_Type="application/json"),
        request("GET", "/static/page.js", Range=rng.choice(("bytes=0-0,1-1,2-2", "bytes=9999999-", "bytes=-1", "x"))),
        request("GET", "/static/page.js", If_Modified_Since="x" * 50, If_None_Match='"' * 99),
        request("GET", "/healthz", Accept_Encoding="gzip;q=" + "9" * 500, Accept="*/*," * 900),
        rng.randbytes(rng.randrange(1, 3000)),
        _mutate(plain, rng),
    )
    return served.talk(rng.choice(odd))


_PATHS = (
    *(
        "/static/../../../../etc/passwd",
        "/static/%2e%2e/%2e%2e/etc/passwd",
        "/static/..%2f..%2fetc%2fpasswd",
        "//etc/passwd",
    ),
    *(
        "/static/%252e%252e/x",
        "/static/..\\..\\x",
        "/static/%00",
        "/static/" + "a" * 9000,
        "/static/",
        "/static",
        "/%ff%fe",
    ),
    *("/jobs/../../etc", "/jobs/%2e%2e", "/jobs/x/export/../../predictions.csv", "/jobs/x/samples/y/thumbnail.png"),
    *(
        "/ensembles/..%2f..%2fetc",
        "/ensembles/%00",
        "/ensembles/" + "e" * 5000,
        "/corrections/..%2f..%2fetc/labels.csv",
    ),
    *(
        "/explain/x/y/heatmap.png?node=" + "n" * 400,
        "/explain/x/y/nearest/-1.png",
        "/explain/x/y/nearest/99999999999.png",
    ),
    *(
        "http://localhost/healthz",
        "http://evil.example/healthz",
        "*",
        "?",
        "/healthz?" + "a=b&" * 3000,
        "/healthz#x",
        "/;/",
    ),
    *(
        "/jobs?limit=NaN",
        "/metrics/../limits",
        "/predict",
        "/adapt/x",
        "/openapi.json/..",
        "/\u202e",
        "/limits\r\nX: y",
    ),
)
_INSIDE = (
    *(
        "/etc/passwd",
        "../outside",
        "link",
        "link/s0000_green.png",
        "loop_green.png",
        "pipe_green.png",
        "/dev/zero",
        "~",
    ),
    *(
        "..",
        ".",
        "",
        "a\0b",
        "x" * 5000,
        "/proc/self/environ",
        "//",
        "s0000_green.png/../../outside",
        "\ud800",
        "-h",
        "*",
    ),
)


def _try_paths(served: Served, rng: random.Random) -> bytes:
    """Ask for addresses, and for files of the server, that are none of the asker's."""
    if rng.random() < 0.5:
        return served.talk(request(rng.choice(("GET", "GET", "POST", "DELETE")), rng.choice(_PATHS), b""))
    bodies: tuple[object, ...] = (
        {"paths": [rng.choice(_INSIDE)]},
        {"paths": [rng.choice(_INSIDE) for _ in range(rng.choice((3, 300)))]},
        {"paths": ["."], "channels": rng.choice(("x" * 9000, "red=", "(((((", "\0"))},
        {"paths": ["."], "ensemble": rng.choice(_INSIDE)},
        {"paths": ["."], "frame": rng.choice(("-1", "9" * 400, "x", ""))},
        {"paths": "."},
        [[]],
        None,
        {"paths": ["."], "evil": 1},
    )
    text = json.dumps(rng.choice(bodies)).encode()
    text = rng.choice((text, text, text, b"[" * 30_000, b'{"a":' * 9000, b"\xff", b'{"paths": NaN}', b"9" * 9000, b""))
    return served.talk(request("POST", "/predict?wait=5", text, Content_Type="application/json"))


def _come_without_right(served: Served, rng: random.Random) -> bytes:
    """Ask without the token, with another, or as another site's page does."""
    wrong = (TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "", "x" * 5000, "\xff", f"{TOKEN},{TOKEN}")
    headers = rng.choice(
        (
            {"Authorization": f"Bearer {rng.choice(wrong)}"},
            {"Authorization": f"Basic {TOKEN}"},
            {"X_Token": TOKEN},
            {},
            {"Authorization": f"Bearer {TOKEN}", "Origin": "http://evil.example"},
            {"Authorization": f"Bearer {TOKEN}", "Origin": "null"},
            {"Authorization": f"Bearer {TOKEN}", "Sec_Fetch_Site": "cross-site"},
            {"Authorization": f"Bearer {TOKEN}", "Host": "evil.example"},
        )
    )
    path = rng.choice(("/predict", "/jobs", "/adapt", f"/jobs?token={TOKEN}", "/jobs/x/start"))
    return served.talk(request("POST", path, b"{}", Content_Type="application/json", **headers))


ATTACKS = (
    Attack("a body that stops", _stop_in_the_body, statuses=(408, 400)),
    Attack("a client that leaves in the body", _leave_in_the_body, may_close=True),
    Attack("a client that leaves before the answer", _leave_before_the_answer, may_close=True),
    Attack("a Content-Length that lies", _lie_about_the_length, may_close=True),
    Attack("chunks that are none", _chunk_badly, may_close=True),
    Attack("damaged and crafted images", _send_bad_images),
    Attack("names that lead elsewhere", _name_files_badly),
    Attack("forms that are none", _break_the_form, may_close=True),
    Attack("odd headers and methods", _send_odd_headers, may_close=True),
    Attack("paths that lead elsewhere", _try_paths),
)
SLOW = Attack("headers that drip", _drip, may_close=True)
STRANGERS = Attack("wrong tokens, origins and hosts", _come_without_right, statuses=(401, 403, 421, 400))
