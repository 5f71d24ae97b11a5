"""Train one member, or resume its training, up to its finished folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from math import prod
from typing import Literal, cast

import cv2
import torch
from filelock import FileLock, Timeout

from hpa_hier.data.pack.pack import ImagePack
from hpa_hier.errors import UserError
from hpa_hier.files.faults.leftovers import sweep
from hpa_hier.members.devices import check_devices, find_device
from hpa_hier.members.process import keep_freed_memory
from hpa_hier.models.precision import Precision
from hpa_hier.runs import manifest as files
from hpa_hier.settings.training import SKLEARN
from hpa_hier.training.assemble import Assembly, assemble
from hpa_hier.training.batches.order import TrainingBatches
from hpa_hier.training.fit_estimator import fit_estimator
from hpa_hier.training.folds import check_folds, fold_plan, train_folds
from hpa_hier.training.loop.checkpoint import FORMAT, OURS, ResumeCheckpoint, read_checkpoint
from hpa_hier.training.loop.measured import choose_precision
from hpa_hier.training.loop.progress import Progress, Report, narrow
from hpa_hier.training.loop.stopping import SignalCounter
from hpa_hier.training.loop.trainer import make_trainer, silence_lightning
from hpa_hier.training.plan import CHECKPOINT, Plan, describe_finished
from hpa_hier.training.processes.team import ALONE, Team
from hpa_hier.training.save_member import save_member

_TEXTS = (files.HISTORY, files.CONFIG, files.TAXONOMY)


@dataclass(frozen=True)
class TrainOptions:
    """How to run a training, whatever is trained."""

    device: str = "auto"
    restart: bool = False  # discard what has been trained
    lines: bool = True  # print one line per epoch on standard error
    report: Report | None = None  # is told how far it is
    tensorboard: bool = False
    threads: int = 1  # of torch, on the CPU
    team: Team = ALONE  # the processes that train it together
    stop: SignalCounter | None = None  # tells that the user asked to stop; None: the training listens itself
    join: Callable[[TrainingBatches], object] | None = None  # is given the batches before the first one is taken


def train_member(plan: Plan, options: TrainOptions) -> str:
    """Train a member, or each of its folds, unless it is finished; resume a training that was stopped.

    Returns:
        One line that says what was done and where it is; "" in all but the first of several processes.

    Raises:
        UserError: something the user can fix.
        Interrupted: the user asked to stop; the checkpoint is written.
    """
    silence_lightning()
    keep_freed_memory()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(1)
    team, restart = options.team, options.restart
    first = find_device(options.device)
    check_devices(first, plan.settings.processes[0])
    device = first if first.index is None else torch.device(first.type, first.index + team.place.local_rank)
    _check_team(plan, team)
    with _only_writer(plan, team):
        if line := team.agree(lambda: "" if restart else describe_finished(plan)):
            if team.first:
                plan.checkpoint.unlink(missing_ok=True)  # of a process that was killed when the member was written
            return line if team.first else ""
        if plan.folds:
            check_folds(plan)
            if restart and team.first:
                _discard(plan)
            finished: list[str] = []

            def train_fold(fold: Plan) -> str:
                report = narrow(options.report, len(finished), plan.folds)
                finished.append(train_member(fold, replace(options, report=report)))
                return finished[-1]

            return train_folds(plan, train_fold, options.lines, team.first)
        if plan.settings.backbone == SKLEARN:
            return fit_estimator(plan, options.threads, options.report)
        try:
            return _train(plan, options, first, device)
        except RuntimeError as error:
            if explained := team.explain(error):
                raise explained from None
            if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
                raise
            raise UserError(
                f"{plan.member.name}: the memory of {device} is too small; lower training.batch_size from "
                f"{plan.settings.batch_size} (and raise training.accumulate), training.width or the pack's size"
            ) from None


def train_fold(plan: Plan, fold: int, options: TrainOptions) -> str:
    """Train the network of one fold of a member alone; the member is written when all of them are there.

    Args:
        plan: of the member.
        fold: from 0.
        options: how to run it.

    Raises:
        UserError: as `train_member`, or the member has no such fold.
        Interrupted: as `train_member`.
    """
    if fold >= plan.folds:
        has = f"{plan.folds} folds" if plan.folds else "no folds"
        raise UserError(f"--fold {fold + 1}: {plan.member.name} has {has}; give one of them, or leave it out")
    check_folds(plan)
    if options.restart and options.team.first:  # the member is what its folds were
        _discard(plan)
    return train_member(fold_plan(plan, fold), options)


def _train(plan: Plan, options: TrainOptions, first: torch.device, device: torch.device) -> str:
    team, restart = options.team, options.restart

    def build() -> tuple[Assembly, bool]:
        states, kept = ({}, "") if restart else _read_states(plan)
        assembly = assemble(plan, device, states, plan.member.name if options.lines and team.first else "")
        if kept:
            assembly = replace(assembly, precision=kept)
        elif not (states or team.several):
            assembly = replace(assembly, precision=_choose_precision(plan, device, assembly))
        if restart and team.first:  # only after everything that the user may have got wrong has been checked
            _discard(plan)
        return assembly, bool(states)

    assembly, resumes = team.after_first(build)
    _check_alike(plan, team, resumes)
    precision = cast(Precision, team.agree(lambda: assembly.precision))  # where it was measured, each had its own
    if not assembly.history.done:
        message = "stopping after this step, and saving; once more stops at once" if team.first else ""
        if options.join:
            options.join(assembly.batches)
        with nullcontext(options.stop) if options.stop else SignalCounter(message, most=1) as stop:
            # Last, so that the checkpoint holds what the others have updated.
            told = [Progress(options.report, assembly.length.steps)] if options.report else []
            callbacks = (
                *told,
                *assembly.callbacks,
                ResumeCheckpoint(plan.checkpoint, stop, plan.digest, precision),
            )
            curves = plan.folder if options.tensorboard else None
            team.join_group(device)
            settings = plan.settings.model_copy(update={"precision": precision})
            trainer = make_trainer(settings, first, assembly.length.epochs, callbacks, curves, team)
            path = plan.checkpoint if resumes else None
            trainer.fit(assembly.module, assembly.batches, assembly.watched_batches, ckpt_path=path, weights_only=True)
    # The others go on when it is written, as what they train next may start from it.
    return team.after_first(lambda: save_member(plan, device, assembly) if team.first else "")


def _check_team(plan: Plan, team: Team) -> None:
    """Refuse a training whose processes nobody starts, and one that they were not started for."""
    asked = prod(plan.settings.processes)
    if asked != team.place.world and not team.several:
        raise UserError(
            f"{plan.member.name}: training.devices and training.nodes ask for {asked} processes, which the command "
            "`hpa-hier train` starts; set both to 1 to train in this process"
        )


def _check_alike(plan: Plan, team: Team, resumes: bool) -> None:
    """Refuse processes that would train different things.

    Raises:
        UserError: another one was started with other settings or data, or does not see the same folder.
    """
    mine = f"{plan.digest} {resumes}"
    first = team.agree(lambda: mine)
    if first != mine:
        why = "does not find the checkpoint that the first one resumes; give all machines one folder for the run"
        if first.split()[0] != plan.digest:
            why = "has other settings, data or taxonomy than the first one; start all with the same command"
        raise UserError(f"{plan.member.name}: {why}")


def _choose_precision(plan: Plan, device: torch.device, assembly: Assembly) -> Precision:
    """Return the precision of a training that begins."""
    pack, steps = plan.run.pack, assembly.length.steps * plan.settings.accumulate
    if not isinstance(pack, ImagePack):
        return assembly.precision
    side = max(plan.settings.sizes or (pack.size,))
    shape = (assembly.batches.batch_size, len(pack.channels), side, side)
    return choose_precision(plan.settings, device, steps, assembly.module.network, shape, plan.run.folder)


def _read_states(plan: Plan) -> tuple[dict[str, object], Precision | Literal[""]]:
    """Return the callbacks' states in the member's checkpoint and its precision; {} and "" where there is none."""
    if not plan.checkpoint.exists():
        return {}, ""
    checkpoint = read_checkpoint(plan.checkpoint)
    saved = checkpoint.get(OURS, {})
    if saved.get("format") != FORMAT:
        raise UserError(
            f"{plan.checkpoint}: written by another version of hpa_hier, so it cannot be resumed; train the member "
            f"again with `{plan.command}`"
        )
    if saved.get("digest") != plan.digest:
        raise UserError(
            f"{plan.checkpoint}: started with other settings, data or taxonomy, so it cannot be resumed; undo the "
            f"change, or train it again with `{plan.command}`"
        )
    states: dict[str, object] = checkpoint["callbacks"]
    return states, saved.get("precision", "")  # trainings of before have the usual one


@contextmanager
def _only_writer(plan: Plan, team: Team) -> Iterator[None]:
    """Hold the member's folder; of several processes, the first one does."""
    if team.first:
        plan.folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(plan.folder / "lock", timeout=0) if team.first else nullcontext():
            if team.first:
                sweep(plan.folder)
            yield
    except Timeout:
        raise UserError(f"{plan.folder}: another process is training this member; wait for it, or stop it") from None


def _discard(plan: Plan) -> None:
    # The manifest first: without it, whatever is left over does not count as a member.
    for name in (files.MANIFEST, CHECKPOINT, files.WEIGHTS, files.ESTIMATORS, files.SCORES, *_TEXTS):
        (plan.folder / name).unlink(missing_ok=True)
