"""Intervals: bootstrap over samples, or over whole antibodies where they are known."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]

_ENTRIES = 1 << 21  # weights held at a time: 8 MB, whatever the number of samples


def resamples(unit: npt.NDArray[np.integer], number: int, rng: np.random.Generator) -> Iterator[Floats]:
    """Draw units with replacement, `number` times.

    Args:
        unit: (B,) number, from 0, of what each sample is resampled with: its antibody, or itself alone.
        number: of resamples.
        rng: consumed in one fixed order, so that the weights do not depend on how they are chunked.

    Yields:
        (r, B) float32 chunks of weights: how often each resample holds each sample; r sums to `number`.

    >>> (weights,) = resamples(np.array([0, 0, 1]), 2, np.random.default_rng(0))
    >>> (weights[:, 0] == weights[:, 1]).all(), weights.shape
    (np.True_, (2, 3))
    """
    many = int(unit.max()) + 1 if len(unit) else 0
    at_once = max(1, _ENTRIES // max(1, len(unit)))
    for start in range(0, number, at_once):
        rows = min(at_once, number - start)
        drawn = np.zeros((rows, many), np.float32)
        for row in drawn:  # one draw a row: the same stream of numbers whatever the chunk size
            row[:] = np.bincount(rng.integers(0, many, many), minlength=many)
        yield drawn[:, unit]


def interval(values: Floats, point: Floats, level: float) -> tuple[Floats, Floats]:
    """Return percentile bounds of a resampled metric, moved so that the resamples' median is the metric itself.

    Resamples are biased where positives are few: copies of one image rank side by side, and a class that a resample
    misses is left out of its mean, so that mean AP rises by several of its standard errors. Unmoved bounds then do
    not even hold the metric.

    Args:
        values: (R, ...) the metric on each resample; NaN is left out.
        point: (...) the metric of the samples as they are.
        level: share of the resamples inside, in (0, 1).

    Returns:
        Two (...) arrays; NaN where no resample defines the metric.

    >>> low, high = interval(np.arange(101.0), np.array(48.0), 0.9)
    >>> round(float(low)), round(float(high))
    (3, 93)
    """
    tail = (1 - level) / 2
    flat = values.reshape(len(values), -1)
    defined = ~np.isnan(flat).all(axis=0)
    bounds = np.full((3, flat.shape[1]), np.nan)
    if defined.any():
        bounds[:, defined] = np.nanquantile(flat[:, defined], [tail, 0.5, 1 - tail], axis=0)
    low, middle, high = bounds.reshape(3, *values.shape[1:])
    return low - middle + point, high - middle + point
