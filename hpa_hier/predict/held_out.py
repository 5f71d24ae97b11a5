"""Held-out scores of a run's members, checked to belong together, under the ensemble's test-time augmentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hpa_hier.ensemble.ensemble import Ensemble
from hpa_hier.ensemble.scores.scores import Scores
from hpa_hier.members.scores_file import load_scores
from hpa_hier.runs.manifest import SCORES, TAXONOMY, check_files
from hpa_hier.runs.members import MemberRecord, check_together
from hpa_hier.runs.run import Run
from hpa_hier.taxonomy import Taxonomy


@dataclass(frozen=True)
class HeldOut:
    """Members of one run with their scores of one part of its split, in the same order."""

    records: tuple[MemberRecord, ...]
    scores: tuple[Scores, ...]  # nodes called as the current taxonomy calls them


def read_held_out(
    run: Run, names: Sequence[str], taxonomy: Taxonomy, part: str, settings: Mapping[str, object]
) -> HeldOut:
    """Read members' scores of one part, and check that they may be combined.

    Args:
        run: the members' run.
        names: of the members.
        taxonomy: the label tree.
        part: calibration or test.
        settings: the ensemble's; where they name test-time augmentation, its scores are computed unless they are there.

    Raises:
        UserError: a member is not trained, is stale under `taxonomy`, or was trained on another pack or split.
    """
    records = run.select_members(names)
    run.check_fresh(records, taxonomy)
    check_together(records, run.folder)
    scores = []
    for record in records:
        check_files(record.folder, record.manifest, (SCORES, TAXONOMY))
        read = load_scores(scores_path(run, record, settings), record.name, part)
        scores.append(replace(read.renamed(record.renamed(taxonomy)), given=record.given(taxonomy)))
    return HeldOut(records, tuple(scores))


def scores_path(run: Run, record: MemberRecord, settings: Mapping[str, object]) -> Path:
    """Return the file of a member's held-out scores under an ensemble's settings, computing it where it is not there.

    Scores of images as they are were left by training; those with test-time augmentation are computed once.
    """
    if settings.get("tta", "none") == "none" and not settings.get("tta_sizes"):
        return record.folder / SCORES
    from hpa_hier.members.tta import Tta, score_held_out  # imports torch

    run.check_pack([record])
    return score_held_out(record.folder, record.manifest, run.pack, Tta.from_settings(settings))


def fitted_settings(ensemble: Ensemble) -> dict[str, object]:
    """Return the ensemble settings that an ensemble was fitted with."""
    return dict(ensemble.about.get("settings") or {})
