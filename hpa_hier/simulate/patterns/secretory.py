"""Patterns of the secretory way: reticulum, Golgi, vesicles of several kinds, plasma membrane and junctions."""

from __future__ import annotations

import numpy as np

from hpa_hier.simulate.cells import directions, radius_at
from hpa_hier.simulate.geometry import Scene
from hpa_hier.simulate.splat import Map, Points, blur, dots, lines, noise, scatter


def reticulum(scene: Scene, rng: np.random.Generator) -> Map:
    """Draw a mesh of sheets and tubes, dense around the nucleus and thinner outwards, with a line round the nucleus."""
    mesh = np.abs(noise(rng, scene.size, max(2.0, 0.8 * scene.micron)))
    fine = noise(rng, scene.size, max(1.3, 0.35 * scene.micron))
    contrast = rng.uniform(0.3, 0.5) * mesh - rng.uniform(0.1, 0.45) * fine
    tubes = np.clip(1.05 - contrast, 0.15, 2.0) ** rng.uniform(0.7, 1.3)
    outward = np.maximum(scene.beyond, 0) / (rng.uniform(0.25, 1.2) * scene.cells.line.radius)
    decay = np.where(scene.dividing > 0, 0.7, 0.15 + np.exp(-outward))
    envelope = np.exp(-((scene.beyond / max(0.4 * scene.micron, 0.8)) ** 2))
    inner = rng.uniform(0.05, 0.25) * scene.nucleus
    return np.asarray(0.8 * scene.cytoplasm * tubes * decay + 0.25 * envelope * scene.inside + inner, np.float32)


def golgi(scene: Scene, rng: np.random.Generator) -> Map:
    """Draw a crescent of ribbons and grains against one side of the nucleus."""
    resting = scene.resting
    each = int(rng.integers(35, 90))
    cell = np.repeat(resting, each)
    side_x, side_y = (scene.cells.organiser - scene.cells.nucleus_centre)[cell].T
    facing = np.arctan2(side_y, side_x)
    angle = facing + np.repeat(rng.uniform(0.25, 0.75, len(resting)), each) * rng.normal(0, 1, len(cell))
    away = radius_at(scene.cells.nucleus_outline, cell, angle) + scene.micron * (
        0.7 + np.abs(rng.normal(0, 2.2, len(cell)))
    )
    points = scene.cells.nucleus_centre[cell] + away[:, None] * directions(angle)
    ribbon = np.stack([-np.sin(angle), np.cos(angle)], axis=1) * rng.uniform(0.3, 0.9, (len(cell), 1)) * scene.micron
    points = np.concatenate([points - ribbon, points, points + ribbon])
    drawn = dots(points, np.tile(rng.uniform(0.2, 0.6, len(cell)), 3), 0.35 * scene.micron, scene.size)
    return np.asarray((np.minimum(drawn, 1.4) + rng.uniform(0.01, 0.08)) * scene.inside, np.float32)


def golgi_variants(scene: Scene, rng: np.random.Generator) -> Map:
    """Draw the Golgi of whole fields: a ribbon along the nucleus, a compact ball, or a loose cluster of grains."""
    resting = scene.resting
    each = int(rng.integers(25, 80))
    cell = np.repeat(resting, each)
    side = (scene.cells.organiser - scene.cells.nucleus_centre)[cell]
    facing = np.arctan2(side[:, 1], side[:, 0])
    shape = rng.choice(["ribbon", "ball", "cluster"], p=[0.45, 0.25, 0.3])
    wide, deep, gap = {"ribbon": (0.6, 0.5, 0.6), "ball": (0.15, 0.7, 1.0), "cluster": (0.45, 2.0, 0.5)}[str(shape)]
    angle = facing + np.repeat(wide * rng.uniform(0.4, 1.4, len(resting)), each) * rng.normal(0, 1, len(cell))
    beyond = scene.micron * (gap + deep * rng.uniform(0.6, 1.6) * np.abs(rng.normal(0, 1, len(cell))))
    away = radius_at(scene.cells.nucleus_outline, cell, angle) + beyond
    points = scene.cells.nucleus_centre[cell] + away[:, None] * directions(angle)
    if shape == "ribbon":
        along = np.stack([-np.sin(angle), np.cos(angle)], axis=1) * rng.uniform(0.3, 1.0, (len(cell), 1))
        points = np.concatenate([points - along * scene.micron, points, points + along * scene.micron])
    weight = rng.gamma(2.0, 0.25, len(points))
    drawn = np.minimum(dots(points, weight, rng.uniform(0.3, 0.5) * scene.micron, scene.size), 1.6)
    loose = _vesicles(scene, rng, rng.uniform(0, 60), rng.uniform(0.2, 1.0))  # what is on the way from or to it
    drawn += dots(loose, rng.exponential(0.25, len(loose)), 0.3 * scene.micron, scene.size)
    return np.asarray((drawn + rng.uniform(0.01, 0.15)) * scene.inside, np.float32)


