"""Guard: who may ask what, and how every answer looks."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from small_server import Running
from starlette.requests import ClientDisconnect

from hpa_hier.serve.safety.guard import HEADERS, Doors, Guard
from hpa_hier.serve.safety.limits import Limits

TOKEN = "a-token-of-many-signs"


def ask(doors: Doors, method: str = "GET", path: str = "/jobs", **headers: str) -> httpx.Response:
    """Ask an application that says yes to all, behind a guard."""

    async def yes(scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"yes"})

    async def talk() -> httpx.Response:
        transport = httpx.ASGITransport(app=Guard(yes, doors, Limits()))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            return await client.request(method, path, headers=headers, content=b"" if method == "POST" else None)

    return asyncio.run(talk())


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "192.168.0.7", "", "[::1", "localhost@evil"]
)
def test_a_name_that_is_not_the_servers_is_refused(host: str) -> None:
    answer = ask(Doors(), host=host)
    assert (answer.status_code, answer.json()["code"]) == (421, "wrong_host")


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:9", "LOCALHOST", "[::1]:80", "localhost.:1"])
def test_names_of_this_machine_are_known_whatever_the_port(host: str) -> None:
    assert ask(Doors(), host=host).text == "yes"


def test_where_others_may_come_any_address_is_known_and_no_name_but_the_allowed() -> None:
    doors = Doors(frozenset({"lab.example"}), any_address=True, token=TOKEN)
    told = {"authorization": f"Bearer {TOKEN}"}
    assert ask(doors, host="192.168.0.7:8000", **told).text == "yes"
    assert ask(doors, host="lab.example", **told).text == "yes"
    assert ask(doors, host="rebound.example", **told).status_code == 421


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer another-token-of-signs", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x"]
)
def test_without_the_token_nothing_is_answered(given: str) -> None:
    answer = ask(Doors(token=TOKEN), **({"authorization": given} if given else {}))
    assert (answer.status_code, answer.json()["code"]) == (401, "no_token")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert TOKEN not in answer.text


@pytest.mark.parametrize("path", ["/", "/healthz", "/openapi.json", "/static/page.js"])
def test_the_page_itself_needs_no_token(path: str) -> None:
    assert ask(Doors(token=TOKEN), path=path).text == "yes"


@pytest.mark.parametrize("path", ["/metrics", "/ensembles", "/static", "/healthz/x"])
def test_all_else_does(path: str) -> None:
    assert ask(Doors(token=TOKEN), path=path).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://127.0.0.1:3000"},  # another server of this machine
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_another_sites_page_changes_nothing(headers: dict[str, str]) -> None:
    answer = ask(Doors(), "POST", **headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "foreign")
    assert ask(Doors(), "POST", **{"origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"}).text == "yes"


def test_every_answer_has_its_headers_and_none_opens_a_door(served: Running) -> None:
    origin = {"Origin": "https://evil.example"}
    for path in ("/", "/healthz", "/ensembles", "/openapi.json", "/nowhere", "/static/../app.py", "/docs", "/redoc"):
        for method in ("GET", "OPTIONS"):
            answer = served.client.request(method, path, headers=origin)
            assert {name: answer.headers[name] for name in HEADERS} == HEADERS
            assert "set-cookie" not in answer.headers
            assert not [name for name in answer.headers if name.startswith("access-control")]
            if answer.status_code >= 400:
                assert answer.text.count("\n") == 1
                assert set(json.loads(answer.text)) == {"error", "code", "status"}
                assert answer.headers["content-type"] == "application/json"


def test_a_body_needs_a_length_and_keeps_to_it(served: Running) -> None:
    bare = b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
    assert b"411 " in served.talk(bare + b"\r\n")
    assert b'"code": "too_large"' in served.talk(bare + b"Content-Length: 99999999999\r\n\r\n{}")
    chunked = bare + b"Transfer-Encoding: chunked\r\n\r\n" + b"8000\r\n" + b" " * 0x8000 + b"\r\n"
    body = (b"8000\r\n" + b" " * 0x8000 + b"\r\n") * 3 + b"0\r\n\r\n"
    assert b"413 " in served.talk(chunked + body)


def test_a_body_that_stops_is_given_up(served: Running) -> None:
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as line:
        line.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n")
        line.sendall(b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n")
        answer = b""
        while b"}" not in answer and (piece := line.recv(65536)):  # headers and body may come one by one
            answer += piece
    assert b"408 " in answer
    assert b"the form stopped after 5 bytes" in answer
    assert time.monotonic() - began < served.service.limits.idle_seconds + 5


def test_a_client_that_leaves_while_it_sends_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    counted: list[int] = []

    async def leave(*_: object) -> None:
        raise ClientDisconnect

    async def say(message: Any) -> None:
        raise AssertionError(message)  # nobody is there to be told

    scope = {"type": "http", "method": "GET", "path": "/jobs", "headers": [(b"host", b"localhost")]}
    guard = Guard(leave, Doors(), Limits(), lambda method, status, seconds: counted.append(status))
    asyncio.run(guard(scope, leave, say))
    assert counted == [499]
    assert caplog.records == []


def test_faults_are_told_in_one_line_and_logged(served: Running, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    def fail() -> None:
        raise RuntimeError("secret /home/me")

    monkeypatch.setattr(served.service.jobs, "list", fail)
    answer = served.client.get("/jobs")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text


def test_requests_in_json_that_are_none_are_told_where(served: Running) -> None:
    for body, told in ((b"{", "JSON"), (b'{"path": []}', "path"), (b'{"paths": "x"}', "paths"), (b"[" * 9999, "JSON")):
        for url in ("/jobs", "/predict"):
            answer = served.client.post(url, content=body, headers={"Content-Type": "application/json"})
            assert (answer.status_code, answer.json()["code"]) == (400, "bad_request"), answer.text
            assert told.lower() in answer.json()["error"].lower()
    assert served.client.post("/predict", content=b"x", headers={"Content-Type": "text/plain"}).status_code == 415
