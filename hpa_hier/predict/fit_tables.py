"""Fitting an ensemble on nothing but other models' score tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hpa_hier.data.labels.problems import OnProblem
from hpa_hier.data.labels.table import read_labels, targets
from hpa_hier.ensemble import ensemble_file as keep
from hpa_hier.ensemble.accept import fit_accepted
from hpa_hier.ensemble.scores.fit_data import fit_data
from hpa_hier.ensemble.scores.score_table import ScoreKind, describe_coverage, join_tables
from hpa_hier.ensemble.scores.scores import Truth
from hpa_hier.errors import UserError
from hpa_hier.metrics.arrays import Bools
from hpa_hier.predict.held_out_table import write_held_out
from hpa_hier.predict.score_tables import read_tables
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy

_EVALUATIONS = ("evaluation.npz", "evaluation.json", "results.json", "figures.json", keep.FLAT_FILE)


@dataclass(frozen=True)
class FitRequest:
    """What `fit` reads.

    Attributes:
        tables: name and file of each model's scores.
        kind: probs or logits, of all tables.
        labels: label table of the samples to fit on.
        taxonomy: file of the label tree.
        on_problem: at rows of the label table that cannot be used: stop, or skip them.
    """

    tables: Mapping[str, Path]
    kind: ScoreKind
    labels: Path
    taxonomy: str
    on_problem: OnProblem = "stop"


def fit_tables(run: Path, request: FitRequest, settings: EnsembleSettings) -> list[str]:
    """Fit an ensemble on score tables and keep it; return lines that say how it went.

    Raises:
        UserError: a table is wrong, no sample has both labels and scores, or the run has members of its own.
    """
    if (run / "members").is_dir():
        raise UserError(f"{run}: is a run with members of its own; name another one with --run")
    if settings.tta != "none" or settings.tta_sizes:
        name = "tta_sizes" if settings.tta == "none" else "tta"
        raise UserError(f"ensemble.{name}: score tables hold no images; set it to none for --scores")
    taxonomy = Taxonomy.load(request.taxonomy)
    tables = read_tables(request.tables, request.kind, taxonomy)
    labels = read_labels(request.labels, taxonomy, request.on_problem)
    truth = Truth(labels.ids, *_targets(labels.nodes, taxonomy))
    scored = {sample for one in tables for sample in one.ids}
    both = [sample for sample in labels.ids if sample in scored]
    if not both:
        raise UserError(
            f"{request.labels}: none of its {len(labels.ids):,} ids, such as '{labels.ids[0]}', is in a score table, "
            f"which have ids such as '{tables[0].ids[0]}'; name the same samples alike"
        )
    labelled = set(labels.ids)
    for one in tables:
        if labelled.isdisjoint(one.ids):
            raise UserError(
                f"--scores {one.name}: none of its {len(one.ids):,} ids, as '{one.ids[0]}', is in {request.labels}, "
                f"which has ids such as '{labels.ids[0]}'; name the same samples alike, or leave the table out"
            )
    joined = join_tables(tables, taxonomy, both)
    units = labels.groups if any(labels.groups) else None
    given = fit_data(joined.members, truth, joined.available, units)
    accepted = fit_accepted(given, None, taxonomy, settings)
    about = {
        "part": "score tables",
        "samples": len(joined.ids),
        "score_kind": request.kind,
        "settings": settings.model_dump(mode="json"),
        "acceptance": accepted.verdict.to_json(),
    }
    for name in _EVALUATIONS:
        (run / "ensemble" / name).unlink(missing_ok=True)
    keep.save(replace(accepted.ensemble, about=about), run / "ensemble")
    reached = write_held_out(run / "ensemble", accepted.verdict)
    return [
        f"fitted {accepted.ensemble.aggregate} over {', '.join(sorted(one.name for one in tables))} "
        f"on {len(joined.ids):,} samples",
        *(f"  left out: {problem}" for problem in labels.problems),
        *(f"  {line}" for line in describe_coverage(tables, len(joined.ids), taxonomy, joined.available)),
        *_unused(labels.ids, scored, len(joined.unanswered)),
        f"  {accepted.verdict.describe()}",
        *([f"  {reached}"] if reached else []),
    ]


def _targets(nodes: Sequence[Sequence[str]], taxonomy: Taxonomy) -> tuple[Bools, Bools]:
    found = targets(nodes, taxonomy)
    return found.present, found.known


def _unused(labelled: Sequence[str], scored: set[str], unanswered: int) -> list[str]:
    lines = []
    without = len(set(labelled) - scored)
    if without:
        lines.append(f"  {without:,} labelled samples are in no score table and were not used")
    more = len(scored - set(labelled))
    if more:
        lines.append(f"  {more:,} scored samples have no labels and were not used")
    if unanswered:
        lines.append(f"  {unanswered:,} samples lack scores for some leaf and were not used")
    return lines
