"""Heat maps as values: where a picture raised what a member, or the ensemble, says of a node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from hpa_hier.errors import UserError
from hpa_hier.files.spelling import did_you_mean

Method = Literal["grad_cam", "integrated_gradients"]
METHODS: tuple[Method, ...] = get_args(Method)
METHOD_NAMES: dict[Method, str] = {
    "grad_cam": "gradient-weighted activations",
    "integrated_gradients": "integrated gradients",
}
ENSEMBLE = "ensemble"  # in the place of a member's name: the maps of all together
HEAT_MAP_NOTE = (
    "Bright is what spoke most for this answer, compared with the rest of the same picture. It is not an outline of "
    "where the protein is, and it does not say how sure the answer is."
)
_BLUR = 1 / 96  # of the side; integrated gradients differ from pixel to pixel by more than they tell


@dataclass(frozen=True)
class HeatMap:
    """Where a picture raised the log-odds of a node."""

    node: str
    member: str  # or ENSEMBLE
    method: Method
    values: np.ndarray  # (H, W) float32 in [0, 1], at the size of the picture; the largest is 1, or all are 0
    grid: tuple[int, int]  # rows and columns that it was computed at

    @classmethod
    def from_raw(cls, raw: np.ndarray, node: str, member: str, method: Method, size: tuple[int, int]) -> HeatMap:
        """Make a map of what was computed, (h, w) float32 of any sign; what lowers the node counts as 0."""
        import cv2  # takes a fifth of a second to import

        positive = np.maximum(np.nan_to_num(raw), 0).astype(np.float32)
        if positive.shape == size:
            positive = cv2.GaussianBlur(positive, (0, 0), max(size) * _BLUR)
        values = cv2.resize(positive, size[::-1], interpolation=cv2.INTER_LINEAR)
        return cls(node, member, method, scale(values), (raw.shape[0], raw.shape[1]))

    @property
    def empty(self) -> bool:
        """Whether nothing in the picture raises the node."""
        return not self.values.any()

    def describe(self) -> str:
        """Return how fine it is, or that it is empty."""
        if self.empty:
            return "nothing in the picture speaks for it"
        return "pixel by pixel" if self.grid == self.values.shape else "on a grid of {} × {}".format(*self.grid)

    def to_json(self) -> dict[str, Any]:
        """Return what is known of it without its pixels."""
        return {"member": self.member, "grid": list(self.grid), "empty": self.empty}


@dataclass(frozen=True)
class Absent:
    """A member that has no map, and why."""

    member: str
    reason: str


@dataclass(frozen=True)
class HeatMaps:
    """The maps of one node, of each member that has one, and of all together."""

    node: str
    method: Method
    maps: tuple[HeatMap, ...]
    combined: HeatMap | None  # None: no member has one
    absent: tuple[Absent, ...]

    def find(self, member: str | None = None) -> HeatMap:
        """Return the map of a member; None: of all together.

        Raises:
            UserError: there is none; the message says why.
        """
        if member in (None, ENSEMBLE):
            if self.combined is None:
                why = "; ".join(f"'{one.member}' {one.reason}" for one in self.absent) or "it has no members"
                raise UserError(f"no heat map of {self.node}: {why}")
            return self.combined
        found = next((one for one in self.maps if one.member == member), None)
        if found is None:
            why = next((one.reason for one in self.absent if one.member == member), "is no member of this ensemble")
            raise UserError(f"no heat map of {self.node}: '{member}' {why}")
        return found

    def describe(self) -> list[str]:
        """Return lines on which members have a map, and why others have none."""
        lines = [f"heat map of {self.node}, by {METHOD_NAMES[self.method]}"]
        lines += [f"  {one.member}: {one.describe()}" for one in self.maps]
        return [*lines, *(f"  no map: {line}" for line in self.describe_absent())]

    def describe_absent(self) -> list[str]:
        """Return a line for each reason why some members have no map, with their names."""
        reasons = dict.fromkeys(one.reason for one in self.absent)
        names = {reason: ", ".join(one.member for one in self.absent if one.reason == reason) for reason in reasons}
        return [f"{members} ({reason})" for reason, members in names.items()]

    def to_json(self) -> dict[str, Any]:
        """Return which maps there are and which are not, without pixels."""
        return {
            "node": self.node,
            "method": self.method,
            "maps": [one.to_json() for one in self.maps],
            "combined": self.combined.to_json() if self.combined else None,
            "absent": [vars(one) for one in self.absent],
        }


def combine(maps: Sequence[HeatMap], weights: Sequence[float]) -> HeatMap | None:
    """Return the weighted mean of maps of one node, as a map; None: there are none.

    Args:
        maps: of members.
        weights: of each, as the ensemble weighs the members; those below 0 count as 0, and where all are, the same.
    """
    if not maps:
        return None
    shares = np.maximum(np.asarray(weights, np.float32), 0)
    shares = shares / shares.sum() if shares.any() else np.full(len(maps), 1 / len(maps), np.float32)
    total = sum(share * one.values for share, one in zip(shares, maps, strict=True))
    first = maps[0]
    finest = max(one.grid for one in maps)
    return HeatMap(first.node, ENSEMBLE, first.method, scale(np.asarray(total, np.float32)), finest)


def scale(values: np.ndarray) -> np.ndarray:
    """Divide by the largest value, where there is one above 0.

    >>> scale(np.array([[0.0, 4.0]], np.float32))
    array([[0., 1.]], dtype=float32)
    """
    most = float(values.max(initial=0.0))
    return (values / most if most > 0 else np.zeros_like(values)).astype(np.float32)


def check_method(method: str) -> Method:
    """Return a method's name; a UserError lists them where there is no such one."""
    for one in METHODS:
        if one == method:
            return one
    raise UserError(f"no heat maps are made by '{method}'; it is {' or '.join(METHODS)}{did_you_mean(method, METHODS)}")
