"""Passes: the smallest that give the same bits as the usual one, compared once and kept."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from hpa_hier.files.remote.cache import FOLDER
from hpa_hier.members.engines.passes import find_least

SHAPE = (32, 1, 2, 2)


class _Rounds:
    """Computes passes of at least so many images alike, and notes the size of each."""

    def __init__(self, alike: int) -> None:
        self.alike = alike
        self.sizes: list[int] = []

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.sizes.append(len(images))
        sums = images.reshape(len(images), -1).sum(axis=1, dtype=np.float32)[:, None]
        return sums if len(images) >= self.alike else np.nextafter(sums, np.float32(0))


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(("alike", "least"), [(1, 4), (4, 4), (5, 8), (16, 16), (17, 32)])
def test_it_is_the_smallest_whose_logits_are_the_same_to_the_bit(alike: int, least: int) -> None:
    assert find_least(_Rounds(alike), SHAPE, "a") == least


def test_it_is_compared_once_for_a_network_a_shape_and_what_chooses_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_least(_Rounds(5), SHAPE, "a") == 8
    asked_again = _Rounds(17)
    assert find_least(asked_again, SHAPE, "a") == 8
    assert asked_again.sizes == []
    assert find_least(_Rounds(17), SHAPE, "b") == 32
    assert find_least(_Rounds(16), (32, 1, 4, 4), "a") == 16
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert find_least(_Rounds(4), SHAPE, "a") == 4
    monkeypatch.setattr(torch, "get_num_threads", lambda: 99)
    assert find_least(_Rounds(16), SHAPE, "a") == 16


def test_a_damaged_file_is_compared_again(kept: Path) -> None:
    find_least(_Rounds(5), SHAPE, "a")
    (file,) = kept.glob("pass-*")
    file.write_bytes(file.read_bytes()[:-1] + b"4")
    assert find_least(_Rounds(5), SHAPE, "a") == 8


def test_where_nothing_can_be_kept_nothing_is_compared(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = _Rounds(4)
    monkeypatch.setenv(FOLDER, str(kept / "read" / "only"))
    monkeypatch.setattr(os, "access", lambda folder, how: folder != kept)  # as a read-only disk, to root too
    assert find_least(rounds, SHAPE, "a") == 32
    assert rounds.sizes == []
