"""One field of cells: from a seed and labels to four channels and the masks of its cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from hpa_hier.errors import UserError
from hpa_hier.simulate.cells import INTERPHASE, METAPHASE, Needs, directions, draw_cells
from hpa_hier.simulate.clutter import add_clutter, draw_clutter
from hpa_hier.simulate.geometry import Scene, make_scene
from hpa_hier.simulate.labelsets import LEAVES
from hpa_hier.simulate.optics import draw_optics, draw_real_optics, expose
from hpa_hier.simulate.patterns import PATTERNS
from hpa_hier.simulate.patterns.cytoskeleton import bridges, filaments, spindles
from hpa_hier.simulate.patterns.secretory import reticulum
from hpa_hier.simulate.processing import draw_processing, process_image
from hpa_hier.simulate.splat import Map, dots, lines, noise
from hpa_hier.simulate.staining import draw_real_places, draw_real_strengths, real_green, real_red, real_yellow

SMALLEST, LARGEST = 32, 2048  # pixels, sides of a field
SMALLEST_CELL = 8.0  # pixels, mean radius of cells before they are shrunk
_PROCESSING, _REALISM = 4, 5  # streams of random numbers: processings, and which fields are as real ones


@dataclass(frozen=True)
class SimulatedField:
    """A simulated field and what is known of it."""

    image: NDArray[np.generic]  # (4, S, S) uint8 or uint16, channels red, green, blue, yellow
    labels: tuple[str, ...]  # "0".."27"
    cell_mask: NDArray[np.uint16]  # (S, S), 0 outside cells, else the cell's number from 1
    nucleus_mask: NDArray[np.uint16]  # (S, S), the same numbers in nuclei
    places: Mapping[str, Map]  # label → (S, S), the protein's light from that place alone, as it is before the optics


def simulate_field(
    seed: int,
    index: int,
    size: int,
    labels: Iterable[str],
    *,
    antibody: int | None = None,
    depth: int = 8,
    radius: float | None = None,
    supersample: int = 1,
    variety: float = 0.0,
    realism: float = 0.0,
) -> SimulatedField:
    """Simulate the field number `index` of a seed; the same arguments give the same bits, wherever they are called.

    Args:
        seed: of the whole set.
        index: number of the image, from 0.
        size: pixels, side of the field, 32 to 2048.
        labels: places of the protein, "0".."27".
        antibody: number of the antibody; images of one antibody share their patterns' strengths.
        depth: bits per channel, 8 or 16.
        radius: pixels, mean radius of the cells, 8 over `supersample` to the field's side; None chooses one that suits
            the field.
        supersample: the field is simulated at this many times the side, and then shrunk by area, as real images
            are: finer detail, at the cost of a larger field.
        variety: 0 for images as the microscope gives them, to 1 for contrast, sharpness and compression that vary
            more than nature's; only with 8 bits.
        realism: share of the fields that are as whole fields of the competition: patchy, of round and spindly cells,
            with granular, weak and unspecific stain, debris, and cells out of focus. The others are clean. In
            real-looking fields `radius` is that of a cell of 15 micrometres; small lines have half of it.

    Returns:
        The image and its masks.

    Raises:
        UserError: a number out of range or an unknown label.

    >>> simulate_field(1, 0, 64, ["0", "25"]).image.shape
    (4, 64, 64)
    """
    labels = _check_labels(labels)
    _check_look(size, depth, radius, supersample, variety, realism)
    rng = np.random.default_rng([seed, 1, index])
    real = realism > 0 and np.random.default_rng([seed, _REALISM, index]).random() < realism
    of_antibody = np.random.default_rng([seed, 2, index if antibody is None else antibody])
    strengths = (draw_real_strengths if real else draw_strengths)(of_antibody, labels)
    side = size * supersample
    # A spindle is seen in a dividing cell, a bridge between two, junctions where cells touch.
    needs = Needs("17" in labels, "16" in labels, "22" in labels, radius and radius * supersample, real)
    field = _render(rng, side, strengths, depth, needs)
    if supersample > 1:
        field = _shrink(field, size)
    if variety == 0:
        return field
    how = draw_processing(np.random.default_rng([seed, _PROCESSING, index]), variety)
    return replace(field, image=process_image(field.image.astype(np.uint8), how))


def _render(
    rng: np.random.Generator, size: int, strengths: dict[str, float], depth: int, needs: Needs
) -> SimulatedField:
    scene = make_scene(rng, draw_cells(rng, size, needs), size)
    if needs.real:
        light, places = _real_light(scene, rng, strengths)
    else:
        light = {"red": red(scene, rng)}  # the order of the draws decides every bit
        places = draw_places(scene, rng, strengths)
        light |= {"green": green(scene, rng, places), "blue": blue(scene, rng), "yellow": yellow(scene, rng)}
    image = expose(rng, light, (draw_real_optics if needs.real else draw_optics)(rng, size), depth)
    cells = (scene.owner + 1).astype(np.uint16)
    nuclei = np.where(scene.beyond < 0, cells, 0).astype(np.uint16)
    return SimulatedField(image, tuple(strengths), cells, nuclei, places)


def _real_light(
    scene: Scene, rng: np.random.Generator, strengths: dict[str, float]
) -> tuple[dict[str, Map], dict[str, Map]]:
    """Draw channels and places as whole fields of the competition have them."""
    light = {"red": real_red(scene, rng)}
    places = draw_real_places(scene, rng, strengths)
    light |= {"green": real_green(scene, rng, places), "blue": blue(scene, rng), "yellow": real_yellow(scene, rng)}
    clutter = draw_clutter(scene, rng)
    return {channel: add_clutter(scene, plane, channel, clutter) for channel, plane in light.items()}, places


def _shrink(field: SimulatedField, size: int) -> SimulatedField:
    """Shrink a field's images by area; its masks keep the cell in the middle of each new pixel."""
    step = field.image.shape[-1] // size
    middle = slice(step // 2, None, step)
    places = {label: _by_area(light, size).astype(np.float32) for label, light in field.places.items()}
    image = np.stack([_by_area(plane, size) for plane in field.image])
    cells, nuclei = field.cell_mask[middle, middle], field.nucleus_mask[middle, middle]
    return SimulatedField(image, field.labels, cells, nuclei, places)


def _by_area(plane: NDArray[np.generic], size: int) -> NDArray[np.generic]:
    return np.asarray(cv2.resize(np.asarray(plane), (size, size), interpolation=cv2.INTER_AREA))


def draw_strengths(rng: np.random.Generator, labels: tuple[str, ...]) -> dict[str, float]:
    """Draw how bright each place is: label → 0.45 to 1, the brightest 1.

    >>> strengths = draw_strengths(np.random.default_rng(0), ("0", "25"))
    >>> list(strengths), max(strengths.values())
    (['0', '25'], 1.0)
    """
    strengths = rng.uniform(0.45, 1.0, len(labels))
    return {label: float(s) for label, s in zip(labels, strengths / strengths.max(), strict=True)}


def draw_places(scene: Scene, rng: np.random.Generator, strengths: dict[str, float]) -> dict[str, Map]:
    """Draw the protein at each of its places, varying from cell to cell: label → (S, S)."""
    places = {}
    for label, strength in strengths.items():
        cells = scene.paint_cells(_draw_brightness(scene, rng), outside=1.0)
        places[label] = np.float32(strength) * PATTERNS[LEAVES[label]](scene, rng) * cells
    return places


def _draw_brightness(scene: Scene, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw how bright each cell is (n,): unlike ones, but those that the field is there for are not among the dim."""
    each = np.exp(rng.normal(0, rng.uniform(0.1, 0.7), len(scene.cells)))
    state = scene.cells.state
    shown = np.union1d(np.flatnonzero(state != INTERPHASE), np.flatnonzero(state == INTERPHASE)[:1])
    each[shown] = np.maximum(each[shown], 0.7 * each.max())
    return np.asarray(each)


def green(scene: Scene, rng: np.random.Generator, places: Mapping[str, Map]) -> Map:
    """Draw the protein: the sum of its places over an unspecific background."""
    total = sum(places.values(), np.float32(0))
    grain = scene.draw_grain(rng, 0.4)
    background = rng.beta(1.2, 22) * scene.inside * grain + rng.beta(1, 150)
    # Real antibodies also bind here and there in nuclei that do not hold the protein.
    flecks = np.clip(1 + rng.uniform(0.2, 1.0) * noise(rng, scene.size, max(1.0, 0.4 * scene.micron)), 0, 4)
    return np.asarray(total + background + rng.beta(1, 12) * scene.nucleus * flecks, np.float32)


def blue(scene: Scene, rng: np.random.Generator) -> Map:
    """Draw nuclei with chromatin texture and dark nucleoli; dividing cells show condensed chromosomes."""
    fine = noise(rng, scene.size, max(1.3, 0.8 * scene.micron))
    coarse = noise(rng, scene.size, max(2.0, 2.2 * scene.micron))
    contrast = scene.cells.line.chromatin
    texture = np.clip(1 + contrast * (0.7 * fine + 0.6 * coarse), 0.15, 3)
    bright = np.exp(rng.normal(0, 0.15, len(scene.cells))) * np.where(scene.cells.state == INTERPHASE, 1.0, 1.5)
    nuclei = scene.nucleus * texture * (1 - 0.55 * scene.nucleoli) * scene.paint_cells(bright)
    return np.asarray(0.75 * nuclei + _plates(scene, rng), np.float32)


def red(scene: Scene, rng: np.random.Generator) -> Map:
    """Draw microtubules, spindles and bridges over a faint cytoplasm."""
    bright = np.exp(rng.normal(0, rng.uniform(0.15, 0.6), len(scene.cells)))
    haze = rng.uniform(0.03, 0.18) * scene.cytoplasm + 0.02 * scene.nucleus
    dividing = 1.2 * spindles(scene, rng) + 1.2 * bridges(scene)
    resting = (0.7 * filaments(scene) * scene.thickness + haze) * scene.paint_cells(bright)
    return np.asarray(resting + dividing, np.float32)


def yellow(scene: Scene, rng: np.random.Generator) -> Map:
    """Draw the reticulum."""
    bright = np.exp(rng.normal(0, rng.uniform(0.15, 0.6), len(scene.cells)))
    return reticulum(scene, rng) * scene.paint_cells(bright)


def _plates(scene: Scene, rng: np.random.Generator) -> Map:
    """Draw the plate of chromosomes across each spindle."""
    dividing = np.flatnonzero(scene.cells.state == METAPHASE)
    if len(dividing) == 0:
        return np.zeros((scene.size, scene.size), np.float32)
    across = scene.cells.axis[dividing] + np.pi / 2
    radius = 0.42 * scene.cells.outline[dividing].mean(axis=1)
    along = np.linspace(-1, 1, 24)
    points = scene.cells.centre[dividing][:, None] + (radius[:, None] * along)[..., None] * directions(across)[:, None]
    points = (points + rng.normal(0, 0.35 * scene.micron, points.shape)).reshape(-1, 2)
    plate = lines(points, np.repeat(2 * radius / 24, 24), 1.1 * scene.micron, scene.size)
    clumps = dots(points, np.full(len(points), 0.25), 0.7 * scene.micron, scene.size)
    return np.asarray(1.1 * plate + clumps, np.float32)


def _check_labels(labels: Iterable[str]) -> tuple[str, ...]:
    given = tuple(labels)
    unknown = [label for label in given if label not in LEAVES]
    if unknown:
        raise UserError(f"simulate: unknown label {unknown[0]!r}; the simulated classes are '0' to '27'")
    if not given or len(set(given)) != len(given):
        raise UserError(f"simulate: labels must be one or more different ones, got {given}")
    return tuple(sorted(given, key=int))


def _check_look(size: int, depth: int, radius: float | None, supersample: int, variety: float, realism: float) -> None:
    if not SMALLEST <= size <= LARGEST:
        raise UserError(f"simulate: size must be {SMALLEST} to {LARGEST} pixels, got {size}")
    if depth not in (8, 16):
        raise UserError(f"simulate: depth must be 8 or 16 bits, got {depth}")
    if supersample < 1 or size * supersample > LARGEST:
        raise UserError(
            f"simulate: supersample must be at least 1 and {size} pixels times it at most {LARGEST}, got {supersample}"
        )
    if radius is not None and not SMALLEST_CELL / supersample <= radius <= size:
        least = SMALLEST_CELL / supersample
        raise UserError(f"simulate: radius must be from {least:g} pixels to the field's {size}, got {radius}")
    for name, share in (("variety", variety), ("realism", realism)):
        if not 0 <= share <= 1:
            raise UserError(f"simulate: {name} must be from 0 to 1, got {share}")
    if variety > 0 and depth != 8:
        raise UserError(f"simulate: variety is for 8 bits, got depth {depth}; leave one of them out")
