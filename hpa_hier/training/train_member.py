"""Train one member, or resume its training, up to its finished folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace

import cv2
import torch
from filelock import FileLock, Timeout

from hpa_hier.errors import UserError
from hpa_hier.members.devices import find_device
from hpa_hier.runs import manifest as files
from hpa_hier.settings.training import SKLEARN
from hpa_hier.training.assemble import assemble
from hpa_hier.training.fit_estimator import fit_estimator
from hpa_hier.training.folds import check_folds, train_folds
from hpa_hier.training.loop.checkpoint import FORMAT, OURS, ResumeCheckpoint, read_checkpoint
from hpa_hier.training.loop.progress import Progress, Report, narrow
from hpa_hier.training.loop.stopping import SignalCounter, is_worker_process
from hpa_hier.training.loop.trainer import make_trainer, silence_lightning
from hpa_hier.training.plan import CHECKPOINT, Plan, describe_finished
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


def train_member(plan: Plan, options: TrainOptions) -> str:
    """Train a member, or each of its folds, unless it is finished; resume a training that was stopped.

    Returns:
        One line that says what was done and where it is; "" in the worker processes of a distributed training.

    Raises:
        UserError: something the user can fix.
        Interrupted: the user asked to stop; the checkpoint is written.
    """
    silence_lightning()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(1)
    device = find_device(options.device)
    plan.folder.mkdir(parents=True, exist_ok=True)
    with _only_writer(plan):
        restart = options.restart and not is_worker_process()
        if not restart and (line := describe_finished(plan)):
            return line
        if plan.folds:
            check_folds(plan)
            if restart:
                _discard(plan)
            finished: list[str] = []

            def train_fold(fold: Plan) -> str:
                report = narrow(options.report, len(finished), plan.folds)
                finished.append(train_member(fold, replace(options, report=report)))
                return finished[-1]

            return train_folds(plan, train_fold, options.lines)
        if plan.settings.backbone == SKLEARN:
            return fit_estimator(plan, options.threads, options.report)
        try:
            return _train(plan, options, device, restart)
        except RuntimeError as error:
            if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
                raise
            raise UserError(
                f"{plan.member.name}: the memory of {device} is too small; lower training.batch_size from "
                f"{plan.settings.batch_size} (and raise training.accumulate), training.width or the pack's size"
            ) from None


def _train(plan: Plan, options: TrainOptions, device: torch.device, restart: bool) -> str:
    states = {} if restart else _read_states(plan)
    assembly = assemble(plan, device, states, plan.member.name if options.lines else "")
    if restart:  # only after everything that the user may have got wrong has been checked
        _discard(plan)
    if not assembly.history.done:
        with SignalCounter("stopping after this step, and saving; once more stops at once", most=1) as stop:
            # Last, so that the checkpoint holds what the others have updated.
            told = [Progress(options.report, assembly.length.steps)] if options.report else []
            callbacks = (*told, *assembly.callbacks, ResumeCheckpoint(plan.checkpoint, stop, plan.digest))
            curves = plan.folder if options.tensorboard else None
            trainer = make_trainer(plan.settings, device, assembly.length.epochs, callbacks, curves)
            path = plan.checkpoint if states else None
            trainer.fit(assembly.module, assembly.batches, assembly.watched_batches, ckpt_path=path, weights_only=True)
        if not trainer.is_global_zero:  # another process writes the member
            return ""
    return save_member(plan, device, assembly)


def _read_states(plan: Plan) -> dict[str, object]:
    """Return the callbacks' states in the member's checkpoint; {} where there is none."""
    if not plan.checkpoint.exists():
        return {}
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
    return states


@contextmanager
def _only_writer(plan: Plan) -> Iterator[None]:
    try:
        # Of a distributed training, the process that started the others holds the lock.
        with nullcontext() if is_worker_process() else FileLock(plan.folder / "lock", timeout=0):
            yield
    except Timeout:
        raise UserError(f"{plan.folder}: another process is training this member; wait for it, or stop it") from None


def _discard(plan: Plan) -> None:
    # The manifest first: without it, whatever is left over does not count as a member.
    for name in (files.MANIFEST, CHECKPOINT, files.WEIGHTS, files.ESTIMATORS, files.SCORES, *_TEXTS):
        (plan.folder / name).unlink(missing_ok=True)
