"""Adapting a fitted ensemble to a few labelled samples, into a run folder of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hpa_hier.data.pack.build import PackReport
from hpa_hier.data.pack.pack import Pack
from hpa_hier.ensemble import ensemble_file
from hpa_hier.ensemble.ensemble import Ensemble, EnsembleMember, Prediction
from hpa_hier.ensemble.scores.scores import Truth
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import sha256, write_json, write_text
from hpa_hier.files.faults.folder import is_unfinished, replacing_folder
from hpa_hier.members.estimators.member import EstimatorMember
from hpa_hier.members.load import load_member
from hpa_hier.members.score import Member
from hpa_hier.members.tta import Tta
from hpa_hier.predict.held_out import fitted_settings
from hpa_hier.predict.labelled.classes import match_nodes
from hpa_hier.predict.labelled.evaluate import fit_trivial
from hpa_hier.predict.labelled.heads import copy_member, find_heads, read_features, score_samples, write_member
from hpa_hier.predict.labelled.nested import Adaptation, Fitted, Given, adapt_nested, describe_before
from hpa_hier.predict.labelled.retrain import MemberAnswers
from hpa_hier.predict.labelled.samples import LabelledRequest, Seen, find_columns, find_seen, pack_labelled, score_pack
from hpa_hier.predict.predictor import Predictor
from hpa_hier.predict.unlike import fit_novelty
from hpa_hier.runs.evaluation import EvaluationFacts, MemberCost, write_evaluation
from hpa_hier.runs.manifest import MANIFEST
from hpa_hier.runs.run import CONFIG, RUN_FILE, TAXONOMY, Run
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.settings.recipe_file import recipe_yaml
from hpa_hier.taxonomy import Taxonomy

FEW = 5  # positives of a class that the ensemble does not know, below which it is never called
_PACK, _MEMBERS = "pack", "members"
_TTA = "d4"  # of images, where the ensemble had none
_SIMULATED = "simulated"


@dataclass(frozen=True)
class Adapted:
    """An adapted run, and how it came to be."""

    run: Run
    report: PackReport  # on the pack of the labelled samples
    seen: Seen | None  # of them, those that the run it was made of learned from; None where that cannot be told
    fitted: Fitted
    new: tuple[str, ...]  # classes that the ensemble did not know
    never: tuple[str, ...]  # of them, those with too few samples to be called
    left_out: tuple[str, ...]  # members that could not be brought to the tree, each with the reason

    @property
    def changed(self) -> bool:
        """Whether probabilities are others than before."""
        return self.fitted.adaptation.combiner is not None

    @property
    def retrained(self) -> bool:
        """Whether heads were retrained."""
        return any(one.weights is not None for one in self.fitted.adaptation.retrained)


@dataclass(frozen=True)
class _Plan:
    """A member, and what becomes of its rows."""

    member: Member | EstimatorMember
    folder: Path
    rows: Mapping[str, str | None]  # node of the tree → node of the member's manifest; None: new to it
    same: bool  # its rows stay as they are
    given: str


def adapt(
    predictor: Predictor,
    request: LabelledRequest,
    folder: Path,
    tree: Taxonomy | None = None,
    tta: str = _TTA,
    finish: Callable[[Run], object] = lambda _: None,
) -> Adapted:
    """Adapt a run's ensemble to labelled samples, and write a run of its own.

    Calibration, weights, thresholds and safe answers are fitted again, and with flat heads and enough samples so are
    the heads. The run that it is made of stays as it is.

    Args:
        predictor: of the run's ensemble.
        request: where the samples are.
        folder: of the new run; there must be none.
        tree: label tree to adapt to; None: the ensemble's own.
        tta: test-time augmentation of images, where the ensemble has none.
        finish: writes what else belongs to the new run before it gets its name, where it was judged out of fold.

    Raises:
        UserError: the folder is there, the samples or labels do not fit, or no member can answer for a leaf.
    """
    check_free(folder)
    base, own = predictor.run, predictor.ensemble.taxonomy
    base.check_unchanged(predictor.ensemble)
    own_tree = tree is None or tree.content_digest == own.without_virtual.content_digest
    target = own if tree is None or own_tree else tree
    match = {node: node for node in own.nodes} if own_tree else match_nodes(target, own)
    with replacing_folder(folder) as home:
        check_free(folder)  # another process may have made it meanwhile
        report = pack_labelled(predictor, request, target.without_virtual, home / _PACK)
        pack = report.pack
        plans, left_out = _plan_members(predictor, target, match)
        given = _answer(predictor, plans, pack, target, match, _settings(predictor, target, pack, tta))
        fitted = adapt_nested(given if own_tree else replace(given, before=None))
        _write_members(home, plans, fitted.adaptation, target)
        ensemble = _assemble(predictor, home, fitted, given, pack, plans)
        _write_run(predictor, home, folder, ensemble, pack)
        if fitted.unseen:
            _write_evaluation(predictor, home, ensemble, fitted, given, pack, request)
            finish(Run.open(home))
    new = tuple(leaf for leaf in target.leaves if leaf not in match)
    never = tuple(leaf for leaf in new if ensemble.thresholds.never[target.column[leaf]])
    return Adapted(
        Run.open(folder),
        replace(report, pack=Pack.open(folder / _PACK)),
        find_seen(base, pack),
        fitted,
        new,
        never,
        left_out,
    )


def prepare(predictor: Predictor, pack: Pack, tta: str = _TTA) -> Given:
    """Return a pack's samples as an ensemble's members answer for them, as `adapt` takes them with its own tree."""
    own = predictor.ensemble.taxonomy
    match = {node: node for node in own.nodes}
    plans, _ = _plan_members(predictor, own, match)
    return _answer(predictor, plans, pack, own, match, _settings(predictor, own, pack, tta))


def check_free(folder: Path) -> None:
    """Refuse a folder that is there, but for what a killed process left of a run that it made.

    Raises:
        UserError: naming it.
    """
    if folder.exists() and not is_unfinished(folder):
        raise UserError(f"{folder}: is there already; name another run with --out, or remove this one")


def _settings(predictor: Predictor, tree: Taxonomy, pack: Pack, tta: str) -> EnsembleSettings:
    """Return how the adapted ensemble is fitted; what is not fitted again is as before."""
    before = Tta.from_settings(fitted_settings(predictor.ensemble))
    kind = tta if before.plain and pack.kind == "images" else before.kind
    return EnsembleSettings.model_validate(
        {
            "members": [member.name for member in predictor.ensemble.members],
            "calibrate": "platt",
            "aggregate": "mean",
            "refine": False,
            "reconcile": "softmax" if tree.exclusive else "evidence",
            "thresholds": "plugin",
            "tta": kind,
            "tta_merge": before.merge,
            "tta_sizes": list(before.sizes),
            "safe_precision": predictor.run.recipe.ensemble.safe_precision,
        }
    )


def _plan_members(
    predictor: Predictor, tree: Taxonomy, match: Mapping[str, str]
) -> tuple[list[_Plan], tuple[str, ...]]:
    """Say what becomes of each member's rows; return also which members are left out, with reasons."""
    base, own = predictor.run, predictor.ensemble.taxonomy
    plans, left_out = [], []
    for record in base.select_members([member.name for member in predictor.ensemble.members]):
        renamed = record.renamed(own)
        row = {renamed.get(node, node): node for node in record.manifest.nodes}
        rows = {node: row[match[node]] for node in tree.nodes if node in match and match[node] in row}
        member, given = load_member(record.folder, predictor.device), record.given(own)
        carried = next((node for node, other in match.items() if other == given), "") if given else ""
        same = tree is own
        if not rows or (given and not carried):
            left_out.append(f"'{record.name}' answers for nothing in '{tree.name}'")
        elif not same and find_heads(member) is None:
            what = "is an estimator" if record.manifest.estimator else f"has a head ({record.manifest.head})"
            left_out.append(f"'{record.name}' {what} that stays with its own tree")
        else:
            ordered = dict.fromkeys(row if same else rows)
            named = {node: row[node] for node in ordered} if same else rows
            plans.append(_Plan(member, record.folder, named, same, carried))
    new = [leaf for leaf in tree.leaves if leaf not in match]
    return (_add_leaves(plans, new, tree) if new else plans), tuple(left_out)


