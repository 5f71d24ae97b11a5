"""What is known of a training before it starts: nodes, settings, and what has been trained already."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from hpa_hier.data.balance.cooccurrence import balance_factors
from hpa_hier.data.pack.pack import Pack, VectorPack
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import sha256, text_digest
from hpa_hier.files.shell import command
from hpa_hier.files.spelling import did_you_mean
from hpa_hier.members.estimators.create import create_estimator
from hpa_hier.members.nodes import Selector, train_flags
from hpa_hier.models.backbones.imagenet import find_package
from hpa_hier.models.backbones.subcell import SUBCELL, where_to_get
from hpa_hier.runs.manifest import MANIFEST, Manifest, read_manifest, training_settings
from hpa_hier.runs.run import Part, Run
from hpa_hier.settings.origins import DEFAULT
from hpa_hier.settings.recipe import MemberSettings, Recipe
from hpa_hier.settings.training import OF_ESTIMATORS, PACKAGE, SKLEARN, TrainingSettings
from hpa_hier.taxonomy import Taxonomy
from hpa_hier.training.batches.styles import folder_digest
from hpa_hier.training.shipped_start import start_from_shipped
from hpa_hier.training.start_from import find_start

CHECKPOINT = "last.ckpt"  # of an unfinished training

# Settings that are off by default, and have no effect without images, or without a backbone that is trained.
_OF_IMAGES = ("frozen", "pretrained", "init", "weights", "pooling")
_OF_TRAINED_BACKBONES = (
    *("dense", "sizes"),
    *(f"augment.{name}" for name in ("mixing", "styles", "only_minority", "drop_channels")),
)

_NOT_OF_WEIGHTS = ("wait",)
# Settings that are newer than the checkpoints of unfinished trainings may be.
_LATER = ("data_seed", "channels_last", "keep_on_device", "compile", "cuda_graphs")


@dataclass(frozen=True)
class Plan:
    """One member's training."""

    run: Run
    member: MemberSettings
    settings: TrainingSettings  # the recipe's, with the member's own over them
    nodes: tuple[str, ...]
    auxiliary: tuple[str, ...]  # leaves that it learns beside its nodes, and never answers for
    meanings: dict[str, str]  # of all these: node → digest of what it means
    weights: Path | None  # file that initialises the backbone: of the settings, a package, or another member
    weights_sha256: str | None
    folder: Path

    @property
    def parents(self) -> dict[str, tuple[str, ...]]:
        """The nodes right above each of the member's, among its own; {} where head and loss need not know."""
        if not self.settings.several_levels:
            return {}
        return {node: self.run.taxonomy.parents(node) for node in self.nodes}

    @property
    def carry(self) -> tuple[str, ...]:
        """The nodes of which each of its images carries one; () where it is trained on all images."""
        return self.nodes if self.member.images == "own" else ()

    @property
    def data_seed(self) -> int:
        """Seed of the order of its images and of their variation."""
        return self.member.seed if self.settings.data_seed is None else self.settings.data_seed

    @property
    def folds(self) -> int:
        """Networks that are trained, one for each fold; 0: a single one, on the train part."""
        return self.settings.folds or 0

    @property
    def checkpoint(self) -> Path:
        """Where an unfinished training is kept."""
        return self.folder / CHECKPOINT

    @property
    def digest(self) -> str:
        """16 hex digits of all that decides the weights except the device; a checkpoint with another is not resumed."""
        run = self.run
        return text_digest(
            json.dumps(_of_weights(self.settings), sort_keys=True),
            *(self.meanings[node] for node in (*self.nodes, *self.auxiliary)),
            str(self.member.seed),
            run.pack.digest,
            run.split.digest,
            self.weights_sha256 or "",
            *([folder_digest(Path(self.settings.augment.styles))] if self.settings.augment.styles else []),
            *(["own images"] if self.carry else []),
            *([run.recipe.data.below_annotation] if run.recipe.data.below_annotation != "unknown" else []),
        )

    def learned_parts(self) -> tuple[Part, Part]:
        """Return the samples of the train and of the calibration part.

        Raises:
            UserError: the calibration part has none.
        """
        train, calibration = (self.run.part(name, self.nodes, self.carry) for name in ("train", "calibration"))
        if not len(calibration):
            why = "holds none of the member's images" if self.carry else "is empty"
            raise UserError(f"{self.run.folder / 'split.csv'}: the calibration part {why}; split with other fractions")
        return train, calibration

    def factors(self, train: Part) -> np.ndarray:
        """Return how often each sample of the train part is met in an epoch, (B,)."""
        chosen = self.settings
        balance = (chosen.balance, chosen.balance_target, chosen.balance_bound, chosen.balance_most)
        return balance_factors(train.present, *balance)

    @property
    def command(self) -> str:
        """The command that trains this member again, in its run."""
        flags = train_flags(self.member, self.run.recipe) | self.run.train_flags()
        return command("train", **flags, restart=True)


