"""Calibrations, and the missing factor, as steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hpa_hier.ensemble.calibrate.beta import Beta
from hpa_hier.ensemble.calibrate.calibration import Calibration
from hpa_hier.ensemble.calibrate.isotonic import Curve, Isotonic
from hpa_hier.ensemble.steps.steps import Value, add, join
from hpa_hier.errors import UserError
from hpa_hier.metrics.arrays import Floats


def write_calibrated(
    logits: Mapping[str, Value], calibrations: Mapping[str, Calibration], factors: Mapping[str, str]
) -> list[Value]:
    """Write each member's calibrated logits, (B, n) as its nodes, those of conditional ones times their factor.

    Args:
        logits: by member.
        calibrations: by member, in order.
        factors: member → the node whose probability its answers are multiplied by.

    Raises:
        UserError: a rule has no steps.
    """
    plain = {name: _calibrate(logits[name], one) for name, one in calibrations.items()}
    return [_multiply(name, plain, calibrations, factors) for name in calibrations]


def _calibrate(logits: Value, rule: Calibration) -> Value:
    write = _CALIBRATIONS.get(type(rule).apply)
    if write is None:
        raise UserError(
            f"ensemble.calibrate: {rule.name} cannot be exported, as ensemble/steps/calibrate.py knows no steps of it"
        )
    return write(logits, rule)


def _straight(logits: Value, rule: Calibration) -> Value:
    return logits * rule.slope + rule.offset


def _beta(logits: Value, rule: Calibration) -> Value:
    assert isinstance(rule, Beta)
    scaled = logits * rule.slope
    low, high = -(-scaled).apply("logaddexp", 0.0), scaled.apply("logaddexp", 0.0)
    return low * rule.low + high * rule.high + rule.offset


def _isotonic(logits: Value, rule: Calibration) -> Value:
    assert isinstance(rule, Isotonic)
    line = _straight(logits, rule)
    return join([_bend(logits.take([j]), line.take([j]), curve) for j, curve in enumerate(rule.curves)])


def _bend(logits: Value, line: Value, curve: Curve) -> Value:
    if curve.share == 0:
        return line
    bent = logits.apply("interp", literals=[list(curve.knots), list(curve.heights)])
    return line * (1 - curve.share) + bent * curve.share


def _multiply(
    name: str, logits: Mapping[str, Value], calibrations: Mapping[str, Calibration], factors: Mapping[str, str]
) -> Value:
    one, node = logits[name], factors.get(name)
    if node is None:
        return one
    sources = [other for other, rule in calibrations.items() if node in rule.nodes and other not in factors]
    columns = [logits[other].take([calibrations[other].nodes.index(node)]) for other in sources]
    factor = add(columns) / float(len(columns))
    return -(-one).apply("logaddexp", -factor).apply("logaddexp", -one - factor)


_CALIBRATIONS: dict[Callable[..., Floats], Callable[[Value, Calibration], Value]] = {
    Calibration.apply: _straight,
    Beta.apply: _beta,
    Isotonic.apply: _isotonic,
}