def _add_leaves(plans: list[_Plan], new: list[str], tree: Taxonomy) -> list[_Plan]:
    """Give new leaves rows in the members that answer for most leaves.

    Raises:
        UserError: no member can answer for them.
    """
    able = [plan for plan in plans if find_heads(plan.member) is not None and not plan.given]
    if not able:
        raise UserError(f"{tree.source}: no member can learn '{new[0]}'; name it as the ensemble's tree does")
    leaves = [sum(map(tree.is_leaf, plan.rows)) for plan in able]
    chosen = {plan.folder for plan, count in zip(able, leaves, strict=True) if count == max(leaves)}
    order = tree.column
    return [
        replace(plan, rows=dict(sorted({**plan.rows, **dict.fromkeys(new)}.items(), key=lambda row: order[row[0]])))
        if plan.folder in chosen
        else plan
        for plan in plans
    ]


def _answer(
    predictor: Predictor,
    plans: list[_Plan],
    pack: Pack,
    tree: Taxonomy,
    match: Mapping[str, str],
    settings: EnsembleSettings,
) -> Given:
    """Score the samples by each member, and as the ensemble says them now."""
    columns, tta = find_columns(pack, predictor.spec), Tta.from_settings(settings.model_dump())
    answers = []
    for plan in plans:
        features = read_features(plan.member, pack, columns, tta) if tta.merge == "mean" else None
        logits = score_samples(plan.member, pack, columns, tta)
        place = [-1 if row is None else plan.member.nodes.index(row) for row in plan.rows.values()]
        knows = np.array(place) >= 0
        wide = np.where(knows, logits[:, place], 0.0)
        answers.append(MemberAnswers(plan.folder.name, tuple(plan.rows), wide, knows, features, plan.given))
    found = pack.targets(tree, predictor.run.recipe.data.below_annotation)
    limits, own = predictor.ensemble.thresholds, predictor.ensemble.taxonomy
    known = np.array([node in match for node in tree.nodes])
    place = [own.column[match[node]] if node in match else 0 for node in tree.nodes]
    before = _answer_before(predictor, pack)
    return Given(
        members=tuple(sorted(answers, key=lambda one: one.name)),
        truth=Truth(pack.ids, found.present, found.known),
        units=pack.groups,
        taxonomy=tree,
        settings=settings,
        trusted=known & ~(limits.doubtful | limits.never)[place],
        learned=known & ~limits.never[place],
        answered=known,
        few=FEW,
        before=before.probs[:, place],
        before_present=before.present[:, place] & known,
    )


