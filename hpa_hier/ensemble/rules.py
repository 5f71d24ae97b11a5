"""Rules by name: every choice that the settings leave to a table, checked with one message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from hpa_hier.ensemble.calibrate.calibrations import CALIBRATIONS
from hpa_hier.ensemble.combine.aggregates import AGGREGATES
from hpa_hier.ensemble.combine.reconcile import RECONCILERS
from hpa_hier.ensemble.decide.threshold_rules import THRESHOLDS
from hpa_hier.errors import UserError
from hpa_hier.files.spelling import did_you_mean
from hpa_hier.settings.recipe import EnsembleSettings

_Rule = TypeVar("_Rule")

TABLES: dict[str, Mapping[str, object]] = {
    "calibrate": CALIBRATIONS,
    "aggregate": AGGREGATES,
    "reconcile": RECONCILERS,
    "thresholds": THRESHOLDS,
}


def choose(table: Mapping[str, _Rule], name: str, setting: str) -> _Rule:
    """Return a rule of a table.

    Args:
        table: name → rule.
        name: of the rule wanted.
        setting: that names it, such as aggregate.

    Raises:
        UserError: the table has no such rule; the message lists those there are.

    >>> choose({"mean": 1}, "mean", "aggregate")
    1
    """
    if name not in table:
        raise UserError(
            f"ensemble.{setting}: there is no {name!r}; choose one of {', '.join(table)}{did_you_mean(name, table)}"
        )
    return table[name]


def check_rules(settings: EnsembleSettings) -> None:
    """Refuse settings that name a rule there is not, before anything is computed.

    Raises:
        UserError: naming the setting and the choices.
    """
    for setting, table in TABLES.items():
        choose(table, getattr(settings, setting), setting)
