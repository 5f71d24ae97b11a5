"""Training an ArcFace head: antibodies are its classes, and the training part is remembered to vote on other images."""

from __future__ import annotations

from collections.abc import Sequence

import lightning.pytorch as pl
import numpy as np
import torch

from hpa_hier.errors import UserError
from hpa_hier.members.score import score_rows
from hpa_hier.metrics.groups import number_units
from hpa_hier.models.heads.arcface import find_vote
from hpa_hier.models.network import Network
from hpa_hier.runs.run import Part
from hpa_hier.training.batches.order import Read


class Bank(pl.Callback):
    """Has the network remember the samples that vote, each time before the calibration part is scored.

    Comes after the moving average among the callbacks, as the weights that are watched embed the samples.

    Args:
        part: the training part, with the member's nodes.
        read: from rows of the pack to what the network takes.
    """

    def __init__(self, part: Part, read: Read) -> None:
        self._part, self._read = part, read

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Embed the training part with the weights as they are now, and have the head remember it."""
        network: Network = pl_module.network  # type: ignore[assignment]
        head, rows = find_vote(network), self._part.rows
        embedded = np.empty((len(rows), head.bank.shape[1]), np.float32)
        score_rows(
            lambda batch: head.embedding(network.final_features(batch)), self._read, rows, embedded, head.bank.device
        )
        head.remember(*map(torch.from_numpy, (embedded, self._part.present, self._part.known)))


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
    present = own[:, None] == np.arange(count)
    return Part(train.rows, present, np.broadcast_to(np.bool_(True), present.shape))
