"""Step: a batch's loss, as it is written or compiled for the device."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hpa_hier.models.losses.loss import Loss
from hpa_hier.models.network import Network
from hpa_hier.settings.training import TrainingSettings

_WORTH = 2000  # steps below which compiling on a GPU takes longer than it can save

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


def make_step(settings: TrainingSettings, device: torch.device, steps: int, backend: str = "inductor") -> Step:
    """Return what computes a batch's loss on a device, compiled where the settings ask for it.

    Where it cannot be compiled, as without a C compiler, one line says so, and it is computed as it is written.

    Args:
        settings: `compile` and `cuda_graphs`.
        device: of the network.
        steps: of the training.
        backend: of torch.compile.
    """
    pays = device.type != "cpu" and steps >= _WORTH
    if settings.compile == "never" or (settings.compile == "on_gpu" and not pays):
        return compute_loss
    one_batch = settings.accumulate * settings.devices * settings.nodes == 1
    graphs = settings.cuda_graphs and device.type == "cuda" and one_batch
    mode = "reduce-overhead" if graphs else None
    # Batches have one size, and sides come in turn: each shape is compiled for itself.
    compiled: Step = torch.compile(compute_loss, dynamic=False, backend=backend, mode=mode)
    works: list[Step] = []  # once the first batch has shown which

    def run(*arguments: Any) -> tuple[Tensor, Tensor]:  # noqa: ANN401 - those of `compute_loss`
        if graphs:  # what the last step left in the graph's memory is no longer read
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        if not works:
            try:
                return compiled(*arguments)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # a compiler fails in any of a dozen ways
                reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
                print(f"training.compile: this machine cannot ({reason}); it trains without", file=sys.stderr)
                works.append(compute_loss)
                return compute_loss(*arguments)
            finally:
                if not works:
                    works.append(compiled)
        return works[0](*arguments)

    return run
