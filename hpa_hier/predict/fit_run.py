"""Held-out scores of a run: fit its ensemble on the calibration part, answer for the test part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from hpa_hier.ensemble import ensemble_file as keep
from hpa_hier.ensemble.accept import fit_accepted
from hpa_hier.ensemble.ensemble import Ensemble, Prediction
from hpa_hier.ensemble.novelty.novelty import Novelty
from hpa_hier.ensemble.scores.fit_data import FitData, fit_data
from hpa_hier.ensemble.scores.scores import Truth
from hpa_hier.ensemble.trivial import TrivialBaseline
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_json, sha256
from hpa_hier.files.faults.together import remove_file, together
from hpa_hier.files.lock import PATIENCE, lock_folder
from hpa_hier.files.shell import command
from hpa_hier.metrics.arrays import Bools
from hpa_hier.metrics.groups import FEWEST_UNITS, number_units
from hpa_hier.predict.held_out import HeldOut, fitted_settings, read_held_out
from hpa_hier.predict.inputs import InputSpec
from hpa_hier.predict.out_of_fold import OutOfFoldAnswers, answer_out_of_fold
from hpa_hier.predict.unlike import fit_novelty
from hpa_hier.runs.evaluation import EvaluationFacts, MemberCost, remove_evaluation, write_evaluation
from hpa_hier.runs.run import SPLIT_FILE, Run
from hpa_hier.settings.recipe import EnsembleSettings

_DECIDING = (keep.FILE, keep.FLAT_FILE, "taxonomy.yaml")  # files on which an evaluation rests


def fit_run(run: Run) -> tuple[Ensemble, Ensemble | None]:
    """Fit the recipe's ensemble, and its flat baseline, on the calibration part, and keep both.

    An evaluation of another ensemble than the one fitted now is removed, lest it be taken for this one's.

    Returns:
        The ensemble, and the flat baseline or None where the recipe names no flat members.
    """
    _refuse_adapted(run)
    settings, folder = run.recipe.ensemble, run.ensemble_folder
    ours, flat = _read_members(run)
    run.check_pack([*ours.records, *(flat.records if flat else ())])
    run.check_complete(ours.records, run.taxonomy)
    given, flat_data = _fit_data(run, ours), _fit_data(run, flat) if flat else None
    accepted = fit_accepted(given, flat_data, run.taxonomy, settings)
    ensemble = _describe_members(accepted.ensemble, flat if flat and accepted.uses_baseline else ours, run)
    ensemble = replace(ensemble, about=ensemble.about | {"acceptance": accepted.verdict.to_json()})
    ensemble = replace(ensemble, novelty=_fit_novelty(run, ensemble, ours.scores[0].ids))
    baseline = _describe_members(accepted.flat, flat, run) if accepted.flat and flat else None
    with lock_folder(folder, "fitting the ensemble of", run.folder, wait=PATIENCE, flag=""), together(folder) as stage:
        before = [stage.content(name) for name in _DECIDING]
        if baseline:
            keep.save(baseline, folder, keep.FLAT_FILE)
        else:
            remove_file(folder / keep.FLAT_FILE)
        keep.save(ensemble, folder)
        if [stage.content(name) for name in _DECIDING] != before:
            remove_evaluation(folder)
    return ensemble, baseline


def _refuse_adapted(run: Run) -> None:
    """Refuse a run that was adapted to labelled samples, whose members keep no scores to fit on."""
    file = run.ensemble_folder / keep.FILE
    try:
        kept = read_json(file)["about"].get("adapted") if file.is_file() else None
    except (UserError, LookupError, TypeError, AttributeError):
        return  # it is fitted again, whatever is wrong with the file
    if kept:
        again = command("ensemble", "adapt", run=Path(kept["run"]), images="my_images", labels="my_labels.csv")
        raise UserError(
            f"{run.folder}: was adapted from {kept['run']} and keeps no scores to fit on; adapt that one again: {again}"
        )


def _fit_novelty(run: Run, ensemble: Ensemble, held_out: tuple[str, ...]) -> Novelty | None:
    """Fit distances on what the run's members learned from, or on held-out samples where that is not known."""
    spec, there = InputSpec.from_ensemble(ensemble), (run.folder / SPLIT_FILE).is_file()
    assert spec is not None
    ids = (*run.split.part_ids("train"), *run.split.part_ids("calibration")) if there else held_out
    return fit_novelty(run.pack, ids, spec, [run.groups[sample] for sample in ids])


def _read_members(run: Run) -> tuple[HeldOut, HeldOut | None]:
    """Read the calibration scores of the members, and of those of the flat baseline where the recipe names some."""
    ours = _read_calibration(run, run.roster.ensemble or _finished_members(run))
    return ours, _read_calibration(run, run.roster.baseline) if run.roster.baseline else None


def _fit_data(run: Run, held_out: HeldOut) -> FitData:
    truth = run.truth(run.taxonomy)
    units = tuple(run.groups[sample] for sample in truth.ids)
    return fit_data(held_out.scores, truth, units=units, learned=_find_learned(run, truth))


def _find_learned(run: Run, truth: Truth) -> Bools | None:
    """Return which nodes have a positive among the images that the run's members learned from, (N,); None: unknown."""
    if not (run.folder / SPLIT_FILE).is_file():
        return None
    seen = truth.take([*run.split.part_ids("train"), *run.split.part_ids("calibration")])
    return np.asarray((seen.present & seen.known).any(axis=0))


