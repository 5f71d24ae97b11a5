"""Remote files are found, read and refused in plain words, and what merely looks odd is a path of this machine."""

from __future__ import annotations

import copy
import errno
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from hpa_hier.errors import UserError
from hpa_hier.files.remote import path as remote
from hpa_hier.files.remote.path import RemotePath, fetch, local_copy, to_path, to_remote


@pytest.fixture
def bucket() -> Iterator[RemotePath]:
    """A folder in memory with two files and a folder."""
    memory = fsspec.filesystem("memory")
    for name, content in (("a.png", b"aa"), ("b.csv", b"Id,Target\nx,0\n"), ("plate/c.png", b"c")):
        memory.pipe_file(f"/bucket/{name}", content)
    yield to_remote("memory://bucket")
    memory.rm("/bucket", recursive=True)


@pytest.mark.parametrize("text", ["images", "a:b", "C:/images", "s3:/bucket", "a b://c", "://x", "", "/s3://bucket"])
def test_what_is_no_address_is_a_path_of_this_machine(text: str) -> None:
    assert type(to_path(text)) is type(Path(text))
    assert to_path(text) == Path(text)


def test_a_file_address_is_a_path_of_this_machine(tmp_path: Path) -> None:
    assert to_path(f"file://{tmp_path}/a%20b") == tmp_path / "a b"
    assert to_path(tmp_path) is tmp_path


def test_an_address_is_a_path_with_names(bucket: RemotePath) -> None:
    path = to_path("s3://bucket/plate 1//a.ome.tif".replace("//a", "/a"))
    assert (str(path), path.name, path.suffix, str(path.parent)) == (
        "s3://bucket/plate 1/a.ome.tif",
        "a.ome.tif",
        ".tif",
        "s3://bucket/plate 1",
    )
    assert str(path.parent / "b.tif") == "s3://bucket/plate 1/b.tif"
    assert str(copy.copy(path)) == str(path)  # by what also sends it to other processes
    assert path == to_path(str(path))
    assert len({path, to_path(str(path))}) == 1
    assert path.absolute() is path


def test_a_folder_is_listed_by_name_and_files_are_read(bucket: RemotePath) -> None:
    names = [(path.name, path.is_dir(), path.is_file()) for path in bucket.iterdir()]
    assert names == [("a.png", False, True), ("b.csv", False, True), ("plate", True, False)]
    assert (bucket / "a.png").stat().st_size == 2
    assert (bucket / "b.csv").read_text().startswith("Id,Target")
    assert (bucket / "b.csv").read_start(2) == b"Id"
    assert [str(path) for path in bucket.glob("*/*.png")] == ["memory://bucket/plate/c.png"]
    assert not (bucket / "absent.png").exists()
    with pytest.raises(FileNotFoundError):
        (bucket / "absent.png").read_bytes()
    with pytest.raises(UserError, match=r"memory://bucket/a.png: is not written to; name a folder of this machine"):
        (bucket / "a.png").open("w")


def test_a_copy_has_the_name_and_is_gone_afterwards(bucket: RemotePath, tmp_path: Path) -> None:
    with local_copy(bucket / "a.png", 2) as copy:
        assert (copy.name, copy.read_bytes()) == ("a.png", b"aa")
    assert not copy.exists()
    with pytest.raises(
        UserError, match=r"memory://bucket/a.png: has more than 0 MB, the most that such a file may have"
    ):
        fetch(bucket / "a.png", tmp_path / "a.png", 1)
    with local_copy(tmp_path, 1) as same:
        assert same is tmp_path


@pytest.mark.parametrize(
    "text",
    [
        "https://me:hush@host/a.png",
        "s3://hush@bucket/a.png",
        "https://host/a.png?X-Amz-Signature=hush",
        "s3://b/a#hush",
    ],
)
def test_credentials_in_an_address_are_refused_and_never_repeated(text: str) -> None:
    with pytest.raises(UserError, match="was given with a password, a signature or a question behind it") as refused:
        to_path(text)
    assert "hush" not in str(refused.value)


