"""Novelty: how far a sample lies from those that members learned from, and how seldom one of theirs lies as far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hpa_hier.errors import UserError
from hpa_hier.metrics.arrays import Bools, Floats
from hpa_hier.metrics.groups import number_units

FALSE_ALARM = 0.05  # share of samples like those learned from that are called unlike; more would not be read
LEAST = round(1 / FALSE_ALARM) - 1  # samples below which none can lie further out than that share
MOST = 2000  # samples that a fit looks at
_FACTORS = 128  # directions that are kept, so that the file stays small where features are many
_FOLDS = 10


@dataclass(frozen=True)
class Novelty:
    """A normal distribution of F features, and the distances of samples that were held out of it.

    A sample's distance is Mahalanobis' squared, a feature; features that it lacks are left out of both. What it means
    is read off the held-out samples' own distances, so that no distribution is assumed: the p-value is conformal.

    Attributes:
        features: F names.
        mean: (F,)
        scale: (F,) standard deviations; 1 where a feature never varied.
        factors: (F, K) of the covariance, noise · I + factors factorsᵀ, of standardised features.
        noise: variance in all other directions.
        held_out: (n,) distances of samples from what was fitted without them, ascending.

    Source: Lee et al., A simple unified framework for detecting out-of-distribution samples, NeurIPS 2018; covariance
    as Ledoit & Wolf, Journal of Multivariate Analysis 2004; p-values as Vovk et al., Algorithmic learning in a random
    world, 2005.
    """

    features: tuple[str, ...]
    mean: Floats
    scale: Floats
    factors: Floats
    noise: float
    held_out: Floats

    @classmethod
    def fit(cls, samples: Floats, features: Sequence[str], units: Sequence[str] | None = None) -> Novelty:
        """Fit on samples that members learned from; no label is used.

        Args:
            samples: (B, F), NaN where a sample lacks a feature. Features that fewer than LEAST of them have are left
                out.
            features: F names.
            units: what must not be torn in holding samples out, such as antibodies; None: each sample is one.

        Raises:
            UserError: they are too few, or of too few units, to tell what is unlike them.
        """
        from sklearn.model_selection import GroupKFold  # takes a second to import

        groups = np.arange(len(samples)) if units is None else number_units(tuple(units))
        used = np.isfinite(samples).sum(axis=0) >= LEAST
        if not used.any() or len(np.unique(groups)) < 2:
            raise UserError(
                f"{len(samples)} samples of {len(np.unique(groups))} units are too few to tell what is unlike them; "
                f"{LEAST} are needed"
            )
        samples, names = samples[:, used], tuple(np.array(features)[used].tolist())
        none = np.empty(0)
        distances = np.empty(len(samples))
        for learned, held_out in GroupKFold(min(_FOLDS, len(np.unique(groups)))).split(samples, groups=groups):
            distances[held_out] = cls(names, *_fit(samples[learned]), none).distances(samples[held_out])
        return cls(names, *_fit(samples), np.sort(distances))

    def choose(self, samples: Floats, features: Sequence[str]) -> Floats:
        """Return of samples (B, G), columns named by `features`, the columns that this one knows, in its order.

        Raises:
            UserError: one of them is missing, as where they were computed by another version.
        """
        column = {name: j for j, name in enumerate(features)}
        if absent := [name for name in self.features if name not in column]:
            raise UserError(f"distances were fitted on the feature '{absent[0]}', which is missing; fit them again")
        return samples[:, [column[name] for name in self.features]]

    def distances(self, samples: Floats) -> Floats:
        """Return how far samples (B, F) lie, (B,) of at least 0; about 1 for those like what was fitted on.

        A row's distance does not depend on the other rows.
        """
        z = (samples - self.mean) / self.scale
        there = np.isfinite(z)
        patterns, which = np.unique(there, axis=0, return_inverse=True)
        solve = [_Part.of(self, pattern) for pattern in patterns]
        return np.array([solve[k].distance(row) for k, row in zip(which.ravel(), z, strict=True)], np.float64)

    def p_values(self, distances: Floats) -> Floats:
        """Return the share of held-out samples that lie as far as these distances (B,), itself counted, in (0, 1]."""
        beyond = len(self.held_out) - np.searchsorted(self.held_out, distances, side="left")
        return np.asarray((1 + beyond) / (1 + len(self.held_out)), np.float64)

    def find_unlike(self, distances: Floats) -> Bools:
        """Return which samples are unlike what was fitted on, (B,): no more than FALSE_ALARM of those like it are."""
        return np.asarray(self.p_values(distances) <= FALSE_ALARM)

    def to_tensors(self) -> dict[str, np.ndarray]:
        """Return the arrays that are kept, by name."""
        noise = np.array([self.noise])
        arrays = {name: getattr(self, name) for name in ("mean", "scale", "held_out")}
        return arrays | {"factors": self.factors.astype(np.float32), "noise": noise}

    @classmethod
    def from_tensors(cls, features: Sequence[str], tensors: Mapping[str, np.ndarray]) -> Novelty:
        """Read back what `to_tensors` returned; distances are the same to the last bit.

        Raises:
            KeyError, ValueError: an array is missing, or of another size than the features.
        """
        arrays = [np.asarray(tensors[name], np.float64) for name in ("mean", "scale", "factors", "noise", "held_out")]
        mean, scale, factors, noise, held_out = arrays
        if not len(features) == len(mean) == len(scale) == len(factors):
            raise ValueError(f"novelty of {len(features)} features, and arrays of {len(mean)}")
        return cls(tuple(features), mean, scale, factors, float(noise[0]), held_out)


@dataclass(frozen=True)
class _Part:
    """The distribution of those features that a sample has."""

    there: Bools  # (F,)
    factors: Floats  # (f, K)
    inverse: Floats  # (K, K), of noise · I + factorsᵀ factors
    noise: float

    @classmethod
    def of(cls, novelty: Novelty, there: Bools) -> _Part:
        factors = np.ascontiguousarray(novelty.factors[there])
        inner = novelty.noise * np.eye(factors.shape[1]) + factors.T @ factors
        return cls(there, factors, np.asarray(np.linalg.inv(inner), np.float64), novelty.noise)

    def distance(self, z: Floats) -> float:
        """Return the squared distance a feature: Woodbury's identity, one row at a time."""
        z = z[self.there]
        seen = self.factors.T @ z
        return float((z @ z - seen @ self.inverse @ seen) / self.noise / len(z)) if len(z) else 0.0


