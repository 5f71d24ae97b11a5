"""Which head: the one that the settings name, with the training part's counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hpa_hier.models.heads.ancestry import Ancestry
from hpa_hier.models.heads.arcface import NeighbourVote
from hpa_hier.models.heads.chain import Chain
from hpa_hier.models.heads.head import Flat, Head
from hpa_hier.models.heads.levels import Levels
from hpa_hier.models.heads.lift import Lifted
from hpa_hier.models.losses.table import LOSSES
from hpa_hier.settings.training import TrainingSettings


@dataclass(frozen=True)
class HeadData:
    """What a head is built for."""

    ancestry: Ancestry  # of the n nodes
    first_guess: np.ndarray  # (n,) probability that the untrained head gives each node, in [0, 1]
    antibodies: int = 0  # that head arcface tells apart; 0: its weights are loaded later
    samples: int = 0  # that it remembers; likewise
    auxiliary_guess: np.ndarray | None = None  # (m,) likewise of the nodes that are only learnt; None: there are none


def build_head(settings: TrainingSettings, features: int, data: HeadData) -> Head:
    """Build the head that the settings name for `features` columns, lifted where the loss trains for that.

    >>> data = HeadData(Ancestry(((), (0,))), np.array([0.5, 0.2]))
    >>> type(build_head(TrainingSettings(head="chain"), 4, data)).__name__
    'Chain'
    """
    head = HEADS[settings.head](settings, features, data)
    return Lifted(head, data.ancestry) if LOSSES[settings.loss].lifts else head


HEADS: dict[str, Callable[[TrainingSettings, int, HeadData], Head]] = {
    "flat": lambda settings, features, data: Flat(features, data.first_guess, settings.dropout),
    "chain": lambda settings, features, data: Chain(features, data.ancestry, data.first_guess, settings.dropout),
    "levels": lambda settings, features, data: Levels(
        features, data.ancestry, data.first_guess, settings.dropout, settings.levels
    ),
    "arcface": lambda settings, features, data: NeighbourVote(
        features, data.first_guess, settings.dropout, settings.arcface, data.antibodies, data.samples
    ),
}
