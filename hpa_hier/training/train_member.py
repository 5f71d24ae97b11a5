"""Train one member, from where it stands to its finished folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import torch
from filelock import FileLock, Timeout

from hpa_hier.errors import UserError
from hpa_hier.members.devices import device_named
from hpa_hier.runs import manifest as files
from hpa_hier.training.assemble import Assembly, assemble
from hpa_hier.training.folds import check_folds, train_folds
from hpa_hier.training.loop.checkpoint import GoOn, ours, read_checkpoint
from hpa_hier.training.loop.stopping import StopWish
from hpa_hier.training.loop.trainer import early_stopping, follower, make_trainer, progress_bar, quieten, tensorboard
from hpa_hier.training.plan import CHECKPOINT, Plan, differences, finished
from hpa_hier.training.save_member import keep


@dataclass(frozen=True)
class FitRequest:
    """How a training is to be done, whatever is trained."""

    device: str = "auto"
    restart: bool = False  # throw away what there is
    lines: bool = True  # a line an epoch on standard error
    bar: bool = False  # a progress bar over the steps
    tensorboard: bool = False
    threads: int = 1  # of torch, on the CPU


def train_member(plan: Plan, request: FitRequest) -> str:
    """Train a member, or each of its folds, unless it is finished, going on where an earlier training stopped.

    Returns:
        One line that says what was done and where it is; "" in a process that only helps another one train.

    Raises:
        UserError: something the user can mend.
        Interrupted: the user asked to stop; the checkpoint is written.
    """
    quieten()
    torch.set_num_threads(request.threads)
    cv2.setNumThreads(1)
    device = device_named(request.device)
    plan.folder.mkdir(parents=True, exist_ok=True)
    with _only_writer(plan):
        restart = request.restart and not follower()
        kept = None if restart else finished(plan)
        if kept is not None:
            other = differences(kept, plan)
            note = f", though trained with {other}" if other else ""
            return f"{plan.member.name}: finished already{note}; kept in {plan.folder} (--restart trains it anew)"
        if plan.settings.folds:
            check_folds(plan)
            if restart:
                _discard(plan)
            return train_folds(plan, lambda fold: train_member(fold, request), request.lines)
        try:
            return _train(plan, request, device, restart)
        except RuntimeError as error:
            if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
                raise
            raise UserError(
                f"{plan.member.name}: the memory of {device} is too small for it; lower training.batch_size "
                f"({plan.settings.batch_size}; training.accumulate makes up for it), training.width or the pack's size"
            ) from None


def _train(plan: Plan, request: FitRequest, device: torch.device, restart: bool) -> str:
    checkpoint = {} if restart else _checkpoint_facts(plan)
    assembly = assemble(plan, device, checkpoint, plan.member.name if request.lines else "")
    if restart:  # not before all that the user may have got wrong has been seen
        _discard(plan)
    if not assembly.history.done and not _fit(plan, request, device, assembly, resume=bool(checkpoint)):
        return ""
    return keep(plan, device, assembly)


def _fit(plan: Plan, request: FitRequest, device: torch.device, assembly: Assembly, resume: bool) -> bool:
    """Run the trainer; say whether this process is the one that keeps what came out."""
    history = assembly.history
    with StopWish() as wish:
        callbacks = [
            *progress_bar(request.bar),
            *early_stopping(plan.settings, assembly.watch),
            history,
            # Last, for the others' news to be in the checkpoint.
            GoOn(plan.checkpoint, wish, lambda: {"digest": plan.digest}),
        ]
        logger = tensorboard(plan.folder, request.tensorboard)
        trainer = make_trainer(plan.settings, device, assembly.epochs, callbacks, logger)
        trainer.fit(
            assembly.module,
            assembly.batches,
            assembly.watched_batches,
            ckpt_path=plan.checkpoint if resume else None,
            weights_only=True,
        )
    return bool(trainer.is_global_zero)


def _checkpoint_facts(plan: Plan) -> dict[str, object]:
    """Return the callbacks' states in the checkpoint that there is, {} where there is none.

    Raises:
        UserError: it is damaged, or of a training with other settings or data.
    """
    if not plan.checkpoint.exists():
        return {}
    checkpoint = read_checkpoint(plan.checkpoint)
    if ours(checkpoint).get("digest") != plan.digest:
        raise UserError(
            f"{plan.checkpoint}: begun with other settings, data or taxonomy, so it cannot be gone on with; undo the "
            f"change, or train it anew with `{plan.command}`"
        )
    states: dict[str, object] = checkpoint["callbacks"]
    return states


@contextmanager
def _only_writer(plan: Plan) -> Iterator[None]:
    if follower():  # the process that started this one holds the lock
        yield
        return
    lock = FileLock(plan.folder / "lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(f"{plan.folder}: another process is training this member; wait for it, or end it") from None
    try:
        yield
    finally:
        lock.release()


def _discard(plan: Plan) -> None:
    # The manifest goes first: without it, nothing that is left over counts as a member.
    for name in (files.MANIFEST, CHECKPOINT, files.WEIGHTS, files.SCORES, files.HISTORY, files.CONFIG, files.TAXONOMY):
        (plan.folder / name).unlink(missing_ok=True)
