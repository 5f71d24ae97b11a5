"""Samples unlike those learned from: measured alike in fitting and predicting, images and vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ensemble_run import CHANNELS, SIZE, SmallRun

from hpa_hier.ensemble.novelty.novelty import LEAST
from hpa_hier.predict.fit_run import fit_run
from hpa_hier.predict.inputs import Batch, InputSpec
from hpa_hier.predict.unlike import find_unlike, fit_novelty, measure, name_features

IMAGES = InputSpec("images", CHANNELS, SIZE, "depth")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    return SmallRun(tmp_path_factory.mktemp("small"))


def test_a_fitted_run_knows_its_own_kind_of_image_from_another(small: SmallRun) -> None:
    ensemble, baseline = fit_run(small.run)
    assert baseline is None or baseline.novelty is None
    own = small.pack.images(small.pack.find_rows(small.truth.ids[:40]))
    other = np.full((40, 4, SIZE, SIZE), 90, np.uint8)
    spec = InputSpec.from_ensemble(ensemble)
    told = find_unlike(ensemble.novelty, Batch(small.truth.ids[:40], own, ((),) * 40), spec)
    assert sum(map(bool, told)) <= 8
    assert all(find_unlike(ensemble.novelty, Batch(small.truth.ids[:40], other, ((),) * 40), spec))


def test_a_channel_that_may_be_missing_is_no_reason(small: SmallRun) -> None:
    novelty = fit_novelty(small.pack, small.truth.ids, IMAGES)
    images = small.pack.images(np.arange(40))
    images[:, 3] = 0
    ids = small.truth.ids[:40]
    assert sum(map(bool, find_unlike(novelty, Batch(ids, images, (("yellow",),) * 40), IMAGES))) <= 8
    assert all(find_unlike(novelty, Batch(ids, images, ((),) * 40), IMAGES))


def test_too_few_samples_give_no_distances_and_no_warning(small: SmallRun) -> None:
    assert fit_novelty(small.pack, small.truth.ids[: LEAST - 1], IMAGES) is None
    batch = Batch(("a",), np.zeros((1, 4, SIZE, SIZE), np.uint8), ((),))
    assert find_unlike(None, batch, IMAGES) == ("",)


def test_vectors_are_measured_by_their_own_features(tmp_path: Path) -> None:
    spec = InputSpec("vectors", ("area", "mean"), 1, "depth")
    values = np.array([[1.0, np.nan]], np.float32)
    assert name_features(spec) == ("area", "mean")
    np.testing.assert_array_equal(measure(values, ((),), spec), values.astype(np.float64))
