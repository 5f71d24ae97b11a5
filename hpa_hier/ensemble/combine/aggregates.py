"""The table of aggregates: a new one is a row here and a file of its own."""

from __future__ import annotations

from hpa_hier.ensemble.combine.aggregate import Aggregate
from hpa_hier.ensemble.combine.blend import Blend
from hpa_hier.ensemble.combine.logistic_stack import LogisticStack
from hpa_hier.ensemble.combine.mean import Concat, Mean
from hpa_hier.ensemble.combine.rnn import Rnn

AGGREGATES: dict[str, type[Aggregate]] = {rule.name: rule for rule in (LogisticStack, Mean, Concat, Blend, Rnn)}