def _of_weights(settings: TrainingSettings) -> dict[str, Any]:
    """Return the settings that decide the weights; later ones only where they are set, so that digests stay."""
    default = TrainingSettings()
    values = settings.model_dump(mode="json", exclude=set(_NOT_OF_WEIGHTS))
    later = [name for name in _LATER if getattr(settings, name) == getattr(default, name)]
    return {name: value for name, value in values.items() if name not in later}


def check_training(run: Run, member: MemberSettings) -> None:
    """Refuse a training that cannot be, before anything is written for it.

    Raises:
        UserError: as `plan_training`, but that another member, from which it starts, may still have to be trained.
    """
    settings = _settle(run, member)[0]
    if not settings.start_from:
        _find_weights(run, member, settings)


def plan_training(run: Run, member: MemberSettings) -> Plan:
    """Return a member's training: its nodes, settings and folder.

    Raises:
        UserError: unknown level or group, wrong settings, or a weights file that is not there or not the one meant.
    """
    settings, nodes, others = _settle(run, member)
    weights = _find_weights(run, member, settings)
    return Plan(
        run=run,
        member=member,
        settings=settings,
        nodes=nodes,
        auxiliary=others,
        meanings={node: run.taxonomy.meaning(node) for node in (*nodes, *others)},
        weights=weights,
        weights_sha256=sha256(weights) if weights else None,
        folder=run.member_folder(member.name),
    )


def count_folds(run: Run, member: MemberSettings) -> int:
    """Return how many networks a member is trained as, one for each fold; 0: a single one."""
    return _settle(run, member)[0].folds or 0


def _settle(run: Run, member: MemberSettings) -> tuple[TrainingSettings, tuple[str, ...], tuple[str, ...]]:
    """Return a member's settings, its nodes, and the leaves that it learns beside these."""
    settings, taxonomy = resolve_settings(run.recipe, member, run.taxonomy), run.taxonomy
    if settings.folds is None:
        settings = settings.model_copy(update={"folds": run.split.fold_count})
    _check_kind(settings, run.pack)
    if member.partition and run.partition_left_out:
        raise UserError(
            f"partition: the run has none ({run.partition_left_out}); set partition.majority_min_images, or train "
            "members of levels and groups alone"
        )
    nodes = Selector.from_settings(member).nodes(taxonomy, run.partition)
    if settings.several_levels:  # and all nodes above them
        above = np.any(taxonomy.closure[[taxonomy.column[node] for node in nodes]], axis=0)
        nodes = tuple(node for node, wanted in zip(taxonomy.nodes, above, strict=True) if wanted)
    others = tuple(leaf for leaf in taxonomy.leaves if leaf not in nodes) if settings.auxiliary else ()
    if others and settings.head == "arcface":
        raise UserError(
            f"training.auxiliary: head 'arcface' of '{member.name}' learns antibodies, not nodes; set it to 0 for this "
            "member"
        )
    if settings.init == "pretrained":
        settings = start_from_shipped(settings, {node: taxonomy.meaning(node) for node in nodes})
    return settings, nodes, others


