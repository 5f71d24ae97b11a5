"""Aggregates as steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from hpa_hier.ensemble.combine.aggregate import Aggregate
from hpa_hier.ensemble.combine.blend import Blend
from hpa_hier.ensemble.combine.rnn import LARGEST, Rnn
from hpa_hier.ensemble.combine.weighted_sum import WeightedSum
from hpa_hier.ensemble.steps.steps import Value, add, join
from hpa_hier.errors import UserError
from hpa_hier.metrics.arrays import Floats


def write_aggregate(rule: Aggregate, logits: Sequence[Value], columns: Sequence[Sequence[int]]) -> Value:
    """Write the probabilities that a rule makes of members' calibrated logits, (B, N).

    Args:
        rule: fitted.
        logits: of E members, (B, n) each.
        columns: for each member, which of the N columns its own are.

    Raises:
        UserError: the rule has no steps.
    """
    write = _AGGREGATES.get(type(rule).apply)
    if write is None:
        raise UserError(
            f"ensemble.aggregate: {rule.name} cannot be exported, as ensemble/steps/aggregate.py knows no steps of it"
        )
    return write(rule, logits, columns)


def _weighted_sum(rule: Aggregate, logits: Sequence[Value], columns: Sequence[Sequence[int]]) -> Value:
    assert isinstance(rule, WeightedSum)
    return (_weigh(logits, columns, rule.shares) + rule.offset).apply("sigmoid")


def _blend(rule: Aggregate, logits: Sequence[Value], columns: Sequence[Sequence[int]]) -> Value:
    assert isinstance(rule, Blend)
    return _weigh([one.apply("sigmoid") for one in logits], columns, rule.shares)


def _rnn(rule: Aggregate, logits: Sequence[Value], columns: Sequence[Sequence[int]]) -> Value:
    assert isinstance(rule, Rnn)
    total = _weigh(logits, columns, rule.mean.shares) + rule.mean.offset
    return (total + _correct(rule, logits, columns, total)).apply("sigmoid")


def _weigh(values: Sequence[Value], columns: Sequence[Sequence[int]], weights: Floats) -> Value:
    """Write the sum of members' values, each node with its own weights (E, N)."""
    parts = []
    for value, own, weight in zip(values, columns, weights, strict=True):
        place = {column: j for j, column in enumerate(own)}
        # A node that the member does not answer for has the weight 0, so any column will do.
        parts.append(value.take([place.get(column, 0) for column in range(weights.shape[1])]) * weight)
    return add(parts)


def _correct(rule: Rnn, logits: Sequence[Value], columns: Sequence[Sequence[int]], total: Value) -> Value:
    """Write what the network down the levels adds, (B, N)."""
    weights = {name: np.asarray(values, np.float64) for name, values in rule.parameters.items()}

    def layer(name: str, value: Value) -> Value:
        made = value.apply("matmul", weights[f"{name}.weight"].T)
        return made + weights[f"{name}.bias"] if f"{name}.bias" in weights else made

    shown = join([one.take(np.argsort(own).tolist()) for one, own in zip(logits, columns, strict=True)]) / LARGEST
    features = shown.apply("maximum", -1.0).apply("minimum", 1.0)
    state = layer("start", features).apply("tanh")
    told, answers = state * 0.0, []
    for depth, level in enumerate(rule.levels):
        state = _step(weights, join([features, told]), state)
        answers.append(layer(f"answer.{depth}", state))
        if depth < len(rule.levels) - 1:
            told = layer(f"told.{depth}", (answers[-1] + total.take(level)).apply("sigmoid"))
    order = [column for level in rule.levels for column in level]
    return join(answers).take(np.argsort(order).tolist())


def _step(weights: dict[str, Floats], inputs: Value, state: Value) -> Value:
    """Write a step of a gated recurrent unit, as torch.nn.GRUCell has it."""
    given, kept = (
        value.apply("matmul", weights[f"cell.weight_{name}"].T) + weights[f"cell.bias_{name}"]
        for name, value in (("ih", inputs), ("hh", state))
    )
    width = len(weights["cell.bias_hh"]) // 3
    reset, update, new = (range(k * width, (k + 1) * width) for k in range(3))
    opened = (given.take(reset) + kept.take(reset)).apply("sigmoid")
    proposed = (given.take(new) + opened * kept.take(new)).apply("tanh")
    return proposed + (given.take(update) + kept.take(update)).apply("sigmoid") * (state - proposed)


_AGGREGATES: dict[Callable[..., Floats], Callable[[Aggregate, Sequence[Value], Sequence[Sequence[int]]], Value]] = {
    WeightedSum.apply: _weighted_sum,
    Blend.apply: _blend,
    Rnn.apply: _rnn,
}