def peroxisomes(scene: Scene, rng: np.random.Generator) -> Map:
    """Draw many small equal spots all over the cytoplasm."""
    points = _vesicles(scene, rng, rng.uniform(80, 260), float(np.exp(rng.uniform(np.log(0.35), np.log(3.0)))))
    spots = dots(points, rng.uniform(0.6, 1.0, len(points)), rng.uniform(0.18, 0.3) * scene.micron, scene.size)
    return np.asarray(spots + 0.03 * scene.cytoplasm, np.float32)


def endosomes(scene: Scene, rng: np.random.Generator) -> Map:
    """Draw some spots of very different brightness over a grainy cytoplasm."""
    points = _vesicles(scene, rng, rng.uniform(25, 70), rng.uniform(0.5, 2.5))
    spots = dots(points, rng.gamma(2.0, 0.25, len(points)), rng.uniform(0.28, 0.5) * scene.micron, scene.size)
    grain = scene.draw_grain(rng, 0.6)
    return np.asarray(spots + rng.uniform(0.12, 0.25) * scene.cytoplasm * grain, np.float32)


def lysosomes(scene: Scene, rng: np.random.Generator) -> Map:
    """Draw spots of several sizes, large ones among them, thickest towards the organising centre."""
    points = _vesicles(scene, rng, rng.uniform(35, 110), rng.uniform(0.35, 1.2))
    share = rng.random(len(points)) < 0.55
    small, large = points[share], points[~share]
    drawn = dots(small, rng.uniform(0.5, 1.0, len(small)), rng.uniform(0.22, 0.38) * scene.micron, scene.size)
    drawn += dots(large, rng.uniform(0.7, 1.1, len(large)), rng.uniform(0.42, 0.7) * scene.micron, scene.size)
    return np.asarray(np.minimum(drawn, 1.4) + 0.03 * scene.cytoplasm, np.float32)


def lipid_droplets(scene: Scene, rng: np.random.Generator) -> Map:
    """Draw rings, bright shells around dark drops, in clusters near the nucleus."""
    seeds = _vesicles(scene, rng, rng.uniform(4, 14), rng.uniform(0.3, 0.8))
    drops = np.repeat(seeds, rng.integers(1, 6), axis=0)
    drops = drops + rng.normal(0, 1.4 * scene.micron, drops.shape)
    radius = scene.micron * rng.uniform(0.5, 1.0) * rng.uniform(0.6, 1.4, len(drops))
    shell = radius[:, None, None] * directions(np.linspace(0, 2 * np.pi, 24, endpoint=False))
    points = (drops[:, None] + shell).reshape(-1, 2)
    spacing = np.repeat(rng.uniform(0.4, 1.0, len(drops)) * 2 * np.pi * radius / 24, 24)
    drawn = lines(points, spacing, 0.25 * scene.micron, scene.size)
    return np.asarray(np.minimum(drawn, 1.4) * scene.cytoplasm + 0.03 * scene.cytoplasm, np.float32)