def _find_weights(run: Run, member: MemberSettings, settings: TrainingSettings) -> Path | None:
    """Return the file that the backbone starts from, of the checksum that the settings give; None where none is."""
    if settings.start_from:
        return find_start(run, member.name, settings)
    if not settings.weights:
        return None
    packaged = settings.weights.startswith(PACKAGE)
    path = find_package(settings.weights, settings.backbone) if packaged else Path(settings.weights)
    found, wanted = sha256(path), (settings.weights_sha256 or "").lower()
    if not found.startswith(wanted):
        raise UserError(
            f"{_name_weights(run.recipe, member, settings)}: its SHA-256 is {found}, and training.weights_sha256 asks "
            f"for {wanted}; fetch the file again, or correct the checksum"
        )
    return path


def _name_weights(recipe: Recipe, member: MemberSettings, settings: TrainingSettings) -> str:
    """Name a file of first weights by the flag or the line of the recipe that gives it."""
    own = member in recipe.listed and "weights" in member.training
    place = ("members", recipe.listed.index(member), "training", "weights") if own else ("training", "weights")
    origin = recipe.origins.of(*place)
    if origin.startswith("--"):
        return origin
    return f"{'' if origin == DEFAULT else f'{origin}: '}training.weights of '{member.name}': {settings.weights}"


def _check_kind(settings: TrainingSettings, pack: Pack) -> None:
    """Refuse a backbone that does not fit the pack, and settings without effect on what it holds."""
    if not isinstance(pack, VectorPack):
        if settings.takes_vectors:
            raise UserError(
                f"training.backbone: {settings.backbone} takes vectors, and {pack.path} holds images; name "
                "small_cnn or a timm model"
            )
        if settings.frozen:
            _refuse(settings, _OF_TRAINED_BACKBONES, "has no effect on a frozen backbone")
        else:
            _refuse(settings, ("vectors",), f"has no effect on images, which {pack.path} holds")
        return
    if not settings.takes_vectors:
        raise UserError(
            f"training.backbone: {settings.backbone!r} takes images, and {pack.path} holds vectors; "
            "set it to mlp (--set training.backbone=mlp), or to sklearn"
        )
    _refuse(settings, (*_OF_IMAGES, *_OF_TRAINED_BACKBONES), f"has no effect on vectors, which {pack.path} holds")


def _refuse(settings: TrainingSettings, names: Sequence[str], why: str) -> None:
    """Refuse settings other than their defaults; not all that are set, as a run's config.yaml names every setting."""
    default = TrainingSettings()
    for name in names:
        if attrgetter(name)(settings) != attrgetter(name)(default):
            raise UserError(f"training.{name}: {why}; leave it out")


def resolve_settings(recipe: Recipe, member: MemberSettings, taxonomy: Taxonomy) -> TrainingSettings:
    """Return a member's training settings, with all checks that need no images.

    Raises:
        UserError: unknown level or group, wrong settings, or a weights file that is not there.
    """
    Selector.from_settings(member).check(taxonomy)
    try:
        settings = recipe.member_training(member)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(("members", member.name, "training", *map(str, first["loc"])))
        raise UserError(f"{where}: {first['msg']}, got {first['input']!r}") from None
    if settings.backbone == SKLEARN:
        _check_estimator(recipe, member, settings)
    if member.images == "own" and settings.several_levels:
        raise UserError(
            f"members.{member.name}: images: own needs head flat and a loss that ignores the nodes above, since those "
            "would be trained on these images only"
        )
    if settings.weights and settings.weights.startswith(PACKAGE):
        find_package(settings.weights, settings.backbone)
    elif settings.weights and not Path(settings.weights).is_file():
        raise UserError(f"{_name_weights(recipe, member, settings)}: no such file")
    if settings.augment.styles and not Path(settings.augment.styles).is_dir():
        raise UserError(f"training.augment.styles of '{member.name}': {settings.augment.styles}: no such folder")
    for node in settings.class_weights or {}:
        if node not in taxonomy.column:
            near = did_you_mean(node, taxonomy.nodes)
            raise UserError(f"training.class_weights: {taxonomy.source} has no node '{node}'{near}")
    if settings.backbone == SUBCELL and not (settings.weights or settings.start_from):
        get = where_to_get(recipe.data.channels)
        raise UserError(f"training.weights of '{member.name}': subcell starts from its published weights; {get}")
    starts = settings.weights or settings.pretrained or settings.start_from or settings.init == "pretrained"
    if settings.frozen and not settings.takes_vectors and not starts:
        raise UserError(
            f"training.frozen: the backbone of '{member.name}' would stay untrained; set training.pretrained, "
            "training.weights or training.start_from"
        )
    return settings


