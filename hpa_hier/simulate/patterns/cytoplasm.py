"""Patterns in the cytoplasm: cytosol, mitochondria, aggresome, cytoplasmic bodies, rods and rings."""

from __future__ import annotations

import cv2
import numpy as np

from hpa_hier.simulate.cells import INTERPHASE, directions
from hpa_hier.simulate.geometry import Curves, Scene, clip_to_cell, wander
from hpa_hier.simulate.splat import Map, dots, lines, noise, scatter


def cytosol(scene: Scene, rng: np.random.Generator) -> Map:
    """Fill the cell, less so the nucleus, with a soft texture and some dark holes where vesicles lie."""
    texture = (
        1
        + rng.uniform(0.08, 0.3) * noise(rng, scene.size, max(1.5, rng.uniform(0.5, 1.2) * scene.micron))
        + rng.uniform(0.05, 0.25) * noise(rng, scene.size, rng.uniform(3, 8) * scene.micron)
    )
    texture = np.clip(texture, 0.1, 3)
    holes = dots(
        scatter(rng, scene.cytoplasm, round(14 * scene.whole_cells)), np.ones(1), 0.5 * scene.micron, scene.size
    )
    thick = np.clip(scene.rim / (0.25 * scene.cells.line.radius), 0.35, 1) * scene.thickness**0.5
    inner = 1 - rng.uniform(0.55, 0.85) * scene.nucleus
    return np.asarray(0.75 * scene.inside * inner * thick * texture * (1 - 0.4 * np.minimum(holes, 1)), np.float32)


def flat_cytosol(scene: Scene, rng: np.random.Generator) -> Map:
    """Fill the whole cell, the nucleus less or alike but for its nucleoli, grainy, with holes where organelles lie."""
    fine = noise(rng, scene.size, max(1.0, rng.uniform(0.3, 1.0) * scene.micron))
    coarse = noise(rng, scene.size, rng.uniform(2, 8) * scene.micron)
    texture = np.clip(1 + rng.uniform(0.1, 0.45) * fine + rng.uniform(0.05, 0.3) * coarse, 0.1, 3)
    number = round(rng.uniform(2, 40) * scene.whole_cells)
    holes = dots(scatter(rng, scene.cytoplasm, number), np.ones(1), rng.uniform(0.4, 1.2) * scene.micron, scene.size)
    texture *= 1 - rng.uniform(0.2, 0.8) * np.minimum(holes, 1)
    edge = np.clip(scene.rim / (rng.uniform(0.02, 0.3) * scene.cells.line.radius), 0.3, 1)
    thick = edge * scene.thickness ** rng.uniform(0.1, 0.8)
    inner = 1 - rng.uniform(0.05, 0.85) * scene.nucleus - rng.uniform(0.0, 0.15) * scene.nucleoli
    return np.asarray(0.75 * scene.inside * np.maximum(inner, 0.05) * thick * texture, np.float32)


def mitochondria(scene: Scene, rng: np.random.Generator) -> Map:
    """Draw a net of short worms, thick around the nucleus."""
    near = np.exp(-np.maximum(scene.beyond, 0) / (rng.uniform(0.25, 0.8) * scene.cells.line.radius))
    start = scatter(rng, scene.cytoplasm * near * (scene.rim > 1), round(rng.uniform(45, 170) * scene.whole_cells))
    column, row = np.clip(np.rint(start.T), 0, scene.size - 1).astype(np.intp)
    cell = scene.owner[row, column].astype(np.intp)
    steps = max(4, round(rng.uniform(2, 9) * scene.micron / 0.7))
    x, y = (start - scene.cells.nucleus_centre[cell]).T
    heading = np.arctan2(y, x) + rng.normal(0, 1.0, len(start))
    points = wander(rng, start, heading, steps, 0.7, 3.5)
    alive = clip_to_cell(points, cell, scene.owner)
    alive &= np.arange(steps) < rng.uniform(0.3, 1, len(start))[:, None] * steps
    width = rng.uniform(0.22, 0.4) * scene.micron
    drawn = lines(*Curves(points, alive, cell).flat(rng.uniform(0.6, 1.1, len(start))), width, scene.size)
    shaded = rng.uniform(0.4, 0.95)  # some lie above and below the nucleus
    return np.asarray((np.minimum(drawn, 1.5) + 0.03) * scene.inside * (1 - shaded * scene.nucleus), np.float32)


