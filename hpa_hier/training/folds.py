"""Folds: a member is trained once per fold, scored on the samples it has not seen, and kept as one member."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.torch import load_file, save
from tqdm import tqdm

from hpa_hier.data.split.split import Split
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import sha256, write_bytes
from hpa_hier.files.tables import read_table
from hpa_hier.members.estimators.member import list_files
from hpa_hier.members.scores_file import fold_folder, merge_scores, read_scores
from hpa_hier.runs import manifest as files
from hpa_hier.runs.manifest import Manifest, check_files, read_manifest, training_settings
from hpa_hier.settings.training import SKLEARN
from hpa_hier.training.loop.history import write_history
from hpa_hier.training.plan import Plan
from hpa_hier.training.save_member import write_member


def fold_split(split: Split, fold: int) -> Split:
    """Return the split under which a fold's network is trained: that fold calibrates, all others train.

    The test part stays as it is. Groups stay whole, since no group is in two folds.

    >>> split = Split(("a", "b", "c"), ("train", "calibration", "test"), ("", "", ""), folds=(0, 1, -1))
    >>> fold_split(split, 0).parts
    ('calibration', 'train', 'test')
    """
    names = {-1: "test", fold: "calibration"}
    return replace(split, parts=tuple(names.get(number, "train") for number in split.folds))


def fold_plan(plan: Plan, fold: int) -> Plan:
    """Return the training of one fold's network, in its own folder below the member's."""
    run = plan.run.with_split(fold_split(plan.run.split, fold))
    settings = plan.settings.model_copy(update={"folds": 0})
    weights = plan.weights
    if weights and settings.start_from:  # from that fold's network, which has not seen the fold either
        weights = fold_folder(weights.parent, fold) / files.WEIGHTS
    digest = sha256(weights) if weights else None
    folder = fold_folder(plan.folder, fold)
    return replace(plan, run=run, settings=settings, weights=weights, weights_sha256=digest, folder=folder)


def train_folds(plan: Plan, train: Callable[[Plan], str], lines: bool, first: bool = True) -> str:
    """Train one network per fold and write the member whose logits are the mean of theirs.

    Args:
        plan: with `folds` set.
        train: trains one network, unless it is finished.
        lines: print which fold is trained.
        first: whether this process writes the member; of several, the first one does.

    Returns:
        One line that says what was trained and where it is; "" where another process does.

    Raises:
        UserError: a fold was trained with other settings or data before.
    """
    for fold in range(plan.folds):
        if lines and first:
            tqdm.write(f"{plan.member.name}: fold {fold + 1} of {plan.folds}", file=sys.stderr)
        train(fold_plan(plan, fold))
    if not first:
        return ""
    folders = [fold_folder(plan.folder, fold) for fold in range(plan.folds)]
    manifests = [read_manifest(folder) for folder in folders]
    for fold, (folder, manifest) in enumerate(zip(folders, manifests, strict=True)):
        _check_fold(plan, fold, folder, manifest)
    scores = merge_scores([read_scores(folder / files.SCORES) for folder in folders])
    manifest = _manifest(plan, manifests)
    if plan.settings.backbone == SKLEARN:  # of estimators, which may be large, the folds' own files are the member's
        written = list_files(manifest)
    else:
        written = _join_networks(plan.folder, folders)
        epochs = _write_history(plan.folder / files.HISTORY, [folder / files.HISTORY for folder in folders])
        best = min(epochs, manifest.best_epoch)
        manifest = manifest.model_copy(update={"epochs": epochs, "best_epoch": best})
    write_member(plan, scores, manifest, written)
    held_out = sum(part == "calibration" for part in scores.parts)
    return (
        f"{plan.member.name}: {len(plan.nodes)} nodes, {len(folders)} folds in "
        f"{sum(manifest.seconds for manifest in manifests):.0f} s, {held_out:,} samples scored by the network that "
        f"has not seen them; written to {plan.folder}"
    )


def _join_networks(folder: Path, folders: Sequence[Path]) -> tuple[str, ...]:
    """Write the weights of the folds' networks as those of one, and return the files that a network has."""
    weights = {
        f"networks.{fold}.{name}": tensor
        for fold, one in enumerate(folders)
        for name, tensor in load_file(one / files.WEIGHTS).items()
    }
    write_bytes(folder / files.WEIGHTS, save(weights))
    return files.WEIGHTS, files.HISTORY


def check_folds(plan: Plan) -> None:
    """Raise the UserError of folds that the split does not have."""
    folds, there = plan.folds, plan.run.split.fold_count
    if folds != there:
        raise UserError(
            f"training.folds: {folds}, but {plan.run.folder / 'split.csv'} has {there or 'no'} folds; "
            f"start another run with split.folds: {folds} (--folds {folds} --run NAME)"
        )


def _check_fold(plan: Plan, fold: int, folder: Path, manifest: Manifest) -> None:
    check_files(folder, manifest, tuple(manifest.files))
    wanted = fold_plan(plan, fold)
    now = (wanted.settings, plan.member.seed, wanted.run.split.digest, plan.run.pack.digest, wanted.weights_sha256)
    digests = (manifest.split_digest, manifest.pack_digest, manifest.weights_sha256)
    if (training_settings(manifest), manifest.seed, *digests) != now:
        raise UserError(
            f"{folder}: was trained with other settings, another split, pack or start than the other folds; train all "
            f"again with `{plan.command}`"
        )


def _write_history(path: Path, paths: Sequence[Path]) -> int:
    """Write the mean of the folds' histories over the epochs that all of them have; return how many those are."""
    tables = [read_table(one) for one in paths]
    epochs = min(map(len, tables))  # early stopping ends folds after different epochs
    means = np.mean([table[:epochs].astype(float) for table in tables], axis=0)
    write_history(path, pd.DataFrame(means, columns=tables[0].columns))
    return epochs


def _manifest(plan: Plan, manifests: Sequence[Manifest]) -> Manifest:
    """Return the manifest of the folds as one member, with the sum of their costs."""
    best = round(sum(manifest.best_epoch for manifest in manifests) / len(manifests))
    return manifests[0].model_copy(
        update={
            "name": plan.member.name,
            "split_digest": plan.run.split.digest,
            "settings": plan.settings.model_dump(mode="json"),
            "weights_sha256": plan.weights_sha256,
            "parameters": sum(manifest.parameters for manifest in manifests),
            "images_seen": sum(manifest.images_seen for manifest in manifests),
            "steps": sum(manifest.steps for manifest in manifests),
            "seconds": round(sum(manifest.seconds for manifest in manifests), 3),
            "best_epoch": best,
            "stopped": "early" if any(manifest.stopped == "early" for manifest in manifests) else "all steps",
        }
    )
