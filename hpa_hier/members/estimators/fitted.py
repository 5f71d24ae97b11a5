"""Fitted estimators of a member's nodes: which samples each one learns from, and how its answers become logits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import log_softmax, logit, logsumexp

from hpa_hier.data.balance.repeat import epoch_copies

# Answers are computed for so many samples at a time, the last ones filled up with zeros: matrix products are rounded by
# their shape, and with one shape a sample gets the same logits, bit for bit, alone or among others.
COMPUTE_BATCH = 256


@dataclass(frozen=True)
class NodeFit:
    """An estimator that was fitted for some nodes on the samples where these are known."""

    estimator: Any
    columns: tuple[int, ...]  # of the member's nodes
    shares: np.ndarray  # (m,) of the samples that have each node, between 0 and 1
    samples: int  # that it learned from
    one_of: bool = (
        False  # its classes are the nodes, and last "none of them" where that was met; else yes and no of each
    )

    def logits(self, values: np.ndarray) -> np.ndarray:
        """Return (B, m) logits of (B, F) standardised vectors.

        Raises:
            ValueError: the estimator answers with an array of another shape.
        """
        m = len(self.columns)
        if not hasattr(self.estimator, "predict_proba"):
            found = np.asarray(self.estimator.decision_function(values), np.float64)
            found = found if found.ndim == 2 else found[:, None]
            return self._check(log_odds(found)[:, :m] if self.one_of else found, len(values))
        found = self.estimator.predict_proba(values)
        if isinstance(found, list):  # one (B, 2) array a node
            found = np.stack([probs[:, 1] for probs in found], axis=1)
        elif self.one_of:
            found = found[:, :m]
        elif m == 1:
            found = found[:, -1:]  # of no and yes, or yes alone
        votes = count_votes(self.estimator, self.samples)
        return self._check(smoothed_logits(np.asarray(found), self.shares, votes), len(values))

    def _check(self, logits: np.ndarray, samples: int) -> np.ndarray:
        if logits.shape != (samples, len(self.columns)):
            raise ValueError(f"it answers with {logits.shape[1:]} numbers for {len(self.columns)} nodes")
        return logits


def log_odds(scores: np.ndarray) -> np.ndarray:
    """Return each class's log-odds against all others under a softmax of (B, K) scores; (B, 1) are two classes'.

    >>> log_odds(np.array([[2.0, 0.0], [800.0, 0.0]])), log_odds(np.array([[3.0]]))
    (array([[   2.,   -2.],
           [ 800., -800.]]), array([[-3.,  3.]]))
    """
    if scores.shape[1] == 1:
        return np.concatenate([-scores, scores], axis=1)
    logs = log_softmax(scores, axis=1)
    best = logs.argmax(axis=1)[:, None]
    rest = logs.copy()
    np.put_along_axis(rest, best, -np.inf, axis=1)
    odds = rest - np.log1p(-np.exp(np.minimum(rest, -np.log(2))))  # of all but the best at most a half
    largest = np.take_along_axis(logs, best, axis=1) - logsumexp(rest, axis=1, keepdims=True)
    np.put_along_axis(odds, best, largest, axis=1)
    return np.asarray(odds)


@dataclass(frozen=True)
class Fitted:
    """All estimators of a member."""

    constant: np.ndarray  # (n,) float64 logits of nodes of which the training samples show one side only, NaN of others
    fits: tuple[NodeFit, ...]

    def logits(self, values: np.ndarray) -> np.ndarray:
        """Return (B, n) float32 logits of (B, F) standardised vectors; a row does not depend on the other rows."""
        logits = np.tile(self.constant.astype(np.float32), (len(values), 1))
        for first in range(0, len(values), COMPUTE_BATCH):
            part = values[first : first + COMPUTE_BATCH]
            padded = np.zeros((COMPUTE_BATCH, values.shape[1]), values.dtype)
            padded[: len(part)] = part
            for fit in self.fits:
                logits[first : first + len(part), fit.columns] = fit.logits(padded)[: len(part)]
        return logits


def smoothed_logits(probs: np.ndarray, shares: np.ndarray, votes: int) -> np.ndarray:
    """Return the log-odds of shares of votes, to which the training samples' share is added as one more vote.

    A forest in which all trees agree, or a neighbourhood of one kind, says 0 or 1, whose log-odds are infinite. What
    all of k votes say is not certain: with a prior that is worth one vote (unit information) and has the node's share s
    among the training samples as its mean, 0 becomes s / (k + 1), and the order of samples stays as it was.

    Args:
        probs: (B, m) in [0, 1].
        shares: (m,) above 0 and below 1.
        votes: from which the probabilities are made.

    Source: m-estimate with m = 1, Cestnik, ECAI 1990; unit information prior, Kass & Wasserman, JASA 1995.

    >>> smoothed_logits(np.array([[0.0], [0.5], [1.0]]), np.array([0.5]), 9).ravel().round(3)
    array([-2.944,  0.   ,  2.944])
    """
    return np.asarray(logit((votes * probs.astype(np.float64) + shares) / (votes + 1)))


def count_votes(estimator: Any, samples: int) -> int:  # noqa: ANN401 - any estimator
    """Return of how many votes an estimator's probabilities are made: its trees or neighbours, else its samples."""
    votes = getattr(estimator, "n_estimators", getattr(estimator, "n_neighbors", samples))
    return min(int(votes), samples) if isinstance(votes, (int, np.integer)) else samples


