"""Text files: read whole, or refused with the reason."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from hpa_hier.errors import UserError
from hpa_hier.files.atomic import sha256
from hpa_hier.files.text_file import read_text


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"\xef\xbb\xbfId\r\n")
    assert read_text(tmp_path / "x.csv", "CSV", 100) == "Id\r\n"


def test_what_is_no_such_text_file_is_refused_with_its_kind(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes("Id\nZellk\xf6rper\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"latin\.csv:2: byte 0xf6 is not UTF-8 text; save the file as UTF-8"):
        read_text(tmp_path / "latin.csv", "CSV", 100)
    with pytest.raises(UserError, match=r"latin\.csv: 14 bytes, more than the 5 that such a file may have"):
        read_text(tmp_path / "latin.csv", "CSV", 5)
    with pytest.raises(UserError, match="this is a folder; name a CSV file"):
        read_text(tmp_path, "CSV", 100)


def test_a_compressed_file_is_read_and_its_limit_is_that_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"Id,Target\n" * 100))
    assert read_text(tmp_path / "a.csv.gz", "CSV", 1000) == "Id,Target\n" * 100
    with pytest.raises(UserError, match="more than the 999 that such a file may have"):
        read_text(tmp_path / "a.csv.gz", "CSV", 999)
    (tmp_path / "b.csv.gz").write_bytes(b"Id,Target\n")
    with pytest.raises(UserError, match=r"b\.csv\.gz': cannot be read \(Not a gzipped file"):
        read_text(tmp_path / "b.csv.gz", "CSV", 1000)


def test_a_gz_that_unpacks_to_hundreds_of_times_its_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"\n" * (20 << 20)))
    with pytest.raises(UserError, match=r"a\.csv\.gz: 17,\d{3},\d{3} bytes, more than the 17,\d{3},\d{3} that"):
        read_text(path, "CSV", 512 << 20)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_in_a_file_s_place_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "t.yaml")
    (tmp_path / "zeros.csv").symlink_to("/dev/zero")
    for name in ("t.yaml", "zeros.csv"):
        with pytest.raises(UserError, match=rf"{name}: is no regular file; name a YAML file"):
            read_text(tmp_path / name, "YAML", 1000)
    with pytest.raises(UserError, match="is no regular file"):
        sha256(tmp_path / "t.yaml")
    ends = os.pipe()
    os.write(ends[1], b"a: 1\n")
    os.close(ends[1])
    assert read_text(Path(f"/dev/fd/{ends[0]}"), "YAML", 1000) == "a: 1\n"
    os.close(ends[0])
