"""JSON files: an object of ours comes back, and whatever else a file holds is one line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hpa_hier.errors import UserError
from hpa_hier.files.atomic import CHECKSUM, read_json, replacing, write_json, write_new

FACTS = {"format": 1, "digest": "a1", "ratio": 1 / 3, "parts": {"train": [1, 2], "é": None}, "least": 1e-300}


def test_an_object_comes_back_as_it_was_written_and_its_last_key_is_a_checksum(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", FACTS)
    assert read_json(tmp_path / "x.json") == FACTS
    assert list(json.loads((tmp_path / "x.json").read_text()))[-1] == CHECKSUM


def test_a_file_without_a_checksum_is_read_as_older_versions_wrote_it(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps(FACTS))
    assert read_json(tmp_path / "x.json") == FACTS


def test_every_changed_digit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, FACTS)
    content = path.read_bytes()
    for place in [i for i, byte in enumerate(content) if 48 <= byte <= 57]:
        changed = bytearray(content)
        changed[place] = 48 + (content[place] - 47) % 10
        path.write_bytes(changed)
        try:
            assert read_json(path) == FACTS  # a last digit may be the same number
        except UserError:
            continue


def test_another_lay_out_of_the_same_content_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, FACTS)
    path.write_text(json.dumps(json.loads(path.read_text()), indent=4, sort_keys=True))
    assert read_json(path) == FACTS


def test_a_damaged_name_of_the_checksum_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, FACTS)
    path.write_text(path.read_text().replace('"checksum"', '"checksvm"').replace('"a1"', '"a2"'))
    with pytest.raises(UserError, match=r"was changed after it was written \('checksvm' for 'checksum'\)"):
        read_json(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[]", "holds a list, where an object belongs"),
        (b"null", "holds null, where an object belongs"),
        (b"7", "holds a number, where an object belongs"),
        (b"[" * 100_000, "is nested too deeply"),
        (b'{"a":' * 100_000, "is nested too deeply"),
        (b"9" * 5000, "not a JSON file"),
        (b'{"a": "\\ud800"}', "not a JSON file"),
        (b'{"a": NaN}', "not a JSON file"),
        (b'{"a": [-1e999]}', "not a JSON file"),
        (b"\xff\xfe", "not a JSON file"),
        (b"", "not a JSON file"),
    ],
    ids=range(11),
)
def test_what_is_no_object_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"x\.json: {message}") as caught:
        read_json(path)
    assert len(str(caught.value)) < 400


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.json")
    with pytest.raises(UserError, match="is no regular file"):
        read_json(tmp_path / "x.json")


def test_a_failed_write_names_the_file_and_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with replacing(tmp_path / "x.npy") as temporary:
            temporary.write_bytes(b"half")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left on device") as caught:
        fail()
    assert caught.value.filename == str(tmp_path / "x.npy")
    assert list(tmp_path.iterdir()) == []


def test_a_new_file_is_written_once_and_no_other_is_overwritten(tmp_path) -> None:
    for _ in range(2):  # the second time as after a kill in the last moment
        write_new(tmp_path / "a.yaml", "mine: 1\n")
    with pytest.raises(
        UserError, match=r"a\.yaml: is there already, and is not overwritten; name another file with --"
    ):
        write_new(tmp_path / "a.yaml", "mine: 2\n")
    assert (tmp_path / "a.yaml").read_text() == "mine: 1\n"
