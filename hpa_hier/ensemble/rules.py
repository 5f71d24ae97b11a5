"""Rules by name: every choice that the settings leave to a table, checked with one message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from hpa_hier.ensemble.calibrate.beta import Beta
from hpa_hier.ensemble.calibrate.calibration import Calibration, Uncalibrated
from hpa_hier.ensemble.calibrate.isotonic import Isotonic
from hpa_hier.ensemble.calibrate.platt import Platt
from hpa_hier.ensemble.calibrate.temperature import Temperature
from hpa_hier.ensemble.combine.aggregate import Aggregate
from hpa_hier.ensemble.combine.blend import Blend, Selection
from hpa_hier.ensemble.combine.evidence import Evidence
from hpa_hier.ensemble.combine.logistic_stack import LogisticStack
from hpa_hier.ensemble.combine.mean import Concat, Mean
from hpa_hier.ensemble.combine.reconcile import Lift, Reconciler
from hpa_hier.ensemble.combine.rnn import Rnn
from hpa_hier.ensemble.combine.softmax import Softmax
from hpa_hier.ensemble.decide.threshold_rules import THRESHOLDS
from hpa_hier.errors import UserError
from hpa_hier.files.spelling import did_you_mean
from hpa_hier.settings.recipe import EnsembleSettings

_Rule = TypeVar("_Rule")

# A new rule is a class in a file of its own and a row here.
CALIBRATIONS: dict[str, type[Calibration]] = {
    rule.name: rule for rule in (Beta, Temperature, Platt, Isotonic, Uncalibrated)
}
AGGREGATES: dict[str, type[Aggregate]] = {
    rule.name: rule for rule in (LogisticStack, Mean, Concat, Blend, Selection, Rnn)
}
RECONCILERS: dict[str, type[Reconciler]] = {rule.name: rule for rule in (Evidence, Lift, Softmax)}
TABLES: dict[str, Mapping[str, object]] = {
    "calibrate": CALIBRATIONS,
    "aggregate": AGGREGATES,
    "reconcile": RECONCILERS,
    "thresholds": THRESHOLDS,
}


def choose(table: Mapping[str, _Rule], name: str, setting: str) -> _Rule:
    """Return a rule of a table; `setting` is what names it, such as aggregate.

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
