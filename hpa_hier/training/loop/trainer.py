"""Lightning's Trainer, set up for one member."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import TensorBoardLogger

from hpa_hier.errors import UserError
from hpa_hier.models.precision import Precision, precision_for
from hpa_hier.settings.training import MLP, TrainingSettings
from hpa_hier.training.loop.checkpoint import WholeFiles
from hpa_hier.training.loop.history import Watch
from hpa_hier.training.processes.environment import TeamEnvironment
from hpa_hier.training.processes.team import ALONE, Team

_CHATTER = (
    ".*does not have many workers.*",  # batches come from a memory map; workers would only slow them down
    ".*dataloader is not resumable.*",  # ours is: it is moved to its step
    ".*ended before the epoch ended and your dataloader.*",
    ".*smaller than the logging interval.*",
    ".*all_gather is deprecated.*",
    ".*when logging on epoch level in distributed setting.*",  # every process computes the metrics of the whole part
    ".*isinstance.*LeafSpec.*",
    ".*GPU available but not used.*",
    ".*MPS available but not used.*",
    ".*srun. command is available.*",
    ".*[Ss]tarting from v1.9.0, .tensorboardX. has been removed.*",
)


def silence_lightning() -> None:
    """Silence Lightning's own messages; this package prints what a user can act on."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in _CHATTER:
        warnings.filterwarnings("ignore", message=message)


def training_precision(settings: TrainingSettings, device: torch.device) -> Precision:
    """Return the precision of a training; the layers on a frozen backbone are as small as an mlp."""
    if settings.precision == "auto":
        return precision_for(device, MLP if settings.frozen else settings.backbone)
    return settings.precision


def make_trainer(
    settings: TrainingSettings,
    device: torch.device,
    epochs: int,
    callbacks: Sequence[pl.Callback],
    tensorboard: Path | None = None,
    team: Team = ALONE,
) -> pl.Trainer:
    """Set up a Trainer, which stops early where the settings ask for it.

    Args:
        settings: devices, nodes, precision, and the metric that early stopping watches.
        device: of the first process.
        epochs: at most.
        callbacks: in the order in which they are called.
        tensorboard: folder for TensorBoard's curves; None writes none.
        team: the processes, as many as devices and nodes ask for.

    Raises:
        UserError: TensorBoard is wanted and not installed.
    """
    several = team.several
    # While a backbone is frozen, processes have no gradients of it to exchange.
    strategy = "auto" if not several else "ddp_find_unused_parameters_true" if settings.freeze_epochs else "ddp"
    first: list[pl.Callback] = []
    if settings.stop_on != "none":
        watch = Watch(settings.stop_on)
        # Checked once the metrics are computed, not at the epoch's end: by then our checkpoint is written.
        first.append(
            EarlyStopping(watch.metric, mode=watch.mode, patience=settings.patience, check_on_train_epoch_end=False)
        )
    try:
        logger = TensorBoardLogger(tensorboard, name="", version="tensorboard") if tensorboard else False
    except ModuleNotFoundError:
        raise UserError("--tensorboard: not installed; run pip install 'hpa-hier[tensorboard]'") from None
    return pl.Trainer(
        accelerator={"cuda": "gpu"}.get(device.type, device.type),
        devices=[device.index + more for more in range(settings.devices)]
        if device.type == "cuda"
        else settings.devices,
        num_nodes=settings.nodes,
        strategy=strategy,
        precision=training_precision(settings, device),
        max_epochs=epochs,
        accumulate_grad_batches=settings.accumulate,
        callbacks=[*first, *callbacks],
        logger=logger,
        plugins=[WholeFiles(), TeamEnvironment(team)] if several else [WholeFiles()],
        log_every_n_steps=1,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        sync_batchnorm=several and device.type == "cuda",  # CPUs have none
        enable_autolog_hparams=False,
    )