def plasma_membrane(scene: Scene, rng: np.random.Generator) -> Map:
    """Draw the rim of every cell as a line, often with spikes outwards, over a faint cell body."""
    width = max(0.4 * scene.micron, 0.75)
    rim = np.exp(-(((scene.rim - 0.3 * width) / width) ** 2)) * scene.inside
    uneven = np.clip(1 + 0.35 * noise(rng, scene.size, max(3, 4 * scene.micron)), 0.2, 2)
    ruffles = np.clip(noise(rng, scene.size, max(1.5, 1.2 * scene.micron)) - 1.0, 0, 1)
    body = rng.uniform(0.08, 0.3) * scene.inside * (1 + ruffles)
    drawn = rim * uneven + body
    if rng.random() < 0.6:
        drawn = drawn + _spikes(scene, rng)
    return np.asarray(drawn, np.float32)


def membrane_on_cell(scene: Scene, rng: np.random.Generator) -> Map:
    """Draw the plasma membrane of a flat cell seen from above: a grainy veil with folds, a rim that is often faint."""
    width = max(rng.uniform(0.3, 0.9) * scene.micron, 0.75)
    rim = np.exp(-(((scene.rim - 0.3 * width) / width) ** 2)) * scene.inside
    uneven = np.clip(1 + 0.5 * noise(rng, scene.size, max(2, 3 * scene.micron)), 0.1, 2.5)
    folds = np.clip(noise(rng, scene.size, max(1.2, rng.uniform(0.6, 1.8) * scene.micron)) - 0.8, 0, 1.5)
    veil = scene.inside * scene.draw_grain(rng, rng.uniform(0.2, 0.6)) * (1 + rng.uniform(0.0, 1.2) * folds)
    veil *= 1 - rng.uniform(0.0, 0.6) * scene.nucleus
    drawn = rng.uniform(0.4, 1.2) * rim * uneven + rng.uniform(0.1, 0.5) * veil
    if rng.random() < 0.4:
        drawn = drawn + rng.uniform(0.3, 1.0) * _spikes(scene, rng)
    return np.asarray(drawn, np.float32)


def junctions(scene: Scene, rng: np.random.Generator) -> Map:
    """Draw broken bright stretches only where two cells touch."""
    along = np.clip(0.9 + 1.0 * noise(rng, scene.size, max(2, 2.0 * scene.micron)), 0, 1.6)
    touching = blur(scene.contact, max(0.25 * scene.micron, 0.6))
    grain = scene.draw_grain(rng, 0.5)
    loose = scatter(rng, scene.inside, int(rng.integers(0, 40) * len(scene.cells)))
    grain = grain * rng.uniform(0.02, 0.1) * scene.inside
    grain += dots(loose, np.full(len(loose), 0.4), 0.3 * scene.micron, scene.size)
    return np.asarray(1.2 * touching * along + grain, np.float32)


def _spikes(scene: Scene, rng: np.random.Generator) -> Map:
    """Fine hairs from the rim outwards, on free ground."""
    cell = np.repeat(scene.resting, int(np.clip(2.5 * scene.cells.line.radius, 30, 240)))
    angle = rng.uniform(0, 2 * np.pi, len(cell))
    edge = radius_at(scene.cells.outline, cell, angle)
    length = rng.uniform(0.08, 0.45) * scene.cells.line.radius * rng.random(len(cell))
    along = np.linspace(0, 1, max(3, int(length.max() / 0.7)))
    away = edge[:, None] + length[:, None] * along
    lean = angle[:, None] + rng.normal(0, 0.06, (len(cell), 1)) * along
    points = scene.cells.centre[cell][:, None] + away[..., None] * directions(lean)
    spacing = np.repeat(length / len(along), len(along))
    return 0.7 * lines(points.reshape(-1, 2), spacing, 0.2 * scene.micron, scene.size) * (scene.owner < 0)


def _vesicles(scene: Scene, rng: np.random.Generator, each: float, spread: float) -> Points:
    """Draw points in the cytoplasm, about `each` a whole cell, within about `spread` cell radii of the nucleus.

    Some lie above or below the nucleus, where the image shows them on it.
    """
    near = np.exp(-np.maximum(scene.beyond, 0) / (spread * scene.cells.line.radius))
    place = scene.cytoplasm + np.float32(rng.uniform(0.0, 0.5)) * scene.nucleus
    return scatter(rng, place * near * (scene.rim > 1), round(each * scene.whole_cells))
