"""Heat maps: where in each picture of the gallery members saw the class that it is shown for, in a bounded time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from hpa_hier.errors import UserError
from hpa_hier.evaluate.gallery.pictures import heat_layer
from hpa_hier.predict.predictor import Predictor
from hpa_hier.runs.run import Run

if TYPE_CHECKING:
    from hpa_hier.predict.explanation.heat_maps import HeatMaps


@dataclass(frozen=True)
class Heat:
    """A heat map of one class over one picture."""

    layer: str  # data URI of the map alone, transparent where it is 0
    empty: bool  # nothing in the picture speaks for the class


@dataclass(frozen=True)
class NoHeat:
    """Why there is no heat map."""

    reason: str  # a sentence without its stop


class Explains(Protocol):
    """What draws heat maps."""

    def heat_maps(self, image: np.ndarray, node: str) -> HeatMaps:
        """Return where in an image (C, S, S) members saw a node."""
        ...


@dataclass(frozen=True)
class HeatMapper:
    """Draws heat maps until a time is up."""

    explains: Explains
    seconds: float  # for all maps together
    clock: Callable[[], float] = time.monotonic


def find_mapper(run: Run, seconds: float, device: str = "cpu") -> HeatMapper | NoHeat:
    """Return what draws heat maps by the networks of a run, or why there are none.

    Args:
        run: with a fitted ensemble.
        seconds: for all maps of a report together; 0: none are wanted.
        device: where networks are put.
    """
    if not seconds:
        return NoHeat("report.heat_maps is 0")
    try:
        return HeatMapper(Predictor.load(run, device), seconds)
    except UserError as error:
        return NoHeat(str(error))


def draw_heat(mapper: HeatMapper | NoHeat, wanted: Iterable[tuple[np.ndarray, str]]) -> list[Heat | NoHeat]:
    """Draw a map for each picture, in their order, while there is time.

    Args:
        mapper: what draws them, or why there are none.
        wanted: image (C, S, S) uint8 and the node that the map is of; what comes first is drawn first.
    """
    if isinstance(mapper, NoHeat):
        return [mapper for _ in wanted]
    drawn: list[Heat | NoHeat] = []
    end = mapper.clock() + mapper.seconds
    stopped: NoHeat | None = None
    for image, node in wanted:
        if stopped is None and mapper.clock() > end:
            stopped = NoHeat(f"the {mapper.seconds:g} s of report.heat_maps were up")
        if stopped is None:
            try:
                drawn.append(_draw(mapper.explains.heat_maps(image, node)))
                continue
            except UserError as error:  # of all pictures alike, such as a library that lacks
                stopped = NoHeat(str(error))
        drawn.append(stopped)
    return drawn


def _draw(maps: HeatMaps) -> Heat | NoHeat:
    from hpa_hier.predict.explanation.draw import draw_heat_layer

    heat = maps.combined
    if heat is None:
        reasons = dict.fromkeys(absent.reason.rstrip(".") for absent in maps.absent)
        return NoHeat("; ".join(reasons) or "no member answers for it")
    return Heat(heat_layer(heat.values, lambda values: draw_heat_layer(replace(heat, values=values))), heat.empty)