def test_addresses_that_are_not_read_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"s4://…: no kind of address that is read.*; there are s3://, http"):
        to_path("s4://bucket")
    with pytest.raises(UserError, match="an address with an empty name"):
        to_path("s3://bucket//a.png")
    monkeypatch.setattr(remote, "find_spec", lambda package: None)
    with pytest.raises(UserError, match=r"s3://bucket: needs s3fs; `pip install 'hpa-hier\[s3\]'` adds it"):
        to_path("s3://bucket").exists()


class NoCredentialsError(Exception):
    """As botocore calls it."""


@pytest.mark.parametrize(
    ("error", "message", "tries"),
    [
        (
            PermissionError("Access Denied"),
            r"no rights to read it \(Access Denied\); credentials are given by the env",
            1,
        ),
        (
            NoCredentialsError("Unable to locate"),
            "no credentials were found; credentials are given by the environment",
            1,
        ),
        (
            TimeoutError("slow"),
            r"cannot be read from there \(TimeoutError: slow, tried 3 times\); check the network",
            3,
        ),
        (OSError("bad https://me:hush@host?token=hush"), r"OSError: bad https:.*tried 3 times", 3),
        (OSError("GET https://x/y?sv=2&sig=hush%2B&se=9"), r"sv=2&sig=…&se=9, tried 3 times", 3),
        (ValueError("Authorization: Bearer hush.hush_-9=, sent"), r"Authorization=…, sent\); check", 1),
        (ValueError("sent Bearer hush to it"), r"sent Bearer … to it\); check", 1),
        (ValueError('{"access_token": "hush, hush", "b": 1}'), r'{"access_token=…, "b": 1}', 1),
        (ValueError("{'SecretKey': 'hush hush'}"), r"{'SecretKey=…}", 1),
    ],
)
def test_servers_errors_are_one_line_without_secrets(
    bucket: RemotePath, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str, tries: int
) -> None:
    asked: list[str] = []

    def fail(path: str, **_: Any) -> None:
        asked.append(path)
        raise error

    monkeypatch.setattr(remote, "_PAUSE", 0.0)
    monkeypatch.setattr(fsspec.filesystem("memory"), "info", fail, raising=False)
    with pytest.raises(UserError, match=message) as told:
        to_path("memory://bucket/a.png").exists()
    assert "hush" not in str(told.value)
    assert len(asked) == tries


def test_what_the_network_lost_once_is_asked_again(bucket: RemotePath, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = fsspec.filesystem("memory")
    real, lost = memory.cat_file, [ConnectionResetError("lost")]

    def lose_one(path: str, **rest: Any) -> Any:
        if lost:
            raise lost.pop()
        return real(path, **rest)

    monkeypatch.setattr(remote, "_PAUSE", 0.0)
    monkeypatch.setattr(memory, "cat_file", lose_one)
    assert (bucket / "a.png").read_bytes() == b"aa"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EIO])
def test_a_disk_of_this_machine_is_told_as_such_and_nothing_is_asked_again(
    bucket: RemotePath, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int
) -> None:
    memory, asked = fsspec.filesystem("memory"), []
    real = memory.open

    def count(path: str, *rest: Any, **more: Any) -> Any:
        asked.append(path)
        return real(path, *rest, **more)

    def write(self: Path, mode: str = "r") -> Any:
        file = Disk(str(self), mode)
        return file

    class Disk(io.FileIO):
        def write(self, content: Any) -> int:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(memory, "open", count)
    monkeypatch.setattr(Path, "open", write)
    with pytest.raises(OSError, match=rf"{os.strerror(number)}: .*a\.png") as told:
        fetch(bucket / "a.png", tmp_path / "a.png", 99)
    assert told.value.filename == str(tmp_path / "a.png")
    assert len(asked) == 1


def test_a_machine_without_memory_or_handles_is_told_as_such(
    bucket: RemotePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error in (MemoryError(), OSError(errno.EMFILE, "Too many open files")):
        monkeypatch.setattr(fsspec.filesystem("memory"), "cat_file", lambda *_, error=error, **__: throw(error))
        with pytest.raises(type(error)):
            (bucket / "a.png").read_bytes()


def throw(error: BaseException) -> None:
    raise error