def mitochondrial_network(scene: Scene, rng: np.random.Generator) -> Map:
    """Draw worms that join to a net around the nucleus, often thickest on one side of it, over a faint cytosol."""
    radius = scene.cells.line.radius
    near = np.exp(-np.maximum(scene.beyond, 0) / (np.exp(rng.uniform(np.log(0.25), np.log(1.5))) * radius))
    lopsided = np.exp(np.float32(rng.uniform(0, 1.6)) * (scene.toward_organiser - 1))
    number = round(np.exp(rng.uniform(np.log(30), np.log(160))) * scene.whole_cells)
    start = scatter(rng, scene.cytoplasm * near * lopsided * (scene.rim > 1), number)
    column, row = np.clip(np.rint(start.T), 0, scene.size - 1).astype(np.intp)
    cell = scene.owner[row, column].astype(np.intp)
    steps = max(3, round(np.exp(rng.uniform(np.log(4), np.log(16))) * scene.micron / 0.7))
    x, y = (start - scene.cells.nucleus_centre[cell]).T
    around = np.where(rng.random(len(start)) < rng.uniform(0, 0.7), np.pi / 2, 0.0)  # along the envelope or outwards
    heading = np.arctan2(y, x) + around + rng.normal(0, 0.6, len(start))
    points = wander(rng, start, heading, steps, 0.7, rng.uniform(1.0, 4.0))
    alive = clip_to_cell(points, cell, scene.owner)
    alive &= np.arange(steps) < rng.uniform(0.3, 1, len(start))[:, None] * steps
    width = rng.uniform(0.22, 0.45) * scene.micron
    drawn = lines(*Curves(points, alive, cell).flat(rng.gamma(3.0, 0.28, len(start))), width, scene.size)
    cloud = rng.uniform(0.0, 0.25) * near * lopsided * scene.cytoplasm
    shaded = 1 - rng.uniform(0.6, 0.97) * scene.nucleus  # some lie above and below the nucleus
    return np.asarray((np.minimum(drawn, 1.6) + cloud + rng.uniform(0, 0.06)) * scene.inside * shaded, np.float32)


def aggresome(scene: Scene, rng: np.random.Generator) -> Map:
    """Draw one round bright ball beside the nucleus of most cells."""
    holder = scene.resting[rng.random(len(scene.resting)) < rng.uniform(0.55, 0.95)]
    first = np.flatnonzero(scene.cells.state == INTERPHASE)[:1]  # lies well inside the field: one is always seen
    holder = np.union1d(holder, first)
    away = scene.cells.organiser[holder] - scene.cells.nucleus_centre[holder]
    away *= 1 + 2.2 * scene.micron / np.maximum(np.hypot(*away.T), 1e-6)[:, None]
    centre = np.rint(16 * (scene.cells.nucleus_centre[holder] + away)).astype(int)
    typical = rng.uniform(1.0, 2.6)
    radius = np.rint(16 * np.maximum(scene.micron * typical * rng.uniform(0.6, 1.3, len(holder)), 1.5)).astype(int)
    canvas = np.zeros((scene.size, scene.size), np.uint8)
    for (x, y), r in zip(centre.tolist(), radius.tolist(), strict=True):
        cv2.circle(canvas, (x, y), r, 255, -1, cv2.LINE_AA, 4)
    return np.asarray((canvas / np.float32(255) + rng.uniform(0.01, 0.07)) * scene.inside, np.float32)


def bodies(scene: Scene, rng: np.random.Generator) -> Map:
    """Draw a few distinct round spots in the cytoplasm of each cell, over a faint haze."""
    points = scatter(rng, scene.cytoplasm * (scene.rim > 1), max(1, round(rng.uniform(3, 18) * scene.whole_cells)))
    spots = dots(points, rng.gamma(4.0, 0.2, len(points)), rng.uniform(0.3, 0.75) * scene.micron, scene.size)
    grain = scene.draw_grain(rng, 0.4)
    return np.asarray(spots + rng.uniform(0.03, 0.12) * scene.inside * grain, np.float32)


def rods_and_rings(scene: Scene, rng: np.random.Generator) -> Map:
    """Draw a few straight rods and closed rings in the cytoplasm of each cell."""
    middle = scatter(rng, scene.cytoplasm * (scene.rim > 1.5), max(2, round(rng.uniform(2, 8) * scene.whole_cells)))
    count = len(middle)
    tick = np.linspace(0, 1, max(12, int(10 * scene.micron)))
    turn = rng.uniform(0, 2 * np.pi, (count, 1))
    size = rng.uniform(0.4, 1.1)  # of all of a field
    length = size * scene.micron * rng.uniform(3, 8, (count, 1))
    rods = directions(turn) * ((tick - 0.5) * length)[..., None]
    radius = size * scene.micron * rng.uniform(1.3, 2.4, (count, 1))
    ring = rng.random(count) < rng.uniform(0.05, 0.6)
    shape = np.where(ring[:, None, None], radius[..., None] * directions(2 * np.pi * tick), rods)
    spacing = np.where(ring, 2 * np.pi * radius[:, 0], length[:, 0]) / len(tick)
    points = (middle[:, None] + shape).reshape(-1, 2)
    drawn = lines(points, np.repeat(spacing, len(tick)), rng.uniform(0.25, 0.38) * scene.micron, scene.size)
    return np.asarray(np.minimum(drawn, 1.4) * scene.inside + rng.uniform(0.01, 0.05) * scene.inside, np.float32)
