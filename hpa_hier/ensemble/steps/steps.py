"""Steps: operations on arrays, one after another, as data that JSON holds; written down instead of being computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

OPERATIONS = (  # that a reader knows, by numpy's names; in the last line its own, as in predict/export/reader.py
    *("array", "interp", "add", "subtract", "multiply", "divide", "negative", "exp", "log", "log1p", "expm1"),
    *("logaddexp", "tanh", "matmul", "maximum", "minimum", "where", "greater_equal", "equal", "logical_and"),
    *("member", "sigmoid", "logit", "take", "join", "largest", "total", "best", "row"),
)


@dataclass
class Steps:
    """Operations on arrays whose rows are samples; each gives a value, which later ones name by its number.

    >>> steps = Steps()
    >>> _ = steps.member("leaf") * 2.0
    >>> steps.written
    [['member', [], 'leaf'], ['array', [], 2.0], ['multiply', [0, 1]]]
    """

    written: list[list[Any]] = field(default_factory=list)

    def write(self, operation: str, *values: Value, literals: Sequence[Any] = ()) -> Value:
        """Write an operation on earlier values, with further arguments as they are, and return what it gives."""
        assert operation in OPERATIONS
        self.written.append([operation, [value.number for value in values], *literals])
        return Value(self, len(self.written) - 1)

    def member(self, name: str) -> Value:
        """Return a member's logits, (B, n)."""
        return self.write("member", literals=[name])

    def constant(self, value: ArrayLike) -> Value:
        """Return a number, or an array that broadcasts against (B, n)."""
        return self.write("array", literals=[np.asarray(value).tolist()])


@dataclass(frozen=True, eq=False)
class Value:
    """What a step gives, (B, n); operators write further steps."""

    steps: Steps
    number: int

    def apply(self, operation: str, *others: Value | ArrayLike, literals: Sequence[Any] = ()) -> Value:
        """Write an operation of this value and others; what is no value is a constant."""
        values = [one if isinstance(one, Value) else self.steps.constant(one) for one in others]
        return self.steps.write(operation, self, *values, literals=literals)

    def __add__(self, other: Value | ArrayLike) -> Value:
        return self.apply("add", other)

    def __sub__(self, other: Value | ArrayLike) -> Value:
        return self.apply("subtract", other)

    def __mul__(self, other: Value | ArrayLike) -> Value:
        return self.apply("multiply", other)

    def __truediv__(self, other: Value | ArrayLike) -> Value:
        return self.apply("divide", other)

    def __neg__(self) -> Value:
        return self.apply("negative")

    def __and__(self, other: Value | ArrayLike) -> Value:
        return self.apply("logical_and", other)

    def __ge__(self, other: Value | ArrayLike) -> Value:
        return self.apply("greater_equal", other)

    def take(self, columns: Sequence[int]) -> Value:
        """Return some columns, (B, len(columns)), in this order."""
        return self.apply("take", literals=[list(map(int, columns))])

    def largest(self, groups: Sequence[Sequence[int]]) -> Value:
        """Return, (B, len(groups)), of each group of columns the largest; of booleans, whether any is true."""
        return self.apply("largest", literals=[[list(map(int, group)) for group in groups]])

    def total(self, groups: Sequence[Sequence[int]]) -> Value:
        """Return, (B, len(groups)), of each group of columns the sum."""
        return self.apply("total", literals=[[list(map(int, group)) for group in groups]])

    def best(self) -> Value:
        """Return the number of the column with the largest value, the first among equals, (B, 1)."""
        return self.apply("best")

    def row(self, rows: ArrayLike) -> Value:
        """Return rows of an array (m, k) by their numbers, which this value (B, 1) is: (B, k)."""
        return self.apply("row", literals=[np.asarray(rows).tolist()])

    def is_zero(self) -> Value:
        """Return where it is 0."""
        return self.apply("equal", 0.0)

    def choose(self, one: Value | ArrayLike, other: Value | ArrayLike) -> Value:
        """Return `one` where this is true, `other` elsewhere."""
        return self.apply("where", one, other)


def join(parts: Sequence[Value]) -> Value:
    """Put the columns of values (B, n) side by side; at least one, and none a constant."""
    first, *others = parts
    return first.apply("join", *others) if others else first


def add(parts: Sequence[Value]) -> Value:
    """Return the sum of values, at least one, in their order."""
    total, *others = parts
    for one in others:
        total = total + one
    return total