@dataclass(frozen=True)
class Lesson:
    """What a member's estimators learn from."""

    values: np.ndarray  # (B, F) standardised vectors
    present: np.ndarray  # (B, n) bool
    known: np.ndarray  # (B, n) bool
    factors: np.ndarray  # (B,) how much each sample counts
    one_of: bool = False  # a sample has one of the nodes at most


def fit_nodes(
    estimator: Any,  # noqa: ANN401 - any estimator
    lesson: Lesson,
    seed: int,
    threads: int = 1,
    report: Callable[[float], object] = lambda share: None,
) -> Fitted:
    """Fit clones of an estimator for all nodes of a member.

    An estimator that takes several labels (trees, neighbours) is fitted once for all nodes that are known of the same
    samples; any other one for each node. Both see the samples whose annotation says whether the node is there, and no
    others. Where a sample has one of the nodes at most, they are the classes of a single fit, on the samples of which
    all nodes are known. A node that all of these have, or none, gets the log-odds of its share by the rule of
    succession, (positives + 1) / (samples + 2), for any vector.

    Args:
        estimator: untrained.
        lesson: samples with their targets.
        seed: of the drawing of copies, where an estimator takes no weights and factors are no whole numbers.
        threads: that fit at the same time.
        report: is told the share that is done.
    """
    from joblib import Parallel, delayed, parallel_config  # as scikit-learn, takes a second to import
    from sklearn.base import clone
    from sklearn.utils import get_tags

    tags = get_tags(estimator).classifier_tags
    lesson = replace(lesson, one_of=lesson.one_of and (tags is None or tags.multi_class))
    if lesson.one_of:
        whole = np.all(lesson.known, axis=1, keepdims=True)
        lesson = replace(lesson, known=np.broadcast_to(whole, lesson.known.shape))
    present, known = lesson.present, lesson.known
    samples, positives = known.sum(axis=0), (present & known).sum(axis=0)
    constant = np.where((positives == 0) | (positives == samples), logit((positives + 1) / (samples + 2)), np.nan)
    open_columns = np.flatnonzero(np.isnan(constant))
    groups = [np.array([column]) for column in open_columns]
    if lesson.one_of and len(open_columns):
        groups = [open_columns]
    elif tags is not None and tags.multi_label and len(open_columns):
        _, pattern = np.unique(known[:, open_columns], axis=1, return_inverse=True)
        groups = [open_columns[pattern.ravel() == number] for number in range(int(pattern.max()) + 1)]
    weights = _weights(lesson.factors)
    jobs = [delayed(_fit)(clone(estimator), lesson, group, weights, seed) for group in groups]
    inside = len(groups) < threads  # few fits share the threads, many have one each
    fits: list[NodeFit] = []
    with parallel_config("threading", n_jobs=threads if inside else 1):
        for fit in Parallel(1 if inside else threads, prefer="threads", return_as="generator")(jobs):
            fits.append(fit)
            report(len(fits) / len(groups))
    return Fitted(constant, tuple(fits))


def _weights(factors: np.ndarray) -> np.ndarray | None:
    return None if (factors == 1).all() else factors.astype(np.float64)


def _fit(
    estimator: Any,  # noqa: ANN401 - any estimator
    lesson: Lesson,
    columns: np.ndarray,
    weights: np.ndarray | None,
    seed: int,
) -> NodeFit:
    """Fit one estimator for nodes that are known of the same samples, or of which a sample has one at most."""
    from sklearn.utils.validation import has_fit_parameter

    rows = np.flatnonzero(lesson.known[:, columns[0]])
    more: dict[str, np.ndarray] = {}
    if weights is not None and has_fit_parameter(estimator, "sample_weight"):
        more = {"sample_weight": weights[rows]}
    elif weights is not None:
        rows = np.repeat(rows, epoch_copies(weights[rows], np.random.default_rng(seed)))
    present = lesson.present[np.ix_(rows, columns)].astype(np.int64)
    labels = present[:, 0] if len(columns) == 1 else present
    if lesson.one_of:
        labels = np.where(present.any(axis=1), present.argmax(axis=1), len(columns))
    estimator.fit(lesson.values[rows], labels, **more)
    shares = np.average(present, axis=0, weights=more.get("sample_weight"))
    return NodeFit(estimator, tuple(map(int, columns)), shares, len(rows), lesson.one_of)
