"""The cache is where the user says, else where the system has such files."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpa_hier.files.remote.cache import FOLDER, cache_folder


def test_the_cache_is_where_the_user_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv(FOLDER)
    assert cache_folder().is_absolute()
    assert not cache_folder().is_relative_to(tmp_path)
