"""Metrics of the benchmarks on real images: against counts by hand."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from hpa_hier.taxonomy import Taxonomy

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


sim_to_real, detector, learning_curve = script("sim_to_real"), script("detector"), script("learning_curve")


def test_top_k_counts_images_with_a_true_node_among_the_first_k() -> None:
    probs = np.array([[0.9, 0.5, 0.1], [0.2, 0.3, 0.5], [0.6, 0.5, 0.4]])
    present = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 1]], bool)
    assert sim_to_real.top_hits(present, probs, 1).tolist() == [False, True, False]
    assert sim_to_real.top_hits(present, probs, 2).tolist() == [True, True, False]


def test_chance_of_top_k_is_what_random_orders_give() -> None:
    present = np.array([[1, 1, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0]], bool)
    rng = np.random.default_rng(0)
    random = np.mean([sim_to_real.top_hits(present, rng.random(present.shape), 2).mean() for _ in range(4000)])
    assert sim_to_real.top_chance(present, 2) == pytest.approx(random, abs=0.02)
    assert sim_to_real.top_chance(np.eye(28, dtype=bool), 1) == pytest.approx(1 / 28)


def test_mean_ap_counts_leaves_with_four_images_and_its_chance_is_their_share() -> None:
    taxonomy = Taxonomy.load("hpa28")
    present = np.zeros((20, len(taxonomy.nodes)), bool)
    first, second, rare = (taxonomy.column[leaf] for leaf in taxonomy.leaves[:3])
    present[:5, first], present[5:15, second], present[:3, rare] = True, True, True
    probs = np.zeros(present.shape)
    probs[:, first] = present[:, first]  # all of its images first: an AP of 1
    rows = sim_to_real.table_rows(taxonomy, present, probs, present)
    name, value, _, chance = rows[-1]  # the second has one step of equal probabilities: an AP of its share, 0.5
    assert (name, value, chance) == ("mean AP of 2 leaves with 4 or more images", "0.75", "0.38")
    assert sim_to_real.class_rows(taxonomy, present, probs) == [
        (taxonomy.leaves[1], "10", "0.50", "0.50", "0.50"),
        (taxonomy.leaves[0], "5", "1.00", "1.00", "0.25"),
        (taxonomy.leaves[2], "3", "0.50", "0.15", "0.15"),
    ]


def test_macro_f1_leaves_out_groups_that_do_not_occur() -> None:
    present = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0]], bool)
    answered = np.array([[1, 0, 1], [0, 1, 0], [0, 1, 0]], bool)
    assert learning_curve.macro_f1(answered, present) == pytest.approx((2 / 3 + 2 / 3) / 2)


def test_the_scale_bar_is_cut_off_and_a_square_stays_one(tmp_path: Path) -> None:
    picture = np.zeros((200, 200, 3), np.uint8)
    picture[190:] = 255
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "a.png"), picture)
    sim_to_real.crop_lower(tmp_path / "in", 0.08, tmp_path / "out")
    cropped = cv2.imread(str(tmp_path / "out" / "a.png"))
    assert cropped.shape == (184, 184, 3)
    assert cropped.max() == 0


def test_a_detector_separates_noise_from_slopes_and_not_noise_from_noise() -> None:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (64, 64), dtype=np.uint8) for _ in range(40)]
    slopes = [np.tile(np.linspace(0, 255, 64).astype(np.uint8), (64, 1)) for _ in range(20)]
    assert detector.separation(noise[:20], slopes, 32, rng) == 1.0
    assert 0.2 < detector.separation(noise[:20], noise[20:], 32, rng) < 0.8
