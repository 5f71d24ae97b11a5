"""Heat maps: where in each picture of the gallery members saw the class that it is shown for, in a bounded time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from hpa_hier.errors import UserError
from hpa_hier.evaluate.gallery.pictures import heat_layer
from hpa_hier.files.extras import import_extra
from hpa_hier.predict.explanation.draw import draw_heat_layer
from hpa_hier.predict.explanation.heat_maps import HeatMaps
from hpa_hier.predict.predictor import Predictor
from hpa_hier.runs.run import Run


@dataclass(frozen=True)
class Heat:
    """A heat map of one class over one picture, or why it lacks."""

    layer: str = ""  # data URI of the map alone, transparent where it is 0; "": there is none
    empty: bool = False  # nothing in the picture speaks for the class
    reason: str = ""  # why there is none, where that is not so of the whole gallery


@dataclass(frozen=True)
class NoHeat:
    """Why no picture has a heat map."""

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
        import_extra("captum", "explain", "heat maps")  # before any network is loaded for them
        return HeatMapper(Predictor.load(run, device), seconds)
    except UserError as error:
        return NoHeat(str(error))


def draw_heat(mapper: HeatMapper, wanted: Iterable[tuple[np.ndarray, str]]) -> list[Heat] | NoHeat:
    """Draw a map for each picture, in their order, while there is time.

    Args:
        mapper: what draws them.
        wanted: image (C, S, S) uint8 and the node that the map is of; what comes first is drawn first.

    Returns:
        One for each picture; or why there can be none of any.
    """
    drawn: list[Heat] = []
    end = mapper.clock() + mapper.seconds
    late = Heat(reason=f"the {mapper.seconds:g} s of report.heat_maps were up")
    for image, node in wanted:
        if drawn and mapper.clock() > end:
            drawn.append(late)
            continue
        try:
            drawn.append(_draw(mapper.explains.heat_maps(image, node)))
        except UserError as error:  # of all pictures alike, such as a library that lacks
            return NoHeat(str(error))
    if drawn and not any(heat.layer for heat in drawn):
        reasons = dict.fromkeys(heat.reason for heat in drawn)
        return NoHeat(next(iter(reasons))) if len(reasons) == 1 else drawn
    return drawn


def _draw(maps: HeatMaps) -> Heat:
    heat = maps.combined
    if heat is None:
        reasons = {absent.reason.rstrip("."): absent.member for absent in maps.absent}
        return Heat(reason="; ".join(f"'{member}' {why}" for why, member in reasons.items()) or "there are no members")
    layer = heat_layer(heat.values, lambda values: draw_heat_layer(replace(heat, values=values)))
    return Heat(layer, heat.empty)
