"""Styles of a folder: every kind of picture, and what is said where there is none."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from hpa_hier.errors import UserError
from hpa_hier.training.batches.styles import describe_styles, folder_digest, read_styles

CHANNELS = ("red", "green", "blue", "yellow")


def draw_picture(path: Path, *shape: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(len(path.name)).integers(0, 256, shape, dtype=np.uint8))


def test_single_channels_whole_fields_and_coloured_pictures_give_styles(tmp_path: Path) -> None:
    draw_picture(tmp_path / "a_green.png", 40, 40)
    draw_picture(tmp_path / "b_blue.png", 40, 40)
    for channel in CHANNELS:
        draw_picture(tmp_path / "whole" / f"c_{channel}.png", 32, 32)
    draw_picture(tmp_path / "d.png", 24, 36, 3)
    styles = read_styles(tmp_path, CHANNELS, 32, "depth")
    assert styles.counts == (2, 3, 3, 1)
    assert styles.looks[1].spectra.shape == (3, 17)
    without = read_styles(tmp_path, ("red", "green"), 32, "depth")
    assert without.counts == (2, 3)
    assert describe_styles(styles, "x", CHANNELS).endswith("pictures with red 2, green 3, blue 3, yellow 1")


def test_a_folder_without_a_picture_of_the_channels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"training\.augment\.styles: .*no image"):
        read_styles(tmp_path, CHANNELS, 32, "depth")
    draw_picture(tmp_path / "a_yellow.png", 40, 40)
    assert read_styles(tmp_path, CHANNELS, 32, "depth").counts == (0, 0, 0, 1)
    with pytest.raises(UserError, match=r"no picture of red, green can be used; .*a_yellow\.png: none of red, green"):
        read_styles(tmp_path, ("red", "green"), 32, "depth")


def test_a_folders_digest_changes_with_its_files(tmp_path: Path) -> None:
    draw_picture(tmp_path / "a_green.png", 40, 40)
    before = folder_digest(tmp_path)
    assert folder_digest(tmp_path) == before
    draw_picture(tmp_path / "b_green.png", 40, 40)
    assert folder_digest(tmp_path) != before
