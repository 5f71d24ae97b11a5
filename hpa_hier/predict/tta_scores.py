"""Test-time augmentation in an ensemble: which ones it was fitted on, and its members' held-out scores under them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hpa_hier.ensemble.ensemble import Ensemble
from hpa_hier.predict.gather import Record, pack_of
from hpa_hier.settings.recipe import Recipe


def fitted_settings(ensemble: Ensemble) -> dict[str, object]:
    """Return the ensemble settings that an ensemble was fitted with."""
    settings: Any = ensemble.about.get("settings") or {}
    return {str(key): value for key, value in settings.items()}


def scores_in_views(run: Path, recipe: Recipe, settings: Mapping[str, object]) -> Callable[[Record], Path] | None:
    """Return what finds a member's held-out scores under the settings' views, computing them first where they are not.

    Returns:
        None where images are scored as they are: then the scores are those that training left.
    """
    if settings.get("tta", "none") == "none" and not settings.get("tta_sizes"):
        return None
    from hpa_hier.members.tta import Tta, score_held_out  # imports torch

    views = Tta.from_settings(settings)

    def file_of(record: Record) -> Path:
        return score_held_out(record.folder, record.manifest, pack_of(run, [record], recipe), views)

    return file_of
