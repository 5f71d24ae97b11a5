"""Label sets: the real table's counts, the knob for imbalance, the floor for rare classes, antibodies."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpa_hier.errors import UserError
from hpa_hier.simulate.labelsets import (
    FLOOR,
    LARGEST_GROUP,
    LEAVES,
    SMALLEST_GROUPS,
    draw_samples,
    label_counts,
    set_counts,
    set_weights,
)


def test_the_kept_counts_are_those_of_the_published_table() -> None:
    assert sum(set_counts().values()) == 31_072
    assert len(set_counts()) == 577
    counts = label_counts()
    assert (counts["0"], counts["25"], counts["27"], counts["15"]) == (12_885, 8_228, 11, 21)
    assert (counts["0+25"], counts["0+2"], counts["21+25"]) == (3_631, 1_735, 921)
    assert set(LEAVES) == {label for label in counts if "+" not in label}


def test_the_kept_counts_are_those_of_the_real_table(shared_data: Path) -> None:
    with (shared_data / "hpa" / "train.csv").open() as handle:
        real = Counter(tuple(sorted(row["Target"].split(), key=int)) for row in csv.DictReader(handle))
    assert dict(set_counts()) == real


@given(st.integers(1, 700), st.integers(0, 1000), st.floats(0, 2))
@settings(max_examples=30)
def test_as_many_samples_are_drawn_as_asked_for(count: int, seed: int, imbalance: float) -> None:
    samples = draw_samples(count, seed, imbalance)
    assert len(samples) == count
    assert samples == draw_samples(count, seed, imbalance)
    assert all(sample.labels in set_counts() for sample in samples)


def test_a_large_draw_has_the_real_frequencies() -> None:
    sets = [sample.labels for sample in draw_samples(30_000, seed=5)]
    have = Counter(label for labels in sets for label in labels)
    for label, real in label_counts().items():
        if "+" not in label and real > 500:
            assert have[label] / 30_000 == pytest.approx(real / 31_072, rel=0.2), label
    pairs = sum("0" in labels and "25" in labels for labels in sets)
    assert pairs / 30_000 == pytest.approx(3_631 / 31_072, rel=0.1)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_class_has_its_floor_of_images_and_of_antibodies(seed: int) -> None:
    images: Counter[str] = Counter()
    antibodies = defaultdict(set)
    for sample in draw_samples(4000, seed):
        for label in sample.labels:
            images[label] += 1
            antibodies[label].add(sample.antibody)
    assert min(images[label] for label in LEAVES) >= FLOOR
    assert min(len(antibodies[label]) for label in LEAVES) >= SMALLEST_GROUPS


def test_images_of_one_antibody_share_their_labels_and_are_few() -> None:
    by_antibody = defaultdict(list)
    for sample in draw_samples(1000, 3):
        by_antibody[sample.antibody].append(sample.labels)
    assert all(len(set(labels)) == 1 for labels in by_antibody.values())
    assert max(map(len, by_antibody.values())) <= LARGEST_GROUP


def test_less_imbalance_gives_rare_classes_more_images() -> None:
    rare = [Counter(x for sample in draw_samples(3000, 1, i) for x in sample.labels)["10"] for i in (1.0, 0.5, 0.0)]
    assert rare[0] < rare[1] < rare[2]


def test_at_no_imbalance_each_label_has_the_same_mass_as_rarest_of_its_sets() -> None:
    mass: Counter[str] = Counter()
    for labels, weight in zip(set_counts(), set_weights(0.0), strict=True):
        mass[min(labels, key=lambda label: label_counts()[label])] += float(weight)
    assert max(mass.values()) < 6 * mass["27"]
    assert sum(mass.values()) == pytest.approx(1)


def test_a_tiny_draw_is_not_all_rare_classes() -> None:
    assert sum("0" in sample.labels for sample in draw_samples(60, 2)) > 10


@pytest.mark.parametrize(
    ("count", "seed", "imbalance", "said"),
    [
        (0, 1, 1.0, "count must be at least 1 and seed at least 0, got 0 and 1"),
        (5, -1, 1.0, "count must be at least 1 and seed at least 0, got 5 and -1"),
        (5, 1, -0.5, r"imbalance must be from 0 \(balanced\) to 3 \(1 is the real table's\), got -0.5"),
        (5, 1, float("nan"), "got nan"),
    ],
)
def test_numbers_out_of_range_are_refused(count: int, seed: int, imbalance: float, said: str) -> None:
    with pytest.raises(UserError, match=said):
        draw_samples(count, seed, imbalance)