def _answer_before(predictor: Predictor, pack: Pack) -> Prediction:
    names = [member.name for member in predictor.ensemble.members]
    return predictor.ensemble.predict(score_pack(predictor, pack, names))


def _write_members(home: Path, plans: list[_Plan], adaptation: Adaptation, tree: Taxonomy) -> None:
    """Write each member: as it is where its rows stay and its head was not retrained."""
    changes = dict(zip(sorted(plan.folder.name for plan in plans), adaptation.retrained, strict=False))
    for plan in plans:
        name, change = plan.folder.name, changes.get(plan.folder.name)
        target = home / _MEMBERS / name
        if plan.same and (change is None or change.weights is None):
            copy_member(plan.folder, target)
        else:
            assert isinstance(plan.member, Member)  # with flat heads, or its rows would stay
            write_member(plan.member, plan.folder, target, plan.rows, change.weights if change else None, tree)


def _assemble(
    predictor: Predictor, home: Path, fitted: Fitted, given: Given, pack: Pack, plans: list[_Plan]
) -> Ensemble:
    """Put the adapted ensemble together, with what it was made of."""
    base, before = predictor.run, predictor.ensemble
    combiner, strength = fitted.adaptation.combiner, fitted.adaptation.strength
    renamed = {member.name: member.renamed for member in before.members}
    same = {plan.folder.name: plan.same for plan in plans}
    members = tuple(
        EnsembleMember(name, renamed[name] if same[name] else {}, sha256(home / _MEMBERS / name / MANIFEST))
        for name in sorted(same)
    )
    spec = predictor.spec
    assert spec is not None
    missing = tuple(channel for channel in spec.channels if channel in {*spec.may_be_missing, *pack.filled})
    settings = fitted_settings(before) if combiner is None else given.settings.model_dump(mode="json")
    about: dict[str, Any] = {
        "part": "labelled samples",
        "samples": len(pack),
        "folds": 0,
        "pack_digest": pack.digest,
        "images": replace(spec, may_be_missing=missing).to_json(),
        "settings": settings,
        _SIMULATED: pack.simulated,
        "acceptance": {"why": "an adapted ensemble is compared with what it was made of"},
        "adapted": {
            "run": str(base.folder),
            "ensemble_sha256": sha256(base.ensemble_folder / ensemble_file.FILE),
            "networks": base.origin.networks,
            "samples": len(pack),
            "changed": combiner is not None,
            "retrained": any(one.weights is not None for one in fitted.adaptation.retrained),
            "strength": None
            if strength is None
            else [strength.offset, strength.weights if strength.retrains else None],
        },
    }
    novelty = fit_novelty(pack, pack.ids, spec, pack.groups if any(pack.groups) else None)
    return replace(
        before,
        taxonomy=given.taxonomy,
        members=members,
        combiner=combiner or before.combiner,
        decision=fitted.decision,
        about=about,
        novelty=novelty or before.novelty,
    )


