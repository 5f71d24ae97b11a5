"""Forms: hostile ones are refused early, and leave nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from small_server import Running

from hpa_hier.serve.safety.limits import Limits
from hpa_hier.serve.safety.refusal import Refusal
from hpa_hier.serve.uploads.forms import Uploads, receive_form

KIND = "multipart/form-data; boundary=X"


def part(name: str, content: bytes = b"1") -> bytes:
    return f'--X\r\nContent-Disposition: form-data; name="f"; filename="{name}"\r\n\r\n'.encode() + content + b"\r\n"


def receive(folder: Path, body: bytes, limits: Limits, kind: str = KIND, step: int = 1000) -> Uploads:
    """Receive a form in pieces."""
    taken = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal taken
        for start in range(0, len(body), step):
            taken = start + step
            yield body[start : start + step]

    uploads = Uploads(folder)
    try:
        asyncio.run(receive_form(kind, pieces(), uploads, limits))
    finally:
        receive.taken = taken  # type: ignore[attr-defined]
    return uploads


def test_a_form_of_ten_thousand_files_is_refused_when_the_limit_is_passed(tmp_path: Path) -> None:
    body = b"".join(part(f"{i}.png") for i in range(10_000)) + b"--X--\r\n"
    with pytest.raises(Refusal, match="more than 100 files in one form") as caught:
        receive(tmp_path, body, Limits(files=100))
    assert caught.value.status == 413
    assert receive.taken < len(body) / 50  # type: ignore[attr-defined]
    assert not list(tmp_path.rglob("*.png"))


@pytest.mark.parametrize(
    ("body", "limits", "code"),
    [
        (part("a.png", b"1" * 5000) + b"--X--\r\n", Limits(file_bytes=4000), "too_large"),
        (part("a.png", b"1" * 3000) + part("b.png", b"1" * 3000) + b"--X--\r\n", Limits(job_bytes=4000), "too_large"),
        (part("a.png"), Limits(), "bad_request"),  # ends too early
        (b"no form at all", Limits(), "bad_request"),
        (part("a.png") + b"--X\r\nBad Header\r\n\r\nx\r\n--X--\r\n", Limits(), "bad_request"),
        (part("a.png") + b"--X\r\nX: " + b"a" * 9000 + b"\r\n\r\nx\r\n--X--\r\n", Limits(), "bad_request"),
        (
            part("a.png") + b'--X\r\nContent-Disposition: form-data; name="t"\r\n\r\n' + b"a" * 9000 + b"\r\n--X--\r\n",
            Limits(),
            "too_large",
        ),
    ],
)
@pytest.mark.parametrize("step", [1, 1000])
def test_a_form_that_breaks_a_rule_leaves_nothing(
    tmp_path: Path, body: bytes, limits: Limits, code: str, step: int
) -> None:
    with pytest.raises(Refusal) as caught:
        receive(tmp_path, body, limits, step=step)
    assert caught.value.code == code
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/mixed; boundary=X", "image/png", ""])
def test_what_is_no_form_is_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(Refusal) as caught:
        receive(tmp_path, b"", Limits(), kind)
    assert caught.value.status == 415


def test_names_from_elsewhere_are_kept_as_text_and_inside(tmp_path: Path) -> None:
    names = ["../../a_green.png", "/etc/b_green.png", "..", "a.png", "a.png/c.png", "d.png"]
    found = receive(tmp_path / "in", b"".join(part(name) for name in names) + b"--X--\r\n", Limits())
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()) == [
        *("in/a.png", "in/a_green.png", "in/d.png", "in/etc/b_green.png")
    ]
    assert found.shown["a_green.png"] == "../../a_green.png"
    assert [name for name, _ in found.rejected] == ["..", "a.png/c.png"]


def test_a_form_over_the_limit_is_answered_though_it_still_comes(served: Running) -> None:
    files = {f"{i}.png": b"1" * 100 for i in range(200)}
    answer = served.send(files)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert "more than 40 files in one form" in answer.json()["error"]


@pytest.mark.parametrize("field", ["frame", "ensemble", "channels", "may_be_missing"])
def test_a_field_that_is_too_long_is_told_by_its_name(served: Running, field: str) -> None:
    answer = served.send({"a_green.png": b"x"}, **{field: ",".join("9" * 900)})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
    assert answer.json()["error"].startswith(f"{field}: ")
