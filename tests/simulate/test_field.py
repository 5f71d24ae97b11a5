"""Simulated fields: same bits for the same seed, whole masks, and every place where it belongs."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpa_hier.data.images.channels import CHANNELS
from hpa_hier.errors import UserError
from hpa_hier.simulate.cells import METAPHASE, PARTING, Cells, Needs, draw_cells
from hpa_hier.simulate.field import draw_places, draw_strengths, green, simulate_field
from hpa_hier.simulate.geometry import Scene, make_scene
from hpa_hier.simulate.labelsets import LEAVES
from hpa_hier.simulate.optics import draw_optics, expose
from hpa_hier.simulate.patterns import PATTERNS
from hpa_hier.simulate.processing import draw_processing, process_image
from hpa_hier.taxonomy import Taxonomy


def scene_of(seed: int, size: int = 96, needs: Needs | None = None) -> Scene:
    rng = np.random.default_rng(seed)
    return make_scene(rng, draw_cells(rng, size, needs or Needs(True, True, True)), size)


def pattern(leaf: str, seed: int = 3, scene: Scene | None = None) -> np.ndarray:
    return PATTERNS[leaf](scene or scene_of(seed), np.random.default_rng(seed))


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.sets(st.sampled_from(sorted(LEAVES)), min_size=1, max_size=5))
@settings(max_examples=25)
def test_the_same_seed_and_index_give_the_same_bits(seed: int, index: int, labels: set[str]) -> None:
    one = simulate_field(seed, index, 64, sorted(labels))
    two = simulate_field(seed, index, 64, sorted(labels, reverse=True))
    assert one.image.tobytes() == two.image.tobytes()
    assert one.labels == tuple(sorted(labels, key=int))


def test_another_index_or_seed_gives_another_field() -> None:
    fields = [simulate_field(seed, index, 64, ["0"]).image for seed, index in ((1, 0), (1, 1), (2, 0))]
    assert len({field.tobytes() for field in fields}) == 3


def test_drawing_leaves_the_global_generator_alone() -> None:
    np.random.seed(5)  # noqa: NPY002  the global generator is what is looked at
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    simulate_field(1, 0, 64, ["23"])
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


@pytest.mark.parametrize("size", [32, 64, 100, 300])
def test_every_size_shows_cells_with_nuclei(size: int) -> None:
    for index in range(4):
        field = simulate_field(9, index, size, ["25"])
        assert field.image.shape == (4, size, size)
        assert field.image.dtype == np.uint8
        assert (field.nucleus_mask > 0).sum() > 0.01 * size**2


def test_every_nucleus_lies_in_its_own_cell() -> None:
    for index in range(6):
        field = simulate_field(4, index, 128, ["0", "25"])
        inside = field.nucleus_mask > 0
        assert (field.cell_mask[inside] == field.nucleus_mask[inside]).all()


def test_sixteen_bits_use_the_whole_range() -> None:
    image = simulate_field(1, 1, 64, ["25"], depth=16).image
    assert image.dtype == np.uint16
    assert image.max() > 3000
    assert len(np.unique(image)) > 2000


@pytest.mark.parametrize("label", sorted(LEAVES, key=int))
def test_each_label_shows_in_the_green_channel(label: str) -> None:
    brighter = [simulate_field(2, k, 96, [label]).image[1].astype(int) for k in range(4)]
    assert all(image.max() > 25 for image in brighter), [image.max() for image in brighter]


@pytest.mark.parametrize("leaf", sorted(PATTERNS))
def test_each_pattern_is_finite_not_negative_and_neither_empty_nor_everywhere(leaf: str) -> None:
    for seed in (3, 4):
        drawn = pattern(leaf, seed)
        assert drawn.shape == (96, 96)
        assert drawn.dtype == np.float32
        assert np.isfinite(drawn).all()
        assert drawn.min() > -0.02  # cubic interpolation of textures may undershoot by a hair
        assert drawn.max() > 0.3
        assert drawn.max() < 8
        assert (drawn > 0.3 * drawn.max()).mean() < 0.9


def test_no_two_patterns_are_the_same_picture() -> None:
    scene = scene_of(11, 128)
    drawn = {leaf: pattern(leaf, 11, scene).ravel() for leaf in PATTERNS}
    alike = np.corrcoef(np.stack(list(drawn.values())))
    np.fill_diagonal(alike, 0)
    assert alike.max() < 0.93, np.array(list(drawn))[list(np.unravel_index(alike.argmax(), alike.shape))]


def _share(drawn: np.ndarray, where: np.ndarray) -> float:
    return float(drawn[where].sum() / drawn.sum())


@pytest.mark.parametrize("leaf", ["Nucleoplasm", "Nucleoli", "Nucleoli fibrillar center", "Nuclear speckles"])
def test_places_in_the_nucleus_lie_in_the_nucleus(leaf: str) -> None:
    scene = scene_of(5, needs=Needs())
    assert _share(pattern(leaf, 5, scene), scene.beyond < 1.5) > 0.9


@pytest.mark.parametrize("leaf", ["Peroxisomes", "Mitochondria", "Cytosol", "Endoplasmic reticulum", "Lipid droplets"])
def test_places_in_the_cytoplasm_lie_outside_the_nucleus(leaf: str) -> None:
    scene = scene_of(5, needs=Needs())
    drawn = pattern(leaf, 5, scene)
    assert _share(drawn, (scene.beyond > -1.0) & (scene.owner >= 0)) > 0.7


def test_the_plasma_membrane_is_brightest_at_the_rim() -> None:
    scene = scene_of(6, needs=Needs())
    drawn = pattern("Plasma membrane", 6, scene)
    assert drawn[(scene.rim > 0) & (scene.rim <= 1)].mean() > 2 * drawn[scene.rim > 4].mean()


def test_junctions_show_where_cells_touch_and_nowhere_else() -> None:
    scene = scene_of(7, needs=Needs(touching=True))
    drawn = pattern("Cell junctions", 7, scene)
    assert scene.contact.sum() > 10
    assert drawn[scene.contact > 0].mean() > 3 * drawn[(scene.contact == 0) & (scene.owner >= 0)].mean()


def test_a_spindle_and_a_bridge_have_the_cells_they_need() -> None:
    cells = draw_cells(np.random.default_rng(8), 64, Needs(metaphase=True, parting=True))
    assert (cells.state == METAPHASE).sum() >= 1
    pair = np.flatnonzero(cells.state == PARTING)
    assert cells.partner[pair].tolist() == pair[::-1].tolist()
    assert (cells.nucleus_outline[cells.state == METAPHASE] == 0).all()


@given(st.integers(0, 10_000), st.booleans(), st.booleans())
@settings(max_examples=40)
def test_cells_keep_their_distance_and_one_at_rest_lies_inside(seed: int, metaphase: bool, parting: bool) -> None:
    cells = draw_cells(np.random.default_rng(seed), 96, Needs(metaphase, parting, False))
    resting = np.flatnonzero(cells.state == 0)
    assert ((cells.centre[resting] > 0) & (cells.centre[resting] < 96)).all(axis=1).any()
    assert _nuclei_are_inside(cells)


def _nuclei_are_inside(cells: Cells) -> bool:
    far = np.hypot(*(cells.nucleus_centre - cells.centre).T) + cells.nucleus_outline.max(axis=1)
    return bool((far <= cells.outline.max(axis=1) * 1.05).all())


def test_strengths_belong_to_the_antibody_and_the_brightest_is_one() -> None:
    one = draw_strengths(np.random.default_rng([1, 2, 7]), ("0", "25", "7"))
    assert max(one.values()) == 1.0
    assert min(one.values()) >= 0.45
    assert one == draw_strengths(np.random.default_rng([1, 2, 7]), ("0", "25", "7"))


def test_green_is_brighter_in_the_place_than_without_it() -> None:
    scene = scene_of(12, needs=Needs())
    rng = np.random.default_rng(1)
    drawn = green(scene, rng, draw_places(scene, rng, {"0": 1.0}))
    assert drawn[scene.beyond < -2].mean() > 4 * drawn[scene.beyond > 3].mean()


def test_more_light_is_never_darker_after_the_camera_but_for_noise() -> None:
    rng = np.random.default_rng(3)
    ramp = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (64, 1))
    image = expose(rng, dict.fromkeys(CHANNELS, ramp), draw_optics(np.random.default_rng(1), 64), 8)
    columns = image.mean(axis=1)
    assert (columns[:, 40:56].mean(axis=1) > columns[:, 8:24].mean(axis=1)).all()


def test_a_black_channel_stays_black() -> None:
    dark = dict.fromkeys(CHANNELS, np.zeros((64, 64), np.float32))
    image = expose(np.random.default_rng(0), dark, draw_optics(np.random.default_rng(0), 64), 8)
    assert image.max() < 20


def test_every_leaf_of_the_taxonomy_has_a_pattern_and_a_label() -> None:
    taxonomy = Taxonomy.load("hierarchy/hpa28.yaml")
    assert {taxonomy.label(leaf): leaf for leaf in taxonomy.leaves} == dict(LEAVES)
    assert set(PATTERNS) == set(taxonomy.leaves)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((1, 0, 64, ["28"]), "unknown label '28'; the simulated classes are '0' to '27'"),
        ((1, 0, 64, []), r"labels must be one or more different ones, got \(\)"),
        ((1, 0, 64, ["3", "3"]), r"different ones, got \('3', '3'\)"),
        ((1, 0, 16, ["3"]), "size must be 32 to 2048 pixels, got 16"),
    ],
)
def test_a_field_that_cannot_be_simulated_is_refused(arguments: tuple, said: str) -> None:
    with pytest.raises(UserError, match=said):
        simulate_field(*arguments)


def test_a_depth_of_twelve_bits_is_refused() -> None:
    with pytest.raises(UserError, match="depth must be 8 or 16 bits, got 12"):
        simulate_field(1, 0, 64, ["3"], depth=12)


@pytest.mark.parametrize("radius", [7.0, 65.0, float("nan")])
def test_a_radius_that_shows_nothing_is_refused(radius: float) -> None:
    with pytest.raises(UserError, match=f"radius must be from 8 pixels to the field's 64, got {radius}"):
        simulate_field(1, 0, 64, ["3"], radius=radius)


def test_larger_cells_fill_the_field_with_fewer() -> None:
    many, few = (simulate_field(1, 0, 128, ["3"], radius=radius).cell_mask.max() for radius in (10.0, 40.0))
    assert many > 2 * few


def test_a_supersampled_field_is_the_larger_one_shrunk_by_area() -> None:
    small = simulate_field(1, 4, 64, ["0", "14"], antibody=4, radius=16.0, supersample=2)
    large = simulate_field(1, 4, 128, ["0", "14"], antibody=4, radius=32.0)
    shrunk = [cv2.resize(plane, (64, 64), interpolation=cv2.INTER_AREA) for plane in large.image]
    assert (small.image == np.stack(shrunk)).all()
    assert small.cell_mask.shape == small.nucleus_mask.shape == small.places["14"].shape == (64, 64)
    assert set(np.unique(small.cell_mask)) <= set(np.unique(large.cell_mask))


def test_variety_changes_the_picture_and_not_what_is_in_it() -> None:
    plain, varied = (simulate_field(1, 4, 64, ["0"], variety=variety) for variety in (0.0, 1.0))
    assert (plain.image != varied.image).any()
    assert (plain.cell_mask == varied.cell_mask).all()
    assert (plain.places["0"] == varied.places["0"]).all()


def test_realism_is_the_share_of_fields_that_look_as_real_ones() -> None:
    indices = range(12)
    clean, mixed, real = (
        [simulate_field(1, i, 32, ["0"], radius=8.0, realism=share).image for i in indices] for share in (0.0, 0.5, 1.0)
    )
    as_clean = [(a == b).all() for a, b in zip(mixed, clean, strict=True)]
    as_real = [(a == b).all() for a, b in zip(mixed, real, strict=True)]
    assert 2 <= sum(as_clean) <= 10
    assert [not same for same in as_clean] == as_real


def test_nuclei_of_real_looking_fields_lie_in_their_own_cells_and_patches_stay_empty() -> None:
    fields = [simulate_field(4, i, 96, ["0", "25"], radius=8.0, realism=1.0) for i in range(12)]
    for field in fields:
        inside = field.nucleus_mask > 0
        assert (field.cell_mask[inside] == field.nucleus_mask[inside]).all()
    covered = [(field.cell_mask > 0).mean() for field in fields]
    assert min(covered) < 0.4
    assert max(covered) > 0.6


def test_without_variety_processing_leaves_a_picture_alone() -> None:
    image = np.random.default_rng(0).integers(0, 256, (4, 32, 32), dtype=np.uint8)
    assert (process_image(image, draw_processing(np.random.default_rng(1), 0.0)) == image).all()


def test_an_absent_channel_shows_a_faint_copy_of_the_others() -> None:
    image = np.zeros((4, 32, 32), np.uint8)
    image[1, 8:16] = 200
    still = draw_processing(np.random.default_rng(1), 0.0)
    done = process_image(image, replace(still, ghost=np.array([0.05, 0.0, 0.0, 0.0])))
    assert done[0, 8:16].min() == done[0].max() == 10
    assert (done[1:] == image[1:]).all()


@pytest.mark.parametrize(
    ("look", "said"),
    [
        ({"supersample": 0}, "supersample must be at least 1 and 64 pixels times it at most 2048, got 0"),
        ({"supersample": 33}, "64 pixels times it at most 2048, got 33"),
        ({"variety": 1.5}, "variety must be from 0 to 1, got 1.5"),
        ({"realism": -0.1}, "realism must be from 0 to 1, got -0.1"),
        ({"supersample": 2, "radius": 3.0}, "radius must be from 4 pixels to the field's 64, got 3.0"),
        ({"variety": 0.5, "depth": 16}, "variety is for 8 bits, got depth 16"),
    ],
)
def test_a_look_that_cannot_be_simulated_is_refused(look: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        simulate_field(1, 0, 64, ["3"], **look)


def test_importing_the_room_loads_nothing_heavy() -> None:
    code = "import sys, hpa_hier.simulate; print({'cv2', 'numpy', 'torch'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"