def _fit(samples: Floats) -> tuple[Floats, Floats, Floats, float]:
    """Return mean, scale, factors and noise of samples; what a sample lacks counts as the mean."""
    there = np.isfinite(samples)
    count = np.maximum(there.sum(axis=0), 1)
    mean = np.where(there, samples, 0.0).sum(axis=0) / count
    centred = np.where(there, samples - mean, 0.0)
    scale = np.sqrt((centred**2).sum(axis=0) / count)
    scale[scale <= 0] = 1.0  # a feature that never varied decides nothing by being a little off
    z = centred / scale
    _, singular, directions = np.linalg.svd(z, full_matrices=False)
    (n, F), variances = z.shape, singular**2 / len(z)
    middle = float(variances.sum() / F)
    spread = float((variances**2).sum() / F - middle**2)  # Ledoit & Wolf's delta², and below it beta²
    noisy = float((((z**2).sum(axis=1) ** 2).sum() / n - (variances**2).sum()) / n / F)
    shrinkage = min(noisy / spread, 1.0) if spread > 0 else 1.0
    variances = (1 - shrinkage) * variances + shrinkage * middle
    kept = min(_FACTORS, F - 1, len(variances))
    noise = (middle * F - float(variances[:kept].sum())) / (F - kept)
    noise = max(noise, np.finfo(np.float32).eps * middle) or 1.0
    factors = directions[:kept].T * np.sqrt(np.maximum(variances[:kept] - noise, 0.0))
    return mean, scale, factors.astype(np.float32).astype(np.float64), noise  # as they are kept
