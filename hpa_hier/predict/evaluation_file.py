"""Evaluation files: what an ensemble and its flat baseline answer on the test part, beside the truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hpa_hier.ensemble.decide.safe import UNSURE
from hpa_hier.ensemble.ensemble import Prediction
from hpa_hier.ensemble.scores.scores import Truth
from hpa_hier.files.atomic import write_json, write_with
from hpa_hier.runs.members import MemberRecord


def write_evaluation(
    folder: Path, truth: Truth, ensemble: Prediction, flat: Prediction | None, facts: dict[str, Any]
) -> Path:
    """Write `evaluation.npz` and `evaluation.json`.

    Args:
        folder: the run's ensemble folder.
        truth: of at least the predicted samples.
        ensemble: the hierarchical ensemble's prediction of the test part.
        flat: the compute-matched flat mean's, of the same samples; None where the recipe names none.
        facts: what the figures need to be read right, as `facts_of` gives it.

    Returns:
        The path of `evaluation.npz`. Its arrays: ids (B,), nodes (N,), targets and known (B, N), raw, probs and present
        (B, N), thresholds (N,), safe (B,) names of safe answers or unsure, safe_confidence (B,); and, with the prefix
        flat_, raw to thresholds of the flat baseline where there is one.
    """
    truth = truth.take(ensemble.ids)
    arrays: dict[str, Any] = {
        "ids": np.array(ensemble.ids),
        "nodes": np.array(ensemble.nodes),
        "targets": truth.present,
        "known": truth.known,
        "member_names": np.array(list(facts["members"])),
        "safe": np.array([UNSURE if j < 0 else ensemble.nodes[j] for j in ensemble.safe.column]),
        "safe_confidence": ensemble.safe.confidence,
        **_answers(ensemble, ""),
    }
    if flat is not None:
        arrays |= _answers(flat, "flat_")
    write_json(folder / "evaluation.json", facts)
    path = folder / "evaluation.npz"
    write_with(path, lambda handle: np.savez_compressed(handle, **arrays))
    return path


def facts_of(
    about: dict[str, Any],
    simulated: bool,
    members: Sequence[MemberRecord],
    flat: Sequence[MemberRecord],
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Collect what belongs beside every figure: digests, the part, what was drawn, and each member's cost."""
    return {
        "part": "test",
        "split_digest": about.get("split_digest"),
        "pack_digest": about.get("pack_digest"),
        "simulated": simulated,
        "members": {record.name: _cost(record) for record in members},
        "flat_members": {record.name: _cost(record) for record in flat},
        "settings": settings,
    }


def _answers(prediction: Prediction, prefix: str) -> dict[str, Any]:
    return {
        f"{prefix}raw": prediction.raw,
        f"{prefix}probs": prediction.probs,
        f"{prefix}present": prediction.present,
        f"{prefix}thresholds": prediction.thresholds,
    }


def _cost(record: MemberRecord) -> dict[str, Any]:
    manifest = record.manifest
    return {
        "nodes": len(manifest.nodes),
        "parameters": manifest.parameters,
        "images_seen": manifest.images_seen,
        "steps": manifest.steps,
        "seconds": manifest.seconds,
        "seed": manifest.seed,
    }