def _check_estimator(recipe: Recipe, member: MemberSettings, settings: TrainingSettings) -> None:
    """Refuse an estimator that cannot be made, and settings of networks that are set for it.

    Those of the recipe's block `training` are meant for the networks beside it, unless that asks for estimators itself.
    """
    shared, default = recipe.training, TrainingSettings()
    of_networks = [name for name in TrainingSettings.model_fields if name not in OF_ESTIMATORS]
    idle = [(f"members.{member.name}.training", name) for name in of_networks if name in member.training]
    if shared.backbone == SKLEARN:
        idle += [("training", name) for name in of_networks if getattr(shared, name) != getattr(default, name)]
    for block, name in idle:
        raise UserError(
            f"{block}.{name}: has no effect on an estimator, which '{member.name}' is; leave it out, or set what is "
            "the estimator's own in estimator_parameters"
        )
    create_estimator(settings.estimator or "", settings.estimator_parameters, member.seed, member.name)


def read_finished(plan: Plan) -> Manifest | None:
    """Return the manifest of the finished member of this name; None where there is none.

    Raises:
        UserError: it answers for other nodes, or the meaning of its nodes has changed.
    """
    if not (plan.folder / MANIFEST).exists():
        return None
    manifest = read_manifest(plan.folder)
    # Another head or loss may add or drop the nodes above; that is a difference of settings, not of meaning.
    alike = training_settings(manifest).several_levels == plan.settings.several_levels
    if alike and (stale := _list_changed_nodes(manifest, plan)):
        raise UserError(
            f"{plan.folder}: stale, since the taxonomy changed what it answers for ({stale}); train it again with "
            f"`{plan.command}`"
        )
    return manifest


def describe_finished(plan: Plan) -> str:
    """Say that a member is trained already, and where it is; "" where it is not.

    Raises:
        UserError: as `read_finished`.
    """
    kept = read_finished(plan)
    if kept is None:
        return ""
    other = describe_differences(kept, plan)
    note = f", though trained with {other}" if other else ""
    return f"{plan.member.name}: already trained{note}; kept in {plan.folder} (--restart trains it again)"


def _list_changed_nodes(manifest: Manifest, plan: Plan) -> str:
    """List the nodes whose meaning has changed since a member was trained; "" where none has."""
    trained, wanted = set(manifest.meanings.values()), {plan.meanings[node] for node in plan.nodes}
    words = [node for node in plan.nodes if plan.meanings[node] not in trained]
    words = words or [node for node in manifest.nodes if manifest.meanings[node] not in wanted]
    return ", ".join(words[:4]) + (f" and {len(words) - 4} more" if len(words) > 4 else "")


def describe_differences(manifest: Manifest, plan: Plan) -> str:
    """Describe the settings that have changed since a member was trained; "" where none has."""
    now = plan.settings.model_dump(mode="json")
    then = training_settings(manifest).model_dump(mode="json")
    pairs = [(key, then[key], value) for key, value in now.items() if key not in _NOT_OF_WEIGHTS]
    pairs += [
        ("images", manifest.images, plan.member.images),
        ("seed", manifest.seed, plan.member.seed),
        ("weights", manifest.weights_sha256, plan.weights_sha256),
    ]
    return ", ".join(f"{key} {old} (now {new})" for key, old, new in pairs if old != new)
