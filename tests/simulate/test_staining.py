"""Staining of real-looking fields: every place shows, light is partly unspecific and grainy, strengths vary."""

from __future__ import annotations

import numpy as np
import pytest

from hpa_hier.simulate.cells import Needs, draw_cells
from hpa_hier.simulate.geometry import Scene, make_scene
from hpa_hier.simulate.labelsets import LEAVES
from hpa_hier.simulate.staining import draw_real_places, draw_real_strengths, real_green, real_red, real_yellow


def scene_of(seed: int, size: int = 96) -> Scene:
    rng = np.random.default_rng(seed)
    needs = Needs(metaphase=True, parting=True, touching=True, radius=0.16 * size, real=True)
    return make_scene(rng, draw_cells(rng, size, needs), size)


@pytest.mark.parametrize("label", sorted(LEAVES, key=int))
def test_each_place_shows_in_a_real_looking_field(label: str) -> None:
    for seed in (3, 4):
        drawn = draw_real_places(scene_of(seed), np.random.default_rng(seed), {label: 1.0})[label]
        assert np.isfinite(drawn).all()
        assert 0.2 < drawn.max() < 20  # before the camera scales it
        assert (drawn > 0.3 * drawn.max()).mean() < 0.9


def test_green_holds_light_that_no_label_speaks_of() -> None:
    scene = scene_of(5)
    lit = [real_green(scene, np.random.default_rng(seed), {}) for seed in range(6)]
    inside, outside = scene.owner >= 0, scene.owner < 0
    assert all(light[inside].mean() > 2 * light[outside].mean() > 0 for light in lit)


def test_a_proteins_second_place_may_be_weak_and_the_brightest_is_one() -> None:
    drawn = [draw_real_strengths(np.random.default_rng(seed), ("0", "7", "25")) for seed in range(40)]
    assert all(max(strengths.values()) == 1 for strengths in drawn)
    weakest = [min(strengths.values()) for strengths in drawn]
    assert 0.3 <= min(weakest) < 0.4
    assert max(weakest) > 0.6


@pytest.mark.parametrize("stain", [real_red, real_yellow])
def test_structural_stains_fill_cells_and_spare_nuclei(stain: object) -> None:
    scene = scene_of(6)
    light = np.mean([stain(scene, np.random.default_rng(seed)) for seed in range(6)], axis=0)  # type: ignore[operator]
    cytoplasm, nucleus = scene.cytoplasm > 0.9, scene.nucleus > 0.9
    assert light[cytoplasm].mean() > 1.5 * light[nucleus].mean()
    assert light[scene.owner < 0].mean() < 0.2 * light[cytoplasm].mean()
