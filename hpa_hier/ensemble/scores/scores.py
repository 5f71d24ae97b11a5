"""Scores: what one member says of many samples, with the names of its nodes; and the truth to fit against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from hpa_hier.data.labels.table import Targets
from hpa_hier.errors import UserError
from hpa_hier.metrics.arrays import Bools, Floats


@dataclass(frozen=True)
class Scores:
    """One member's logits."""

    name: str  # the member's name
    ids: tuple[str, ...]  # B sample ids, each once
    nodes: tuple[str, ...]  # n node names, each once
    logits: Floats  # (B, n), finite
    # the node that every image of its training carried, whose probability its answers lack; "" where it was trained on
    # all images
    given: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "logits", np.ascontiguousarray(self.logits, dtype=np.float64))
        shape = (len(self.ids), len(self.nodes))
        if self.logits.shape != shape:
            raise UserError(
                f"scores of '{self.name}' have shape {self.logits.shape}, but {shape[0]} ids and {shape[1]} nodes"
            )
        for what, values in (("id", self.ids), ("node", self.nodes)):
            if len(set(values)) != len(values):
                twice = Counter(values).most_common(1)[0][0]
                raise UserError(f"scores of '{self.name}' name the {what} '{twice}' twice; keep one")
        wrong = np.argwhere(~np.isfinite(self.logits))
        for row, column in wrong[:1]:
            raise UserError(
                f"scores of '{self.name}': {self.logits[row, column]} for '{self.nodes[column]}' of "
                f"'{self.ids[row]}'; scores must be finite, {len(wrong)} are not"
            )

    def take(self, ids: Sequence[str]) -> Scores:
        """Return the rows of these ids, in this order.

        Raises:
            UserError: an id has no row.
        """
        if tuple(ids) == self.ids:
            return self
        row = {sample: i for i, sample in enumerate(self.ids)}
        absent = [sample for sample in ids if sample not in row]
        if absent:
            raise UserError(
                f"member '{self.name}' has no scores for {_some(absent)}; all members must score the same samples"
            )
        return replace(self, ids=tuple(ids), logits=self.logits[[row[sample] for sample in ids]])

    def renamed(self, names: Mapping[str, str]) -> Scores:
        """Return the same scores with nodes called by new names, where `names` has them."""
        return replace(self, nodes=tuple(names.get(node, node) for node in self.nodes))


def join_scores(parts: Sequence[Scores]) -> Scores:
    """Put one member's scores of different samples together, in order."""
    first, *others = parts
    if not others:
        return first
    columns = [[one.nodes.index(node) for node in first.nodes] for one in parts]
    logits = np.concatenate([one.logits[:, order] for one, order in zip(parts, columns, strict=True)])
    return replace(first, ids=tuple(sample for one in parts for sample in one.ids), logits=logits)


@dataclass(frozen=True)
class Truth:
    """What is known of samples."""

    ids: tuple[str, ...]  # B sample ids
    present: Bools  # (B, N) closed targets, columns as taxonomy.nodes
    known: Bools  # (B, N); False where the annotation does not say

    @property
    def targets(self) -> Targets:
        """What is known, without the ids."""
        return Targets(self.present, self.known)

    def take(self, ids: Sequence[str]) -> Truth:
        """Return the rows of these ids, in this order."""
        if tuple(ids) == self.ids:
            return self
        row = {sample: i for i, sample in enumerate(self.ids)}
        rows = [row[sample] for sample in ids]
        return Truth(tuple(ids), self.present[rows], self.known[rows])


def align(members: Iterable[Scores], ids: Sequence[str] | None = None) -> tuple[Scores, ...]:
    """Bring members into the order of their names, and their rows into one order.

    Sums over members and samples then run in the same order whatever order they came in, so results do not
    depend on it in the last bit.

    Rows are put into the order of `ids`; None: of the first member.

    Raises:
        UserError: two members share a name, or they do not score the same samples.
    """
    ordered = sorted(members, key=lambda scores: scores.name)
    names = [scores.name for scores in ordered]
    for name, after in pairwise(names):
        if name == after:
            raise UserError(f"two members are called '{name}'; names must differ")
    if not ordered:
        raise UserError("no member to combine; train at least one")
    wanted = ordered[0].ids if ids is None else tuple(ids)
    result = tuple(scores.take(wanted) for scores in ordered)
    for before in ordered:
        more = sorted(set(before.ids) - set(wanted))
        if more:
            raise UserError(
                f"member '{before.name}' also scores {_some(more)}, which others do not; "
                "all members must score the same samples"
            )
    return result


def _some(values: Sequence[str]) -> str:
    shown = ", ".join(f"'{value}'" for value in values[:3])
    return shown if len(values) <= 3 else f"{shown} and {len(values) - 3} more"
