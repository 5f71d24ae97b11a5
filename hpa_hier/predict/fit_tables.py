"""Fitting an ensemble on nothing but other models' score tables, and the table of what it reached out of fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hpa_hier.data.labels.problems import OnProblem
from hpa_hier.data.labels.table import read_labels, targets
from hpa_hier.ensemble import ensemble_file as keep
from hpa_hier.ensemble.accept import fit_accepted
from hpa_hier.ensemble.scores.fit_data import fit_data
from hpa_hier.ensemble.scores.score_table import ScoreKind, describe_coverage, join_tables, read_scores
from hpa_hier.ensemble.scores.scores import Scores, Truth
from hpa_hier.ensemble.verdict import METRICS, ClassMetric, Verdict
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import write_json
from hpa_hier.files.faults.together import remove_file, together
from hpa_hier.files.lock import PATIENCE, lock_folder
from hpa_hier.files.tables import write_table
from hpa_hier.runs.evaluation import remove_evaluation
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy


@dataclass(frozen=True)
class FitRequest:
    """What a fit on score tables reads."""

    tables: Mapping[str, Path]  # name and file of each model's scores
    kind: ScoreKind  # of all tables
    labels: Path  # label table of the samples to fit on
    taxonomy: str  # file of the label tree
    on_problem: OnProblem = "stop"  # at rows of the label table that cannot be used
    ignore_columns: tuple[str, ...] = ()  # of the label table, that are no labels


def fit_tables(run: Path, request: FitRequest, settings: EnsembleSettings) -> list[str]:
    """Fit an ensemble on score tables and keep it; return lines that say how it went.

    Raises:
        UserError: a table is wrong, no sample has both labels and scores, or the run has members of its own.
    """
    _check_run(run, settings)
    taxonomy = Taxonomy.load(request.taxonomy)
    tables = [read_scores(name, Path(file), request.kind, taxonomy) for name, file in sorted(request.tables.items())]
    labels = read_labels(request.labels, taxonomy, request.on_problem, request.ignore_columns)
    found = targets(labels.nodes, taxonomy)
    truth = Truth(labels.ids, found.present, found.known)
    scored, labelled = {sample for one in tables for sample in one.ids}, set(labels.ids)
    both = _find_shared(request.labels, labels.ids, tables)
    joined = join_tables(tables, taxonomy, both)
    data = fit_data(joined.members, truth, joined.available, labels.groups if any(labels.groups) else None)
    accepted = fit_accepted(data, None, taxonomy, settings)
    about = {
        "part": "score tables",
        "samples": len(joined.ids),
        "score_kind": request.kind,
        "settings": settings.model_dump(mode="json"),
        "acceptance": accepted.verdict.to_json(),
    }
    folder = run / "ensemble"
    with lock_folder(folder, "fitting the ensemble of", run, wait=PATIENCE, flag=""), together(folder):
        remove_evaluation(folder)
        remove_file(folder / keep.FLAT_FILE)
        keep.save(replace(accepted.ensemble, about=about), folder)
        reached = write_held_out(folder, accepted.verdict)
    unused = (
        (len(labelled - scored), "labelled samples are in no score table"),
        (len(scored - labelled), "scored samples have no labels"),
        (len(joined.unanswered), "samples lack scores for some leaf"),
    )
    return [
        f"fitted {accepted.ensemble.aggregate} over {', '.join(sorted(one.name for one in tables))} "
        f"on {len(joined.ids):,} samples",
        *(f"  left out: {problem}" for problem in labels.problems),
        *(f"  labels: {note}" for note in labels.notes),
        *(f"  {line}" for line in describe_coverage(tables, len(joined.ids), taxonomy, joined.available)),
        *(f"  {count:,} {what} and were not used" for count, what in unused if count),
        f"  {accepted.verdict.describe()}",
        *([f"  {reached}"] if reached else []),
        *([f"  {told}"] if (told := accepted.ensemble.decision.describe()) else []),
    ]


def _check_run(run: Path, settings: EnsembleSettings) -> None:
    if (run / "members").is_dir():
        raise UserError(f"{run}: is a run with members of its own; name another one with --run")
    if settings.tta != "none" or settings.tta_sizes:
        name = "tta_sizes" if settings.tta == "none" else "tta"
        raise UserError(f"ensemble.{name}: score tables hold no images; set it to none for --scores")


def _find_shared(file: Path, ids: Sequence[str], tables: Sequence[Scores]) -> list[str]:
    """Return the labelled ids that some table scores; refuse a table that scores none of them."""
    scored = {sample for one in tables for sample in one.ids}
    both = [sample for sample in ids if sample in scored]
    if not both:
        raise UserError(
            f"{file}: none of its {len(ids):,} ids, such as '{ids[0]}', is in a score table, "
            f"which have ids such as '{tables[0].ids[0]}'; name the same samples alike"
        )
    for one in tables:
        if set(ids).isdisjoint(one.ids):
            raise UserError(
                f"--scores {one.name}: none of its {len(one.ids):,} ids, as '{one.ids[0]}', is in {file}, "
                f"which has ids such as '{ids[0]}'; name the same samples alike, or leave the table out"
            )
    return both


def write_held_out(folder: Path, verdict: Verdict) -> str:
    """Write `held_out.csv` and `held_out.json`: each class's metrics out of fold, the aggregate's beside the mean's.

    Args:
        folder: the run's ensemble folder.
        verdict: of a fit; where nothing was compared nothing is written, and old files are removed.

    Returns:
        Macro F1 and mean AP of the aggregate with intervals, beside the mean's; "" where nothing was compared.
    """
    import pandas as pd

    table, kept, compared = folder / "held_out.csv", folder / "held_out.json", verdict.comparison
    if compared is None:
        for file in (table, kept):
            remove_file(file)
        return ""
    ours, theirs = compared.ensemble, compared.baseline
    ap, f1 = (
        ClassMetric(ensemble=one.value, low=one.low, high=one.high, baseline=mean)
        for one, mean in ((ours.mean_ap, theirs.mean_ap), (ours.macro_f1, theirs.macro_f1))
    )
    rows = [{"node": "all classes", "positives": "", **_cells("ap", ap), **_cells("f1", f1)}]
    for one in compared.classes:
        cells = _cells("ap", one.ap) | _cells("f1", one.f1)
        rows.append({"node": one.node, "positives": str(one.positives), **cells})
    write_table(table, pd.DataFrame(rows))
    write_json(kept, verdict.to_json())
    metrics = ", ".join(
        f"{METRICS[name]} {one.ensemble:.3f} ({one.low:.3f} to {one.high:.3f}; the mean {one.baseline:.3f})"
        for name, one in (("macro_f1", f1), ("mean_ap", ap))
        if one.ensemble is not None
    )
    if not metrics:
        return f"no leaf has a positive, so that no figure is out of fold; each class in {table}"
    return f"out of fold, the aggregate: {metrics}; each class in {table}"


def _cells(metric: str, one: ClassMetric) -> dict[str, str]:
    values = {"": one.ensemble, "_low": one.low, "_high": one.high, "_of_mean": one.baseline}
    return {metric + ending: "" if value is None else f"{value:.4f}" for ending, value in values.items()}
