"""A forest for thousands of nodes: trees on the main directions of the annotations, leaves that keep their samples."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval

Floats = NDArray[np.floating]


class LabelTrees(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Extra trees whose splits explain the main directions of multi-label targets; a leaf answers with its samples.

    scikit-learn's own forest weighs every label at every split and keeps two numbers a label in every leaf: with 4,000
    labels, minutes and gigabytes. Here the trees see the first `components` principal directions of the labels, and the
    labels themselves are kept once: a probability is the mean label of the training samples in the same leaves.

    Args:
        n_estimators: trees.
        min_samples_leaf: fewest training samples in a leaf.
        components: directions of the labels; with fewer labels than these, the trees see the labels.
        random_state: seed.

    >>> values, present = np.arange(40.0)[:, None], np.arange(40)[:, None] >= np.array([10, 20, 30])
    >>> LabelTrees(5, min_samples_leaf=1, random_state=0).fit(values, present).predict_proba(values[[0, 25]]).round(1)
    array([[0., 0., 0.],
           [1., 1., 0.]])
    """

    _at_least_one = (Interval(Integral, 1, None, closed="left"),)
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_estimators": [*_at_least_one],
        "min_samples_leaf": [*_at_least_one],
        "components": [*_at_least_one],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_estimators: int = 100,
        min_samples_leaf: int = 5,
        components: int = 30,
        random_state: int | None = None,
    ) -> None:
        self.n_estimators = n_estimators
        self.min_samples_leaf = min_samples_leaf
        self.components = components
        self.random_state = random_state

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label, tags.classifier_tags.multi_class = True, False
        return tags

    def fit(self, X: Floats, y: NDArray[np.generic]) -> Self:
        """Fit to vectors (B, F) and present labels (B, m)."""
        present = np.asarray(y, np.float32).reshape(len(X), -1)
        targets = present - present.mean(axis=0)
        if targets.shape[1] > self.components:
            targets = TruncatedSVD(self.components, random_state=self.random_state).fit_transform(targets)
        self.classes_ = [np.array([0, 1])] * present.shape[1]
        self.forest_ = ExtraTreesRegressor(
            self.n_estimators,
            min_samples_leaf=self.min_samples_leaf,
            max_features="sqrt",
            random_state=self.random_state,
        ).fit(X, targets[:, 0] if targets.shape[1] == 1 else targets)
        self.first_ = np.cumsum([0, *(tree.tree_.node_count for tree in self.forest_.estimators_)])
        leaves = self._leaves(X)
        shares = 1 / np.maximum(np.asarray(leaves.sum(axis=0)).ravel(), 1)
        self.samples_ = sparse.csr_matrix((leaves @ sparse.diags(shares)).T)
        self.labels_ = sparse.csr_matrix(present)
        return self

    def predict_proba(self, X: Floats) -> NDArray[np.float64]:
        """Return the share (B, m) of the training samples in the same leaves that have each label."""
        weights = self._leaves(X) @ self.samples_ / self.n_estimators
        return np.asarray((weights @ self.labels_).toarray(), np.float64)

    def predict(self, X: Floats) -> NDArray[np.bool_]:
        """Return which labels (B, m) at least half of those samples have."""
        return self.predict_proba(X) >= 0.5

    def _leaves(self, vectors: Floats) -> sparse.csr_matrix:
        """Return (B, nodes of all trees), 1 at the leaf of each tree that a vector falls into."""
        columns = (self.forest_.apply(vectors) + self.first_[:-1]).ravel()
        ends = np.arange(len(vectors) + 1) * self.n_estimators
        shape = (len(vectors), int(self.first_[-1]))
        return sparse.csr_matrix((np.ones(len(columns), np.float32), columns, ends), shape=shape)