def _write_run(predictor: Predictor, home: Path, folder: Path, ensemble: Ensemble, pack: Pack) -> None:
    """Write what makes the folder a run."""
    recipe = predictor.run.recipe
    settings = {
        name: value for name, value in ensemble.about["settings"].items() if name in EnsembleSettings.model_fields
    }
    kept = recipe.model_copy(
        update={
            "run": folder.name,
            "artifacts": str(folder.parent),
            "taxonomy": str(folder / TAXONOMY),
            "members": (),
            "data": recipe.data.model_copy(update={"pack": str(folder / _PACK)}),
            "ensemble": recipe.ensemble.model_copy(
                update={"members": tuple(one.name for one in ensemble.members), "baseline": (), **_chosen(settings)}
            ),
        }
    )
    write_text(home / TAXONOMY, ensemble.taxonomy.text)
    write_text(home / CONFIG, recipe_yaml(kept))
    facts = {
        "pack": str(folder / _PACK),
        "pack_digest": pack.digest,
        "split_digest": "",
        "taxonomy": ensemble.taxonomy.name,
        "simulated": pack.simulated,
        "images": len(pack),
    }
    write_json(home / RUN_FILE, facts)
    ensemble_file.save(ensemble, home / "ensemble")


def _chosen(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: settings[name] for name in ("calibrate", "aggregate", "reconcile", "thresholds") if name in settings}


def _write_evaluation(
    predictor: Predictor,
    home: Path,
    ensemble: Ensemble,
    fitted: Fitted,
    given: Given,
    pack: Pack,
    request: LabelledRequest,
) -> None:
    """Write what is said of each sample out of fold, beside what the ensemble said before."""
    unseen, tree = fitted.unseen, given.taxonomy
    assert unseen is not None
    values = ensemble.thresholds.values
    ours = Prediction(pack.ids, tree.nodes, unseen.raw, unseen.probs, values, unseen.present, unseen.safe)
    probs, present = describe_before(given, unseen.fold)
    theirs = Prediction(pack.ids, tree.nodes, probs, probs, values, present, unseen.safe)
    records = {record.name: record for record in predictor.run.members}
    costs = {member.name: MemberCost.from_manifest(records[member.name].manifest) for member in ensemble.members}
    facts = EvaluationFacts(
        part="out of fold",
        source=f"{pack.kind} of {request.source}, each judged by what had not seen it",
        compared_with="before adapting",
        pack_digest=pack.digest,
        simulated=pack.simulated,
        members=costs,
        baseline_members=costs,
        settings=ensemble.about["settings"],
        ensemble_sha256=sha256(home / "ensemble" / ensemble_file.FILE),
    )
    trivial = fit_trivial(given.truth, pack.groups, tree)
    write_evaluation(
        home / "ensemble",
        given.truth,
        ours,
        theirs,
        trivial,
        facts,
        pack.groups,
        unseen.ranking if unseen.chosen else None,
    )