def evaluate_run(run: Run) -> Path:
    """Answer for the test part with the fitted ensemble and its baselines; return the path of evaluation.npz.

    Where the test part is too small to tell anything, and members were trained with folds, all other samples are
    answered for too: each by networks and an ensemble that were fitted on others.
    """
    ensemble, flat = run.ensemble, run.baseline
    ours = _read_test(run, ensemble)
    theirs = _read_test(run, flat) if flat else None
    run.check_pack(ours.records)
    facts = EvaluationFacts.model_validate(
        {name: ensemble.about.get(name) for name in ("split_digest", "pack_digest", "acceptance")}
        | {
            "simulated": run.pack.simulated,
            "members": _costs(ours),
            "baseline_members": _costs(theirs) if theirs else {},
            "settings": fitted_settings(ensemble),
            "ensemble_sha256": run.ensemble_digest,
        }
    )
    prediction = ensemble.predict(ours.scores)
    baseline = flat.predict([scores.take(prediction.ids) for scores in theirs.scores]) if flat and theirs else None
    truth = run.truth(ensemble.taxonomy)
    fitted_on = read_held_out(run, [ours.records[0].name], ensemble.taxonomy, "calibration", {}).scores[0].ids
    trivial = TrivialBaseline.fit(truth.take(fitted_on).targets, ensemble.taxonomy)
    units = len(np.unique(number_units([run.groups[sample] for sample in prediction.ids])))
    folds = (run.folder / SPLIT_FILE).is_file() and run.split.fold_count
    if folds and units < FEWEST_UNITS and fitted_settings(ensemble):
        more = _answer_out_of_fold(run.with_fitted(EnsembleSettings.model_validate(fitted_settings(ensemble))))
        tested = len(prediction.ids)
        trivial = trivial.join(tested, more.trivial)
        prediction = Prediction.join([prediction, more.ensemble])
        baseline = Prediction.join([baseline, more.baseline]) if baseline and more.baseline else None
        facts = facts.model_copy(
            update={
                "part": "all",
                "source": f"all {len(prediction.ids):,} {run.pack.kind} of split {run.split.digest}: its test part "
                f"({tested:,}), and the others out of fold",
            }
        )
    folder = run.ensemble_folder
    with lock_folder(folder, "evaluating the ensemble of", run.folder, wait=PATIENCE, flag=""):
        if sha256(folder / keep.FILE) != run.ensemble_digest:
            raise UserError(f"{folder / keep.FILE}: was fitted again while it was evaluated; evaluate it again")
        return write_evaluation(folder, truth, prediction, baseline, trivial, facts)


def _answer_out_of_fold(run: Run) -> OutOfFoldAnswers:
    """Answer for the samples outside the test part, as the recipe's ensemble is fitted."""
    ours, flat = _read_members(run)
    data = [_fit_data(run, one) if one else None for one in (ours, flat)]
    assert data[0] is not None
    return answer_out_of_fold(data[0], data[1], run.taxonomy, run.recipe.ensemble)


def _costs(held_out: HeldOut) -> dict[str, MemberCost]:
    return {record.name: MemberCost.from_manifest(record.manifest) for record in held_out.records}


def _finished_members(run: Run) -> tuple[str, ...]:
    """Return the finished members that the recipe lists, else all finished ones."""
    listed = {member.name for member in run.roster.members}
    return tuple(name for name in run.member_names if name in listed) or run.member_names


def _read_calibration(run: Run, names: tuple[str, ...]) -> HeldOut:
    return read_held_out(run, names, run.taxonomy, "calibration", run.recipe.ensemble.model_dump())


def _read_test(run: Run, ensemble: Ensemble) -> HeldOut:
    if (run.folder / SPLIT_FILE).is_file() and not run.split.part_ids("test"):
        spec = InputSpec.from_ensemble(ensemble)
        flag = {spec.kind if spec else "vectors": "new_samples"}
        again = command("ensemble", "evaluate", run=run.folder, **flag, labels="new_labels.csv", out="evaluated")
        raise UserError(f"{run.folder}: none of its samples was set aside for testing; evaluate it on others: {again}")
    run.check_unchanged(ensemble)
    names = [member.name for member in ensemble.members]
    return read_held_out(run, names, ensemble.taxonomy, "test", fitted_settings(ensemble))


def _describe_members(ensemble: Ensemble, held_out: HeldOut, run: Run) -> Ensemble:
    """Return an ensemble with what its members were, and what images must be like for them.

    Channels that may be missing are those that training did without.
    """
    record = {record.name: record for record in held_out.records}
    members = tuple(
        replace(member, digest=record[member.name].digest, renamed=record[member.name].renamed(run.taxonomy))
        for member in ensemble.members
    )
    manifest = held_out.records[0].manifest
    allowed = {*run.recipe.data.may_be_missing, *run.pack.filled}
    missing = [channel for channel in manifest.channels if channel in allowed]
    spec = InputSpec(
        kind=manifest.kind,
        channels=manifest.channels,
        size=manifest.image_size,
        intensity=manifest.intensity,
        may_be_missing=tuple(missing),
        range_used=run.pack.facts.range_used,
        projection=run.pack.facts.projection,
        frame=run.pack.facts.frame,
    )
    about = {
        "part": "calibration",
        "samples": len(held_out.scores[0].ids),
        **{name: getattr(manifest, name) for name in ("folds", "split_digest", "pack_digest")},
        "simulated": run.pack.simulated,
        "images": spec.to_json(),
        "settings": run.recipe.ensemble.model_dump(mode="json"),
    }
    return replace(ensemble, members=members, about=about)
