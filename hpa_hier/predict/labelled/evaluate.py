"""Evaluating a fitted ensemble on newly labelled samples, all of whose labels serve the evaluation alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from hpa_hier.data.labels.problems import OnProblem
from hpa_hier.data.labels.table import read_labels, targets
from hpa_hier.data.pack.build import PackReport
from hpa_hier.data.pack.pack import Pack
from hpa_hier.ensemble import ensemble_file
from hpa_hier.ensemble.fit import assign_folds
from hpa_hier.ensemble.scores.scores import Truth
from hpa_hier.ensemble.trivial import TrivialBaseline
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import sha256
from hpa_hier.files.lock import PATIENCE, lock_folder
from hpa_hier.predict.held_out import fitted_settings
from hpa_hier.predict.labelled.samples import LabelledRequest, Seen, check_kind, find_seen, pack_labelled, score_pack
from hpa_hier.predict.predictor import Predictor, answer_tables
from hpa_hier.runs.evaluation import Evaluation, EvaluationFacts, MemberCost, read_evaluation, write_evaluation
from hpa_hier.runs.run import Run
from hpa_hier.taxonomy import Taxonomy

ARRAYS = "evaluation.npz"
_PACK = "pack"  # folder of the samples, in that of the evaluation
_FOLDS = 10  # of the trivial baseline


@dataclass(frozen=True)
class NewEvaluation:
    """What a run's ensemble answered for newly labelled samples."""

    folder: Path
    evaluation: Evaluation
    report: PackReport | None  # on the pack of the samples; None where other models scored them
    seen: Seen | None  # of them, those that the run learned from; None where that cannot be told
    notes: tuple[str, ...] = ()  # what of the label table was taken for what

    @property
    def pack(self) -> Pack | None:
        """The samples."""
        return self.report.pack if self.report else None


def evaluate_samples(predictor: Predictor, request: LabelledRequest, folder: Path) -> NewEvaluation:
    """Answer for labelled images or vectors, and write evaluation.npz and evaluation.json into `folder`.

    Args:
        predictor: of a fitted ensemble.
        request: where the samples are; labels are in the words of the ensemble's taxonomy.
        folder: its pack/ holds the samples; the same request finds them there.

    Raises:
        UserError: the samples are not what the members take, the labels do not match, or the folder holds other ones.
    """
    check_kind(predictor, request)
    run, ensemble = predictor.run, predictor.ensemble
    report = pack_labelled(predictor, request, ensemble.taxonomy.without_virtual, folder / _PACK)
    pack, flat = report.pack, run.baseline
    systems = [one for one in (ensemble, flat) if one is not None]
    scores = {one.name: one for one in score_pack(predictor, pack, _list_members(run))}
    first, *second = (one.predict([scores[member.name] for member in one.members]) for one in systems)
    found = pack.targets(ensemble.taxonomy, run.recipe.data.below_annotation)
    truth = Truth(pack.ids, found.present, found.known)
    facts = _describe(run, f"{pack.kind} of {request.source}", simulated=pack.simulated, pack_digest=pack.digest)
    trivial = fit_trivial(truth, pack.groups, ensemble.taxonomy)
    with _lock(folder):
        write_evaluation(folder, truth, first, second[0] if second else None, trivial, facts, pack.groups)
    return NewEvaluation(folder, _read(run, folder), report, find_seen(run, pack), report.notes)


def evaluate_tables(
    run: Run,
    tables: Mapping[str, Path],
    labels: Path,
    folder: Path,
    on_problem: OnProblem,
    ignore: Sequence[str],
    *,
    overwrite: bool = False,
) -> NewEvaluation:
    """Answer for samples that other models have scored, where the ensemble was fitted on such scores.

    Args:
        run: whose ensemble it is.
        tables: of scores, by the models' names.
        labels: table of the samples.
        folder: to write into.
        on_problem: what is done about rows of `labels` that cannot be used.
        ignore: columns of `labels` that are no labels.
        overwrite: replace an evaluation that is there.

    Raises:
        UserError: a table is wrong, no sample has both labels and scores, or `folder` has an evaluation.
    """
    _check_free(folder, overwrite)
    answers = answer_tables(run.ensemble, tables, str(run.folder))
    table = read_labels(labels, run.ensemble.taxonomy.without_virtual, on_problem, ignore)
    both = [sample for sample in answers.ids if sample in set(table.ids)]
    if not both:
        raise UserError(
            f"{labels}: none of its {len(table.ids):,} ids, such as '{table.ids[0]}', is scored; scored are ids such "
            f"as '{answers.ids[0]}'; name the same samples alike"
        )
    found = targets(table.nodes, run.ensemble.taxonomy, run.recipe.data.below_annotation)
    truth = Truth(table.ids, found.present, found.known).take(both)
    group = dict(zip(table.ids, table.groups, strict=True))
    groups = tuple(group[sample] for sample in both)
    trivial = fit_trivial(truth, groups, run.ensemble.taxonomy)
    facts = _describe(run, f"samples of {labels}", simulated=False, pack_digest=None)
    with _lock(folder):
        _check_free(folder, overwrite)  # another process may have written one meanwhile
        write_evaluation(folder, truth, answers.take(both).prediction, None, trivial, facts, groups)
    return NewEvaluation(folder, _read(run, folder), None, None, table.notes)


def fit_trivial(truth: Truth, groups: Sequence[str], taxonomy: Taxonomy) -> TrivialBaseline:
    """Fit the trivial baseline on the very samples that it is measured on, each fold on the others.

    So it knows how frequent classes are among these samples, which the ensemble does not.
    """
    units = len(set(filter(None, groups))) + sum(not group for group in groups)
    if units < 2:
        return TrivialBaseline.fit(truth.targets, taxonomy)
    fold = assign_folds(truth.present, groups, min(_FOLDS, units))
    return TrivialBaseline.fit_out_of_fold(truth.targets, fold, taxonomy)


def _lock(folder: Path) -> AbstractContextManager[bool]:
    return lock_folder(folder, "evaluating into", wait=PATIENCE)


def _check_free(folder: Path, overwrite: bool) -> None:
    if (folder / ARRAYS).exists() and not overwrite:
        raise UserError(f"{folder}: holds an evaluation already; name another folder with --out")


def _list_members(run: Run) -> list[str]:
    flat = run.baseline.members if run.baseline else ()
    return [member.name for member in (*run.ensemble.members, *flat)]


def _describe(run: Run, source: str, *, simulated: bool, pack_digest: str | None) -> EvaluationFacts:
    ensemble, records = run.ensemble, {record.name: record for record in run.members}

    def costs(names: Sequence[str]) -> dict[str, MemberCost]:
        return {name: MemberCost.from_manifest(records[name].manifest) for name in names if name in records}

    return EvaluationFacts(
        part="new",
        source=source,
        pack_digest=pack_digest,
        simulated=simulated,
        members=costs([member.name for member in ensemble.members]),
        baseline_members=costs([member.name for member in run.baseline.members] if run.baseline else []),
        settings=fitted_settings(ensemble),
        acceptance=ensemble.about.get("acceptance"),
        ensemble_sha256=sha256(run.ensemble_folder / ensemble_file.FILE),
    )


def _read(run: Run, folder: Path) -> Evaluation:
    return read_evaluation(folder, run.fitted_taxonomy, {})
