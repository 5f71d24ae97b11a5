"""Cache: what was made once comes back, and what is damaged, foreign or of another key is made again."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from hpa_hier.files.remote.cache import FOLDER, cache_folder
from hpa_hier.members.engines.cache import keep


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(FOLDER, str(tmp_path / "kept"))
    return tmp_path / "kept"


def _never() -> bytes:
    raise AssertionError("it was kept")


def _file(folder: Path) -> Path:
    (path,) = [path for path in folder.iterdir() if not path.name.startswith(".")]
    return path


def test_what_was_made_comes_back_for_the_same_key_alone(folder: Path) -> None:
    assert keep("letter", ("a", "1"), lambda: b"made\nonce") == b"made\nonce"
    assert keep("letter", ("a", "1"), _never) == b"made\nonce"
    assert keep("letter", ("a1", ""), lambda: b"another") == b"another"
    assert cache_folder() == folder


@pytest.mark.parametrize("content", [b"", b"not ours", b"cut short", b"of another key"])
def test_a_damaged_or_foreign_file_is_made_again(folder: Path, content: bytes) -> None:
    keep("letter", ("a",), lambda: b"made" * 100)
    path = _file(folder)
    whole = path.read_bytes()
    if content == b"cut short":
        content = whole[:-1]
    elif content == b"of another key":
        keep("letter", ("b",), lambda: b"made" * 100)
        content = next(other for other in folder.glob("letter-*") if other != path).read_bytes()
    path.write_bytes(content)
    assert keep("letter", ("a",), lambda: b"made" * 100) == b"made" * 100
    assert path.read_bytes() == whole


def test_without_a_folder_it_is_made_each_time_and_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(FOLDER, str(tmp_path / "file"))  # where no folder can be
    assert [keep("letter", ("a",), lambda made=made: made) for made in (b"1", b"2")] == [b"1", b"2"]
    error = capsys.readouterr().err
    assert error.count("nothing can be kept there") == 1
    assert f"{FOLDER} names another folder" in error


def test_of_two_processes_one_makes_it_and_both_have_it(folder: Path) -> None:
    code = textwrap.dedent(f"""
        import time
        from pathlib import Path
        from hpa_hier.members.engines.cache import keep
        def make():
            with Path({str(folder.parent / "made")!r}).open("a") as log:
                log.write("made\\n")
            time.sleep(0.3)
            return b"x" * 1000
        print(len(keep("letter", ("a",), make)))
    """)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code]
    both = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [one.communicate(timeout=120)[0].strip() for one in both] == ["1000", "1000"]
    assert (folder.parent / "made").read_text() == "made\n"
