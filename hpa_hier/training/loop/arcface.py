"""Training an ArcFace head: antibodies are its classes, and the training part is remembered to vote on other images."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor

from hpa_hier.errors import UserError
from hpa_hier.members.score import score
from hpa_hier.metrics.groups import number_units
from hpa_hier.models.heads.arcface import arcface, find_vote
from hpa_hier.models.losses.loss import Loss
from hpa_hier.models.network import Network
from hpa_hier.runs.run import Part

_AT_ONCE = 256  # images read into memory at a time


class Bank(pl.Callback):
    """Has the network remember the samples that vote, each time before the calibration part is scored.

    Comes after the moving average among the callbacks, as the weights that are watched embed the samples.

    Args:
        part: the training part, with the member's nodes.
        read: from rows of the pack to what the network takes.
    """

    def __init__(self, part: Part, read: Callable[[np.ndarray], np.ndarray]) -> None:
        self._part, self._read = part, read

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remember the training part with the weights as they are now."""
        self.fill(pl_module.network)  # type: ignore[arg-type]

    def fill(self, network: Network) -> None:
        """Embed every sample with a network in evaluation mode, and have its head remember them."""
        head = find_vote(network)
        device, width = head.bank.device, head.bank.shape[1]
        rows = self._part.rows
        embedded = [
            score(
                lambda batch: head.embedding(network.final_features(batch)),
                self._read(rows[first : first + _AT_ONCE]),
                width,
                device,
            )
            for first in range(0, len(rows), _AT_ONCE)
        ]
        present, known = (torch.from_numpy(mask).to(device) for mask in (self._part.present, self._part.known))
        head.remember(torch.from_numpy(np.concatenate(embedded)).to(device), present, known)


def arcface_loss(scale: float, margin: float) -> Loss:
    """Return `arcface` as a loss of training batches, whose nodes are antibodies, all known."""

    def loss(cosines: Tensor, present: Tensor, known: Tensor) -> Tensor:
        return arcface(cosines, present, scale, margin)

    return loss


def antibody_part(train: Part, groups: Sequence[str]) -> Part:
    """Return the training part with antibodies as its nodes.

    Args:
        train: the training part.
        groups: antibody of each sample of the pack; one without ("") counts as one of its own.

    Raises:
        UserError: no antibody has two training images.

    >>> part = Part(np.arange(3), np.zeros((3, 1), bool), np.ones((3, 1), bool))
    >>> antibody_part(part, ["HPA1", "", "HPA1"]).present.astype(int)
    array([[1, 0],
           [0, 1],
           [1, 0]])
    """
    own = number_units([groups[row] for row in train.rows.tolist()])
    count = int(own.max()) + 1
    if count == len(own):
        raise UserError(
            "training.head: arcface learns from several images of one antibody, and here every image has its own; "
            "give the label table a column 'antibody' or 'group' and pack again, or choose another head"
        )
    present = np.zeros((len(own), count), dtype=bool)
    present[np.arange(len(own)), own] = True
    return Part(train.rows, present, np.broadcast_to(np.bool_(True), present.shape))
