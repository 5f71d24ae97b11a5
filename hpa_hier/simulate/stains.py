"""The three reference stains, drawn in every field: nucleus (blue), microtubules (red), reticulum (yellow)."""

from __future__ import annotations

import numpy as np

from hpa_hier.simulate.cells import METAPHASE
from hpa_hier.simulate.geometry import Scene
from hpa_hier.simulate.patterns.cytoskeleton import bridges, filaments, spindles
from hpa_hier.simulate.patterns.secretory import reticulum
from hpa_hier.simulate.splat import Map, dots, lines, noise


def blue(scene: Scene, rng: np.random.Generator) -> Map:
    """Draw nuclei with chromatin texture and dark nucleoli; dividing cells show condensed chromosomes."""
    fine = noise(rng, scene.size, max(1.3, 0.8 * scene.micron))
    coarse = noise(rng, scene.size, max(2.0, 2.2 * scene.micron))
    contrast = scene.cells.line.chromatin
    texture = np.clip(1 + contrast * (0.7 * fine + 0.6 * coarse), 0.15, 3)
    bright = np.exp(rng.normal(0, 0.15, len(scene.cells))) * np.where(scene.cells.state == 0, 1.0, 1.5)
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
    """The plate of chromosomes across each spindle."""
    dividing = np.flatnonzero(scene.cells.state == METAPHASE)
    if len(dividing) == 0:
        return np.zeros((scene.size, scene.size), np.float32)
    across = scene.cells.axis[dividing] + np.pi / 2
    radius = 0.42 * scene.cells.outline[dividing].mean(axis=1)
    along = np.linspace(-1, 1, 24)
    way = np.stack([np.cos(across), np.sin(across)], axis=1)
    points = scene.cells.centre[dividing][:, None] + (radius[:, None] * along)[..., None] * way[:, None]
    points = points + rng.normal(0, 0.35 * scene.micron, points.shape)
    spacing = np.repeat(2 * radius / 24, 24)
    plate = lines(points.reshape(-1, 2), spacing, 1.1 * scene.micron, scene.size)
    clumps = dots(points.reshape(-1, 2), np.full(len(spacing), 0.25), 0.7 * scene.micron, scene.size)
    return np.asarray(1.1 * plate + clumps, np.float32)
