"""The logistic function and its inverse: scipy's, which is imported when the first of them is computed."""

from __future__ import annotations

from typing import Any


def expit(values: Any, out: Any = None) -> Any:  # noqa: ANN401 - what a function of numpy takes and gives
    """Return 1 / (1 + exp(-x)) of numbers.

    >>> float(expit(0.0))
    0.5
    """
    from scipy import special  # takes a tenth of a second, for which an answer would have to wait

    return special.expit(values, out=out)


def logit(values: Any, out: Any = None) -> Any:  # noqa: ANN401
    """Return log(p / (1 - p)) of probabilities; -inf of 0, inf of 1.

    >>> float(logit(0.5))
    0.0
    """
    from scipy import special

    return special.logit(values, out=out)
