"""What other networks reach on images with the same labels: benchmarks/sim_to_real.py."""

from __future__ import annotations

import numpy as np
from sim_to_real import peer_rows


def test_networks_are_measured_on_images_with_just_the_same_labels() -> None:
    present = np.repeat(np.eye(3, dtype=bool), 4, axis=0)
    both = np.array([[True, True, False]])
    labels = np.concatenate([np.tile(present, (2, 1)), both])  # what no image at hand is labelled must not be drawn
    right = labels.astype(float)
    right[-1] = (0, 0, 1)
    figures, left_out = peer_rows(np.concatenate([present, ~both]), labels, np.stack([right, -right]))
    assert figures.shape == (2, 2, 200)
    assert (figures[:, 0] == 1).all()
    assert figures[0, 1].max() < 0.5
    assert left_out == 0


def test_images_whose_labels_no_other_has_are_left_out() -> None:
    present = np.concatenate([np.repeat(np.eye(2, dtype=bool), 4, axis=0), np.ones((3, 2), bool)])
    labels = np.repeat(np.eye(2, dtype=bool), 5, axis=0)
    figures, left_out = peer_rows(present, labels, labels[None].astype(float))
    assert left_out == 3
    assert (figures == 1).all()
