"""Thresholds by hand: values that a recipe gives some nodes, in the place of fitted ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from hpa_hier.ensemble.decide.thresholds import Thresholds
from hpa_hier.errors import UserError
from hpa_hier.files.spelling import did_you_mean


def set_by_hand(thresholds: Thresholds, values: Mapping[str, float]) -> Thresholds:
    """Put values set by hand in the place of fitted ones; they have no interval.

    Args:
        thresholds: of all nodes.
        values: node → threshold in (0, 1).

    Raises:
        UserError: no such node.
    """
    unknown = next((node for node in values if node not in thresholds.nodes), None)
    if unknown is not None:
        raise UserError(
            f"ensemble.hand_thresholds: no node is called {unknown!r}{did_you_mean(unknown, thresholds.nodes)}"
        )
    mine = np.array([node in values for node in thresholds.nodes])
    by_hand = np.array([values.get(node, np.nan) for node in thresholds.nodes])
    return replace(
        thresholds,
        values=np.where(mine, by_hand, thresholds.values),
        rules=tuple("hand" if own else rule for own, rule in zip(mine, thresholds.rules, strict=True)),
        low=np.where(mine, np.nan, thresholds.low),
        high=np.where(mine, np.nan, thresholds.high),
    )
