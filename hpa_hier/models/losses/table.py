"""All losses by name; a new one is a function and a row in its file, and its name and numbers in the settings."""

from __future__ import annotations

from hpa_hier.models.losses import balanced, elementwise, max_constraint
from hpa_hier.models.losses.loss import LossRule

LOSSES: dict[str, LossRule] = {**elementwise.LOSSES, **balanced.LOSSES, **max_constraint.LOSSES}
