"""Training by metric: antibodies are told apart, and after each epoch the training part is remembered and votes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hpa_hier.errors import UserError
from hpa_hier.members.score import score
from hpa_hier.models.heads.arcface import arcface
from hpa_hier.models.losses.elementwise import Loss
from hpa_hier.models.network import Network, head_that_votes
from hpa_hier.runs.part import Part
from hpa_hier.training.loop.module import Optimising, Training
from hpa_hier.training.plan import Plan

_AT_ONCE = 256  # images read into memory at a time


@dataclass(frozen=True)
class Bank:
    """The samples that vote, and how they are read."""

    part: Part  # the training part, with the member's nodes
    read: Callable[[np.ndarray], np.ndarray]  # rows of the pack → what the network takes

    def fill(self, network: Network) -> None:
        """Embed every sample with a network in evaluation mode, and let its head remember them."""
        head = head_that_votes(network)
        device, width = head.bank.device, head.bank.shape[1]
        rows = self.part.rows
        embedded = [
            score(
                lambda batch: head.embedding(network.features(batch)),
                self.read(rows[first : first + _AT_ONCE]),
                width,
                device,
            )
            for first in range(0, len(rows), _AT_ONCE)
        ]
        present, known = (torch.from_numpy(mask).to(device) for mask in (self.part.present, self.part.known))
        head.remember(torch.from_numpy(np.concatenate(embedded)).to(device), present, known)


class ArcfaceTraining(Training):
    """A training whose steps tell antibodies apart, and whose watched figures are those of the nearest samples' vote.

    Args:
        network: with a head that votes.
        loss: of the vote on the calibration part; it is watched, and nothing is trained by it.
        optimising: learning rate and its course.
        calibration: the part that is watched.
        seed: of everything random in a step.
    """

    def __init__(self, network: Network, loss: Loss, optimising: Optimising, calibration: Part, seed: int) -> None:
        super().__init__(network, loss, optimising, calibration, seed)
        self._loss_of_votes, self._loss = loss, self._loss_of_phase
        self.bank: Bank | None = None
        self.scale, self.margin = 1.0, 0.0

    def on_validation_epoch_start(self) -> None:
        """Remember the training part with the weights as they are now."""
        assert self.bank is not None
        self.bank.fill(self.kept)

    def _loss_of_phase(self, logits: Tensor, present: Tensor, known: Tensor) -> Tensor:
        if self.training:
            return arcface(logits, present, self.scale, self.margin)
        return self._loss_of_votes(logits, present, known)


def antibody_part(plan: Plan, train: Part) -> Part:
    """Return the training part with antibodies in place of nodes; a sample of none is one by itself.

    Raises:
        UserError: no antibody has two training images, or several devices are asked for.
    """
    if plan.settings.devices * plan.settings.nodes > 1:
        raise UserError("training.head: arcface is trained on one device; set training.devices and nodes to 1")
    groups = plan.run.pack.groups
    numbers: dict[str, int] = {}
    own = [numbers.setdefault(groups[row] or f"\0{row}", len(numbers)) for row in train.rows.tolist()]
    if len(numbers) == len(own):
        raise UserError(
            "training.head: arcface learns from several images of one antibody, and here every image has its own; "
            "give the label table a column 'antibody' or 'group' and pack again, or choose another head"
        )
    present = np.zeros((len(own), len(numbers)), dtype=bool)
    present[np.arange(len(own)), own] = True
    return Part(train.rows, present, np.broadcast_to(np.bool_(True), present.shape))
