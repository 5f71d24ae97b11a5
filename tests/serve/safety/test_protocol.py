"""Protocol: what is no request, or never comes, is ended."""

from __future__ import annotations

import socket

import pytest
from small_server import Running

from hpa_hier.serve.safety import protocol


@pytest.mark.parametrize(("size", "end"), [(40_000, b"\r\n\r\n"), (20_000, b"")])  # whole, and without an end
def test_huge_headers_are_refused_in_json(served: Running, size: int, end: bytes) -> None:
    answer = served.talk(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: " + b"a" * size + end)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 431 ")
    assert b'"code": "headers"' in body


@pytest.mark.parametrize(
    "text", [b"\x16\x03\x01\x02\x00\x01\xfc\x03\x03", b"HELLO\r\n\r\n", b"GET / HTTP/1.1\r\nHo st: x\r\n\r\n"]
)
def test_what_is_no_request_is_told_so(served: Running, text: bytes) -> None:
    answer = served.talk(text)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"no HTTP request" in answer


def test_a_connection_without_a_request_is_closed(served: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEADER_SECONDS", 0.3)
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as line:
        line.sendall(b"GET / HTTP/1.1\r\nHost: local")
        assert line.recv(100) == b""


def test_pages_of_the_server_are_answered_over_one_connection(served: Running) -> None:
    one = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    assert served.talk(one + last).count(b'"status":"ok"') == 2


def test_headers_of_a_later_request_must_come_soon_too(served: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEADER_SECONDS", 0.3)
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as line:
        line.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert line.recv(65536).startswith(b"HTTP/1.1 200")
        line.sendall(b"GET / HTT")
        while piece := line.recv(65536):
            assert b"HTTP/1.1" not in piece


def test_one_connection_too_many_is_told_when_to_come_again(served: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "CONNECTIONS", 0)
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as line:
        answer = b"".join(iter(lambda: line.recv(65536), b""))  # until it closes the connection
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 5" in answer.lower()
    assert b'"code": "full"' in answer
