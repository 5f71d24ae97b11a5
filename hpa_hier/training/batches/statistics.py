"""Means, standard deviations and ranks over the training part, by which samples are normalised."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hpa_hier.data.pack.pack import ImagePack
from hpa_hier.models.network import Standardise
from hpa_hier.models.normal_scores import RankTable, normalise_vectors
from hpa_hier.training.batches.order import Read

_SAMPLED = 1024  # images; the statistics are steady long before that
IDLE = float(np.finfo(np.float32).max)  # deviation of a feature that tells nothing; finite, as JSON needs it
_ROUNDING = 1e-6  # of float32
_RANKED = 1 << 15  # vectors, for the same reason
_KNOTS = 200  # values a feature whose normal scores are kept; between them lies a straight line
_IMAGES_AT_ONCE, _VECTORS_AT_ONCE = 64, 4096  # in memory


def channel_statistics(pack: ImagePack, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and standard deviation of each channel, (C,) each, in 0..255.

    Args:
        pack: where the images are.
        rows: of the training part; of a large one, evenly spaced ones are read.

    >>> from types import SimpleNamespace
    >>> pixels = np.array([[[[10]]], [[[20]]]], np.uint8)
    >>> pack = SimpleNamespace(channels=("green",), size=1, images=lambda rows: pixels[rows])
    >>> channel_statistics(pack, np.arange(2))
    (array([15.]), array([5.]))
    """
    sampled = _spaced(rows, _SAMPLED)
    sums = np.zeros((2, len(pack.channels)))
    for first in range(0, len(sampled), _IMAGES_AT_ONCE):
        images = pack.images(sampled[first : first + _IMAGES_AT_ONCE]).astype(np.float32)
        sums[0] += images.sum(axis=(0, 2, 3), dtype=np.float64)
        sums[1] += np.square(images).sum(axis=(0, 2, 3), dtype=np.float64)
    mean, square = sums / (len(sampled) * pack.size**2)
    return mean, np.sqrt(np.maximum(square - mean**2, 0))


def _spaced(rows: np.ndarray, most: int) -> np.ndarray:
    return rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(np.int64)]


class FeatureStatistics(NamedTuple):
    """What the features of a training part are like, (F,) float64 each, as `Standardise` takes it."""

    mean: np.ndarray
    std: np.ndarray  # IDLE where a feature tells nothing
    low: np.ndarray  # values below and above were not seen, nor anything near them
    high: np.ndarray


def feature_statistics(read: Read, rows: np.ndarray) -> FeatureStatistics:
    """Measure each feature over rows; gaps (NaN) are left out.

    A feature that is missing everywhere, or the same in all rows, or in all but one, has a deviation so large that
    nothing is left of it: it decides nothing, whatever new samples have there. That one row alone is another shows in
    its distance from the mean, √(n − 1) deviations, which no other sample of n can reach (Samuelson 1968). `low` and
    `high` lie as far outside of the values seen as these lie apart.

    Args:
        read: rows → (B, F) values.
        rows: of the training part.

    >>> table = np.array([[1.0, 5.0, 0.0], [2.0, 5.0, 0.0], [3.0, 5.0, 1e-9], [np.nan, 5.0, 0.0]])
    >>> found = feature_statistics(table.__getitem__, np.arange(4))
    >>> found.mean.round(3), found.std < IDLE, found.high
    (array([2., 5., 0.]), array([ True, False, False]), array([5.e+00, 5.e+00, 2.e-09]))
    """
    from sklearn.preprocessing import StandardScaler  # takes a second to import

    scaler = StandardScaler()
    low, high = np.array(np.inf), np.array(-np.inf)
    for first in range(0, len(rows), _VECTORS_AT_ONCE):
        values = read(rows[first : first + _VECTORS_AT_ONCE]).astype(np.float64)
        low, high = np.fmin(low, np.fmin.reduce(values)), np.fmax(high, np.fmax.reduce(values))
        with np.errstate(invalid="ignore"):  # a feature that is missing in all rows so far has the mean 0 / 0
            scaler.partial_fit(values)
        scaler.mean_ = np.nan_to_num(scaler.mean_)  # as NaN it would stay NaN, whatever the next rows hold
    mean, std = scaler.mean_, np.sqrt(np.nan_to_num(scaler.var_))
    count = np.broadcast_to(scaler.n_samples_seen_, mean.shape)
    low, high = np.where(count > 0, low, mean), np.where(count > 0, high, mean)
    furthest = np.maximum(mean - low, high - mean)
    varied = std > 1e-6 * np.maximum(np.abs(mean), 1e-12)  # below is float32's rounding
    one_row = (furthest >= (1 - _ROUNDING) * np.sqrt(np.maximum(count - 1, 0)) * std) & (count > 2)
    width = high - low
    return FeatureStatistics(mean, np.where(varied & ~one_row, std, IDLE), low - width, high + width)


def rank_table(read: Read, rows: np.ndarray, found: FeatureStatistics) -> RankTable:
    """Return the normal scores of each feature's values: where its rank lies in a normal distribution.

    Values that are equal share the middle of their ranks, and scores get mean 0. So a feature of two values keeps two,
    and a rare one, whose few ones would be dozens of standard deviations away, stays small. A feature that tells
    nothing has the score 0 everywhere.

    Args:
        read: rows → (B, F) values.
        rows: of the training part; of a large one, evenly spaced ones are read.
        found: what the features are like.

    Source: normal scores, van der Waerden, 1952, of mid-ranks.

    >>> table = np.array([[1.0, 0.0], [10.0, 0.0], [1000.0, 1.0], [np.nan, 1.0]])
    >>> statistics = feature_statistics(table.__getitem__, np.arange(4))
    >>> rank_table(table.__getitem__, np.arange(4), statistics).scores.round(2)
    array([[-0.97,  0.  ,  0.97],
           [-0.67,  0.67,  0.67]], dtype=float32)
    """
    values = read(_spaced(rows, _RANKED)).astype(np.float32)
    columns = [_rank_column(column) if std < IDLE else None for column, std in zip(values.T, found.std, strict=True)]
    knots = max((len(column[0]) for column in columns if column is not None), default=2)
    table = RankTable(np.zeros((len(columns), knots), np.float32), np.zeros((len(columns), knots), np.float32))
    for j, column in enumerate(columns):
        if column is not None:
            for whole, part in zip((table.values, table.scores), column, strict=True):
                whole[j, : len(part)], whole[j, len(part) :] = part, part[-1]
    return table


def _rank_column(column: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Return some values of a feature, ascending, and their scores; None where all are the same."""
    from scipy.special import ndtri  # takes a while to import

    different, counts = np.unique(column[~np.isnan(column)], return_counts=True)
    if len(different) < 2:
        return None
    ranks = (np.cumsum(counts) - counts / 2) / counts.sum()
    scores = ndtri(ranks)
    scores -= np.average(scores, weights=counts)
    if len(different) > _KNOTS:
        kept = np.unique(np.searchsorted(ranks, np.linspace(ranks[0], ranks[-1], _KNOTS)).clip(0, len(ranks) - 1))
        different, scores = different[kept], scores[kept]
    return different, scores


def vector_normalisation(rule: str, read: Read, rows: np.ndarray) -> Standardise:
    """Measure the features of the training part, and return how they reach a network or an estimator.

    Args:
        rule: as `training.vectors`.
        read: rows → (B, F) values.
        rows: of the training part.
    """
    found = feature_statistics(read, rows)
    ranks = None if rule == "standardise" else rank_table(read, rows, found)
    return normalise_vectors(rule, found.mean, found.std, ranks, found.low, found.high)
