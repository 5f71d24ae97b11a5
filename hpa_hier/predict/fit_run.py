"""Held-out scores of a run: fit its ensemble on the calibration part, answer for the test part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpa_hier.data.labels.partition import load_run_taxonomy
from hpa_hier.data.split.split import read_split
from hpa_hier.ensemble import ensemble_file as keep
from hpa_hier.ensemble.accept import fit_accepted
from hpa_hier.ensemble.ensemble import Ensemble
from hpa_hier.ensemble.fit import FitData, fit_data
from hpa_hier.ensemble.scores.scores import Truth
from hpa_hier.files.atomic import sha256
from hpa_hier.predict.evaluation_file import facts_of, write_evaluation
from hpa_hier.predict.gather import Gathered, check_together, check_unchanged, gather, pack_of, wanted_members
from hpa_hier.predict.tta_scores import fitted_settings, scores_in_views
from hpa_hier.settings.recipe import Recipe
from hpa_hier.taxonomy import Taxonomy

if TYPE_CHECKING:
    from hpa_hier.data.pack.pack import Pack


def fit_run(run: Path, recipe: Recipe) -> tuple[Ensemble, Ensemble | None]:
    """Fit the recipe's ensemble, and its flat baseline, on the calibration part, and keep both.

    An evaluation of another ensemble than the one fitted now is removed, lest it be taken for this one's.

    Returns:
        The ensemble, and the flat baseline or None where the recipe names no flat members.
    """
    taxonomy = load_run_taxonomy(run, recipe)
    seen = scores_in_views(run, recipe, recipe.ensemble.model_dump())
    gathered = gather(run, wanted_members(run, recipe), taxonomy, "calibration", seen)
    flat = gather(run, recipe.ensemble.baseline, taxonomy, "calibration", seen) if recipe.ensemble.baseline else None
    check_together([*gathered.records, *(flat.records if flat else ())], run)
    pack = pack_of(run, [*gathered.records, *(flat.records if flat else ())], recipe)
    truth = _truth(pack, taxonomy, recipe)
    images = _image_facts(gathered, pack, recipe)
    folder = run / "ensemble"
    before = _kept_bytes(folder)
    units = dict(zip(pack.ids, pack.groups, strict=True))
    if (run / "split.csv").is_file():  # its groups also join identical images, and near-duplicates where asked for
        kept = read_split(run / "split.csv")
        units |= dict(zip(kept.ids, kept.groups, strict=True))
    sides = [_side(one, truth, units) for one in (gathered, flat) if one]
    accepted = fit_accepted(sides[0], sides[1] if flat else None, taxonomy, recipe.ensemble)
    ensemble = _with_records(accepted.ensemble, flat if flat and accepted.uses_baseline else gathered, recipe, images)
    ensemble = replace(ensemble, about=ensemble.about | {"acceptance": accepted.verdict})
    baseline = _with_records(accepted.baseline, flat, recipe, images) if accepted.baseline and flat else None
    if baseline:
        keep.save(baseline, folder, keep.FLAT_FILE)
    else:
        (folder / keep.FLAT_FILE).unlink(missing_ok=True)
    keep.save(ensemble, folder)
    if _kept_bytes(folder) != before:
        for name in ("evaluation.npz", "evaluation.json", "figures.json"):
            (folder / name).unlink(missing_ok=True)
    return ensemble, baseline


def evaluate_run(run: Path, recipe: Recipe) -> Path:
    """Answer for the test part with the kept ensemble and its flat baseline; return the path of evaluation.npz."""
    folder = run / "ensemble"
    ensemble = keep.load(folder)
    flat = keep.load(folder, keep.FLAT_FILE) if (folder / keep.FLAT_FILE).is_file() else None
    gathered = _gather_fitted(run, ensemble, recipe)
    baseline = _gather_fitted(run, flat, recipe) if flat else None
    pack = pack_of(run, gathered.records, recipe)
    settings = dict(ensemble.about.get("settings") or {})  # type: ignore[call-overload]
    facts = facts_of(ensemble.about, pack.simulated, gathered.records, baseline.records if baseline else (), settings)
    facts["acceptance"] = ensemble.about.get("acceptance")
    facts["ensemble_sha256"] = sha256(folder / keep.FILE)
    prediction = ensemble.predict(gathered.scores)
    flat_prediction = (
        flat.predict([scores.take(prediction.ids) for scores in baseline.scores]) if flat and baseline else None
    )
    return write_evaluation(folder, _truth(pack, ensemble.taxonomy, recipe), prediction, flat_prediction, facts)


def _side(gathered: Gathered, truth: Truth, units: dict[str, str]) -> FitData:
    groups = tuple(units[sample] for sample in truth.ids)
    return fit_data(gathered.scores, truth, units=groups)


def _with_records(ensemble: Ensemble, gathered: Gathered, recipe: Recipe, images: dict[str, Any]) -> Ensemble:
    """Note beside an ensemble which members it was fitted on."""
    digest = {record.name: record.digest for record in gathered.records}
    renamed = dict(zip((record.name for record in gathered.records), gathered.renamed, strict=True))
    members = tuple(
        replace(member, digest=digest[member.name], renamed=renamed[member.name]) for member in ensemble.members
    )
    manifest = gathered.records[0].manifest
    about = {
        "part": "calibration",
        "samples": len(gathered.scores[0].ids),
        "folds": manifest.folds,
        "split_digest": manifest.split_digest,
        "pack_digest": manifest.pack_digest,
        "images": images,
        "settings": recipe.ensemble.model_dump(mode="json"),
    }
    return replace(ensemble, members=members, about=about)


def _image_facts(gathered: Gathered, pack: Pack, recipe: Recipe) -> dict[str, Any]:
    """What images must be like for the members; channels that may be missing are those training did without."""
    manifest = gathered.records[0].manifest
    allowed = {*recipe.data.may_be_missing, *pack.filled}
    return {
        "kind": manifest.kind,
        "channels": list(manifest.channels),
        "size": manifest.image_size,
        "intensity": manifest.intensity,
        "may_be_missing": [channel for channel in manifest.channels if channel in allowed],
    }


def _gather_fitted(run: Path, ensemble: Ensemble, recipe: Recipe) -> Gathered:
    check_unchanged(run, ensemble)
    seen = scores_in_views(run, recipe, fitted_settings(ensemble))
    return gather(run, [member.name for member in ensemble.members], ensemble.taxonomy, "test", seen)


def _kept_bytes(folder: Path) -> list[bytes]:
    paths = [folder / name for name in (keep.FILE, keep.FLAT_FILE, "taxonomy.yaml")]
    return [path.read_bytes() if path.is_file() else b"" for path in paths]


def _truth(pack: Pack, taxonomy: Taxonomy, recipe: Recipe) -> Truth:
    targets = pack.targets(taxonomy, recipe.data.below_annotation)
    return Truth(pack.ids, targets.present, targets.known)
