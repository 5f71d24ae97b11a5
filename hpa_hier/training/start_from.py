"""Starting a member from another one's backbone, and the order of trainings that follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from hpa_hier.errors import UserError
from hpa_hier.files.shell import command
from hpa_hier.models.backbones.create import SMALL_CNN
from hpa_hier.runs.manifest import MANIFEST, WEIGHTS, check_files, read_manifest, training_settings
from hpa_hier.runs.run import Run
from hpa_hier.settings.recipe import MemberSettings, Recipe
from hpa_hier.settings.training import MLP, TrainingSettings

_SHAPE = {SMALL_CNN: ("backbone", "pooling", "width"), MLP: ("backbone", "mlp")}  # settings that the weights fit


def find_start(run: Run, member: str, settings: TrainingSettings) -> Path:
    """Return the weights of the finished member that another one starts from.

    Args:
        run: of both.
        member: name of the one that starts.
        settings: its own; `start_from` names the other.

    Raises:
        UserError: the other member is not trained, was trained on other data, or has another shape.
    """
    name = settings.start_from or ""
    where, folder = f"training.start_from of '{member}'", run.member_folder(name)
    train = command("train", member=name, **run.train_flags())
    if name == member:
        raise UserError(f"{where}: a member cannot start from itself; name another one")
    if not (folder / MANIFEST).is_file():
        raise UserError(f"{where}: '{name}' is not trained in {run.folder}; train it first: {train}")
    manifest = read_manifest(folder)
    if (manifest.pack_digest, manifest.split_digest) != (run.pack.digest, run.split.digest):
        raise UserError(f"{where}: '{name}' was trained on another pack or split; train it again: {train} --restart")
    theirs = training_settings(manifest)
    for key in (*_SHAPE.get(settings.backbone, ("backbone", "pooling")), "folds"):
        own, other = getattr(settings, key), getattr(theirs, key)
        if own != other:
            raise UserError(f"{where}: '{name}' has {key} {other}, and '{member}' {own}; give both the same")
    check_files(folder, manifest, (WEIGHTS,))
    return folder / WEIGHTS


def missing_starts(run: Run, member: MemberSettings) -> list[MemberSettings]:
    """Return the members of the recipe that one starts from and that are not trained yet, the first of them first.

    Those that are trained on other numbers of devices are left to commands of their own.

    Raises:
        UserError: the recipe's members start from each other in a circle.
    """
    known, missing = {one.name: one for one in run.recipe.listed}, list[MemberSettings]()
    training_order(run.recipe)
    settings = run.recipe.member_training(member)
    processes = settings.processes
    while start := known.get(settings.start_from or ""):
        settings = run.recipe.member_training(start)
        trained = (run.member_folder(start.name) / MANIFEST).is_file()
        if start == member or trained or settings.processes != processes:
            break
        missing.insert(0, start)
    return missing


def training_order(recipe: Recipe) -> dict[str, str | None]:
    """Return the recipe's members, each after the one that it starts from, which is the value; None: from none.

    Those that others start from come first, so that these need not wait long.

    Raises:
        UserError: a member starts from one that the recipe does not list, or two from each other.
    """
    starts = {member.name: recipe.member_training(member).start_from for member in recipe.listed}
    for name, start in starts.items():
        if start is not None and start not in starts:
            raise UserError(
                f"training.start_from of '{name}': the recipe has no member '{start}'; it has {', '.join(starts)}"
            )
    graph: Mapping[str, set[str]] = {name: {start} if start else set() for name, start in starts.items()}
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        circle = " from ".join(map(repr, reversed(error.args[1])))
        raise UserError(
            f"training.start_from: {circle}: none of them can be the first; let one start from none"
        ) from None
    awaited = set(starts.values())
    return {name: starts[name] for name in sorted(order, key=lambda name: name not in awaited)}
