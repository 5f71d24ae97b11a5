"""Clutter: it lies between cells, and defocus spreads the light of the cells it is about, and of no others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hpa_hier.data.images.channels import CHANNELS
from hpa_hier.simulate.cells import Needs, draw_cells
from hpa_hier.simulate.clutter import Clutter, add_clutter, draw_clutter
from hpa_hier.simulate.geometry import Scene, make_scene


def scene_of(seed: int, size: int = 128) -> Scene:
    rng = np.random.default_rng(seed)
    return make_scene(rng, draw_cells(rng, size, Needs(radius=14.0, real=True)), size)


def clutter_of(scene: Scene, **changed: object) -> Clutter:
    count = 300
    still = Clutter(
        place=np.random.default_rng(0).uniform(0, scene.size, (count, 2)),
        bright={c: np.ones(count) for c in CHANNELS},
        size=np.zeros(count, int),
        sigma=(1.0, 3.0),
        away=np.zeros(len(scene.cells), bool),
        defocus=3.0,
        dimmed=0.5,
    )
    return replace(still, **changed)  # type: ignore[arg-type]


def test_debris_lies_between_cells_and_is_as_bright_as_the_channel() -> None:
    scene = scene_of(1)
    light = 5 * scene.inside
    seen = add_clutter(scene, light, "red", clutter_of(scene))
    deep = scene.inside == 1
    assert np.allclose(seen[deep], light[deep])
    assert 0.5 * light.max() < seen[scene.inside == 0].max() < 2 * light.max()


def test_cells_out_of_focus_are_dimmed_and_blurred_and_the_others_stay() -> None:
    scene = scene_of(2)
    away = np.zeros(len(scene.cells), bool)
    away[0] = True
    seen = add_clutter(scene, scene.inside, "blue", clutter_of(scene, place=np.zeros((0, 2)), away=away))
    own = scene.owner == 0
    assert seen[own].mean() < 0.55
    assert (seen[~own] >= scene.inside[~own] - 1e-6).all()
    assert seen.sum() < scene.inside.sum()


def test_fields_differ_in_clutter_and_some_have_next_to_none() -> None:
    scene = scene_of(3)
    numbers = [len(draw_clutter(scene, np.random.default_rng(seed)).place) for seed in range(30)]
    assert min(numbers) < 10
    assert max(numbers) > 80
