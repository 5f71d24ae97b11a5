"""A heat map below each picture while there is time, and a reason where there is none."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from hpa_hier.errors import UserError
from hpa_hier.evaluate.gallery.heat_maps import Heat, HeatMapper, NoHeat, draw_heat, find_mapper
from hpa_hier.predict.explanation.heat_maps import Absent, HeatMap, HeatMaps

IMAGE = np.zeros((4, 8, 8), np.uint8)


@dataclass
class Explains:
    """Answers with maps made here, and notes what was asked."""

    maps: list[object]
    asked: list[str] = field(default_factory=list)

    def heat_maps(self, image: np.ndarray, node: str) -> HeatMaps:
        self.asked.append(node)
        found = self.maps.pop(0)
        if isinstance(found, Exception):
            raise found
        return found


def maps(heat: float | None) -> HeatMaps:
    if heat is None:
        return HeatMaps("Golgi", "grad_cam", (), None, (Absent("frozen", "is no network of ours"),))
    values = np.full((8, 8), heat, np.float32)
    return HeatMaps("Golgi", "grad_cam", (), HeatMap("Golgi", "ensemble", "grad_cam", values, (4, 4)), ())


def test_each_picture_gets_the_map_of_its_own_class():
    explains = Explains([maps(1.0), maps(0.0)])
    first, second = draw_heat(HeatMapper(explains, 60), [(IMAGE, "Golgi"), (IMAGE, "Nucleoli")])
    assert explains.asked == ["Golgi", "Nucleoli"]
    assert first.layer.startswith("data:image/webp")
    assert (first.empty, second.empty) == (False, True)


def test_when_the_time_is_up_the_rest_is_left_out_and_says_so():
    ticks = iter([0.0, 1.0, 99.0])
    mapper = HeatMapper(Explains([maps(1.0)] * 3), 5, lambda: next(ticks))
    first, second, third = draw_heat(mapper, [(IMAGE, "Golgi")] * 3)
    assert all(one.layer for one in (first, second))
    assert third == Heat(reason="the 5 s of report.heat_maps were up")


def test_a_picture_whose_class_no_member_can_explain_says_why():
    _, second = draw_heat(HeatMapper(Explains([maps(1.0), maps(None)]), 60), [(IMAGE, "Golgi")] * 2)
    assert second == Heat(reason="'frozen' is no network of ours")


def test_what_holds_of_all_pictures_is_said_once():
    assert draw_heat(HeatMapper(Explains([maps(None)] * 2), 60), [(IMAGE, "Golgi")] * 2) == NoHeat(
        "'frozen' is no network of ours"
    )
    lacks = UserError("captum is not installed: pip install 'hpa-hier[explain]'")
    assert draw_heat(HeatMapper(Explains([lacks]), 60), [(IMAGE, "Golgi")] * 2) == NoHeat(str(lacks))


def test_no_seconds_mean_no_maps():
    assert find_mapper(None, 0) == NoHeat("report.heat_maps is 0")


@pytest.mark.parametrize("seconds", [0.5, 60])
def test_a_run_without_a_fitted_ensemble_has_no_maps_and_the_reason_is_its_own(tmp_path, seconds):
    from evaluated_run import make_run

    from hpa_hier.runs.run import Run

    found = find_mapper(Run.open(make_run(tmp_path, count=120, size=16)), seconds)
    assert isinstance(found, NoHeat)
    assert "ensemble" in found.reason
