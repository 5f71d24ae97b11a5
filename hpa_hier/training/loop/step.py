"""Step: a batch's loss, as it is written or compiled for the device."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hpa_hier.models.losses.loss import Loss
from hpa_hier.models.network import Network
from hpa_hier.settings.training import TrainingSettings

Step = Callable[[Network, Loss, Tensor, Tensor | None, Tensor, Tensor, bool], tuple[Tensor, Tensor]]


def compute_loss(
    network: Network,
    loss: Loss,
    samples: Tensor,
    gain: Tensor | None,
    present: Tensor,
    known: Tensor,
    first_stage: bool,
) -> tuple[Tensor, Tensor]:
    """Return the loss of a batch, and which of its targets are known.

    Args:
        network: that is trained.
        loss: of its logits.
        samples: (B, C, H, W) images or (B, F) vectors, varied.
        gain: (B, C) of the images' intensities; None: 1.
        present: (B, n) targets.
        known: (B, n) which of them are known.
        first_stage: whether the head is in the first of its stages.
    """
    targets, known = network.training_targets(present, known, first_stage=first_stage)
    return loss(network.training_logits(samples, gain, first_stage=first_stage), targets, known), known


def make_step(settings: TrainingSettings, device: torch.device, backend: str = "inductor") -> Step:
    """Return what computes a batch's loss on a device, compiled where the settings ask for it.

    Args:
        settings: `compile` and `cuda_graphs`.
        device: of the network.
        backend: of torch.compile.
    """
    if settings.compile == "never" or (settings.compile == "on_gpu" and device.type == "cpu"):
        return compute_loss
    graphs = settings.cuda_graphs and device.type == "cuda"
    # Batches have one size, and sides come in turn: each shape is compiled for itself.
    compiled: Step = torch.compile(
        compute_loss, dynamic=False, backend=backend, mode="reduce-overhead" if graphs else None
    )
    if not graphs:
        return compiled

    def replay(*arguments: object) -> tuple[Tensor, Tensor]:
        # What the last step left in the graph's memory is no longer read.
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        return compiled(*arguments)  # type: ignore[arg-type]

    return replay
