"""Feature vectors answered for by a kept ensemble of members that take such."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hpa_hier.errors import UserError
from hpa_hier.predict.image_reader import score
from hpa_hier.predict.predict_images import load_scorers
from hpa_hier.predict.tables import refuse_existing, writing
from hpa_hier.runs.run import Run


def predict_vectors(
    run: Run, device: str, table: tuple[Path, Path | None], out: Path, options: tuple[int, bool]
) -> int:
    """Predict the vectors of a table and write predictions.csv, submission.csv and an empty rejected.csv.

    Args:
        run: with a fitted ensemble.
        device: where the members run.
        table: the file of vectors, and that of the ids where it is an array.
        out: folder of the tables.
        options: vectors a batch, and whether tables that are there may be replaced.

    Returns:
        How many were predicted.

    Raises:
        UserError: there are no members, they take images, or the table has other features than they were trained on.
    """
    from hpa_hier.data.pack.pack_file import FILLED, VECTORS
    from hpa_hier.data.pack.vector_table import order_features, read_vectors, refuse_missing_values

    batch_size, overwrite = options
    refuse_existing(out, overwrite)
    ensemble = run.ensemble
    inputs: Any = ensemble.about.get("images") or {}
    if not inputs:
        raise UserError(f"{run.folder}: its ensemble was fitted on score tables alone; use --scores, not --vectors")
    if inputs.get("kind") != VECTORS:
        raise UserError(f"{run.folder}: its members take images, not vectors; use --images DIR")
    read = read_vectors(*table)
    values = order_features(read, inputs["channels"])
    if inputs["intensity"] != FILLED:
        refuse_missing_values(read.source, values, read.ids, inputs["channels"])
    scorers = load_scorers(run, ensemble, device)
    with writing(out, ensemble.taxonomy) as tables:
        for first in range(0, len(values), batch_size):
            ids: Sequence[str] = read.ids[first : first + batch_size]
            scores = score(ensemble, scorers, tuple(ids), values[first : first + batch_size])
            tables.add(ensemble.predict(scores), [()] * len(ids))
    return len(values)
