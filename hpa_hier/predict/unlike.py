"""Unlike: samples measured against those that an ensemble's members learned from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hpa_hier.data.pack.pack import Pack
from hpa_hier.data.pack.pack_file import VECTORS
from hpa_hier.ensemble.novelty.novelty import MOST, Novelty
from hpa_hier.ensemble.novelty.words import describe_unlike
from hpa_hier.errors import UserError
from hpa_hier.metrics.arrays import Floats
from hpa_hier.predict.inputs import Batch, InputSpec

_AT_ONCE = 256  # samples of a pack in memory
_MOST_NUMBERS = 2_000_000  # samples times features; a fit on these takes seconds
_FEWEST = 200  # samples, whatever the features


def name_features(spec: InputSpec) -> tuple[str, ...]:
    """Name what samples are measured by: statistics of images, or the features of vectors themselves."""
    if spec.kind == VECTORS:
        return spec.channels
    from hpa_hier.ensemble.novelty.image_statistics import name_statistics  # imports an image library

    return name_statistics(spec.channels, spec.size)


def measure(values: np.ndarray, missing: Sequence[Sequence[str]], spec: InputSpec) -> Floats:
    """Measure samples as members take them.

    Args:
        values: (B, C, S, S) uint8 images, or (B, F) float32 vectors.
        missing: for each image, the channels that it lacks.
        spec: what samples are like.

    Returns:
        (B, G), columns as `name_features`, NaN where a sample lacks something.
    """
    if spec.kind == VECTORS:
        return values.astype(np.float64)
    from hpa_hier.ensemble.novelty.image_statistics import describe_images

    return describe_images(values, spec.channels, missing)


def fit_novelty(pack: Pack, ids: Sequence[str], spec: InputSpec, units: Sequence[str] | None = None) -> Novelty | None:
    """Fit distances on samples of a pack that members learned from; None: they are too few.

    No network learned from what samples are measured by, so those that they were trained on serve as well as others.

    Args:
        pack: with the samples.
        ids: of the samples; of more than MOST, or fewer where features are many, some are drawn.
        spec: what samples are like.
        units: of each id, what must not be torn, such as antibodies; None: each sample is one.
    """
    chosen, most = list(range(len(ids))), min(MOST, max(_FEWEST, _MOST_NUMBERS // len(name_features(spec))))
    if len(ids) > most:
        chosen = sorted(np.random.default_rng(0).choice(len(ids), most, replace=False).tolist())
    rows = pack.find_rows([ids[i] for i in chosen])
    measured = [
        measure(pack.read(some), [pack.samples[row].filled for row in some], spec)
        for some in np.split(rows, range(_AT_ONCE, len(rows), _AT_ONCE))
    ]
    try:
        return Novelty.fit(np.concatenate(measured), name_features(spec), units and [units[i] for i in chosen])
    except UserError:
        return None


def find_unlike(novelty: Novelty | None, batch: Batch, spec: InputSpec | None) -> tuple[str, ...]:
    """Say of each sample of a batch why it is unlike what members learned from; "" where it is not, or not known."""
    if novelty is None or spec is None:
        return ("",) * len(batch.ids)
    measured = measure(batch.values, batch.filled, spec)
    return describe_unlike(novelty, novelty.choose(measured, name_features(spec)))
