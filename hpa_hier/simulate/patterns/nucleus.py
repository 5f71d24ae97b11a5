"""Patterns in the nucleus: nucleoplasm, membrane, nucleoli and their centres, speckles, bodies."""

from __future__ import annotations

import numpy as np

from hpa_hier.simulate.cells import INTERPHASE
from hpa_hier.simulate.geometry import Curves, Scene, clip_to_cell, disc, in_nucleus, wander
from hpa_hier.simulate.splat import Map, Points, blur, dots, lines, noise


def nucleoplasm(scene: Scene, rng: np.random.Generator) -> Map:
    """Fill the nucleus but for its nucleoli, finely grained; in metaphase the protein is all over the cell."""
    grain = 1 + rng.uniform(0.05, 0.25) * noise(rng, scene.size, max(1.5, 0.7 * scene.micron))
    spared = 1 - rng.uniform(0.5, 0.95) * scene.nucleoli
    diffuse = 0.35 * scene.dividing * scene.inside
    return np.asarray(0.8 * (scene.nucleus + diffuse) * np.clip(grain, 0, 2) * spared, np.float32)


def grainy_nucleoplasm(scene: Scene, rng: np.random.Generator) -> Map:
    """Fill the nucleus, fine or coarse in grain, its nucleoli dark or not."""
    fine = noise(rng, scene.size, max(1.0, rng.uniform(0.3, 1.0) * scene.micron))
    coarse = noise(rng, scene.size, max(2.0, 2.0 * scene.micron))
    grain = 1 + rng.uniform(0.05, 0.5) * fine + rng.uniform(0.0, 0.25) * coarse
    spared = 1 - rng.uniform(0.2, 0.95) * scene.nucleoli
    diffuse = 0.35 * scene.dividing * scene.inside
    return np.asarray(0.8 * (scene.nucleus + diffuse) * np.clip(grain, 0.05, 3) * spared, np.float32)


def nuclear_membrane(scene: Scene, rng: np.random.Generator) -> Map:
    """Draw the envelope as a bright closed line, with a few folds across, over a dim nucleus."""
    width = max(0.45 * scene.micron, 0.9)
    envelope = np.exp(-(((scene.beyond + 0.4 * width) / width) ** 2))
    cell = np.repeat(scene.resting, 2)[rng.random(2 * len(scene.resting)) < 0.4]
    radius = scene.cells.nucleus_outline[cell].mean(axis=1)
    start = in_nucleus(scene.cells, cell, disc(rng, len(cell)))
    steps = max(3, int(scene.cells.line.nucleus * scene.cells.line.radius))
    path = wander(rng, start, rng.uniform(0, 2 * np.pi, len(cell)), steps, 0.8, 1.5)
    folds = Curves(path, clip_to_cell(path, cell, scene.owner), cell)
    points, spacing = folds.flat(np.full(len(radius), 0.8))
    drawn = lines(points, spacing, 0.3 * scene.micron, scene.size)
    filled = rng.uniform(0.05, 0.65) * scene.nucleus * (1 + 0.15 * noise(rng, scene.size, max(1.5, scene.micron)))
    return np.asarray(envelope + 0.6 * drawn * scene.nucleus + filled + 0.04 * scene.inside, np.float32)


def nucleoli(scene: Scene, rng: np.random.Generator) -> Map:
    """Fill the nucleoli, over a faint nucleoplasm."""
    grain = 1 + 0.2 * noise(rng, scene.size, max(1.5, 0.8 * scene.micron))
    # Some proteins sit in the nucleolus's shell: its middle is darker.
    middle = np.clip(blur(scene.nucleoli, 0.8 * scene.micron) - 0.5, 0, 0.5)
    filled = scene.nucleoli * np.clip(1 - rng.choice([0.0, 1.6], p=[0.6, 0.4]) * middle, 0, 1)
    return np.asarray(filled * grain + rng.uniform(0.02, 0.15) * scene.nucleus, np.float32)


def fibrillar_centres(scene: Scene, rng: np.random.Generator) -> Map:
    """Draw a few fine spots inside each nucleolus: clusters of dots rather than filled bodies."""
    number = rng.integers(3, 8, len(scene.nucleolus_centre))
    which = np.repeat(np.arange(len(number)), number)
    spread = scene.nucleolus_radius[which, None] * 0.85 * disc(rng, len(which))
    points = scene.nucleolus_centre[which] + spread
    spots = dots(points, rng.uniform(0.5, 1.1, len(points)), rng.uniform(0.22, 0.36) * scene.micron, scene.size)
    return np.asarray(spots * scene.nucleus + rng.uniform(0.0, 0.08) * scene.nucleus, np.float32)


def fibrillar_spots(scene: Scene, rng: np.random.Generator) -> Map:
    """Draw one to eight spots in each nucleolus, distinct or run together, as whole fields resolve them."""
    number = rng.integers(1, rng.integers(3, 9), len(scene.nucleolus_centre))
    which = np.repeat(np.arange(len(number)), number)
    spread = scene.nucleolus_radius[which, None] * rng.uniform(0.5, 0.9) * disc(rng, len(which))
    sigma = rng.uniform(0.25, 0.5) * scene.micron
    points = scene.nucleolus_centre[which] + spread
    spots = np.minimum(dots(points, rng.uniform(0.6, 1.3, len(points)), sigma, scene.size), 2.0)
    return np.asarray(spots * scene.nucleus + rng.uniform(0.0, 0.15) * scene.nucleus, np.float32)


def speckles(scene: Scene, rng: np.random.Generator) -> Map:
    """Draw twenty to forty irregular spots over the nucleus, none in nucleoli, on a dim nucleoplasm."""
    points = _in_nuclei(scene, rng, int(rng.integers(16, 55)))
    radius = rng.uniform(0.4, 0.65) * scene.micron
    count = len(points)
    joined = np.concatenate([points, points + rng.normal(0, 0.9 * radius, (count, 2))])
    spots = dots(joined, rng.uniform(0.35, 1.0, 2 * count), 0.8 * radius, scene.size)
    outside = 1 - 0.9 * scene.nucleoli
    return np.asarray((np.minimum(spots, 1.3) + rng.uniform(0.1, 0.3)) * scene.nucleus * outside, np.float32)


def bodies(scene: Scene, rng: np.random.Generator) -> Map:
    """Draw two to twelve small round spots per nucleus, on next to nothing."""
    points = _in_nuclei(scene, rng, int(rng.integers(2, 14)))
    spots = dots(points, rng.uniform(0.5, 1.1, len(points)), rng.uniform(0.3, 0.5) * scene.micron, scene.size)
    return np.asarray(spots + rng.uniform(0.01, 0.12) * scene.nucleus, np.float32)


def bodies_on_nucleoplasm(scene: Scene, rng: np.random.Generator) -> Map:
    """Draw a few to some twenty round spots per nucleus, on a nucleoplasm that is grainy and often not dim."""
    points = _in_nuclei(scene, rng, int(np.exp(rng.uniform(np.log(2), np.log(24)))))
    spots = dots(points, rng.gamma(4.0, 0.2, len(points)), rng.uniform(0.3, 0.7) * scene.micron, scene.size)
    grain = scene.draw_grain(rng, rng.uniform(0.2, 0.7))
    spared = 1 - rng.uniform(0.2, 0.9) * scene.nucleoli
    return np.asarray(spots * scene.nucleus + rng.uniform(0.02, 0.4) * scene.nucleus * grain * spared, np.float32)


def _in_nuclei(scene: Scene, rng: np.random.Generator, mean: int) -> Points:
    """Draw about `mean` points in each nucleus, outside its nucleoli where a second draw helps: (K, 2)."""
    resting = np.flatnonzero(scene.cells.state == INTERPHASE)
    cell = np.repeat(resting, np.maximum(1, rng.poisson(mean, len(resting))))
    points = in_nucleus(scene.cells, cell, disc(rng, len(cell), 0.9))
    column, row = np.clip(np.rint(points.T), 0, scene.size - 1).astype(np.intp)
    again = scene.nucleoli[row, column] > 0.5
    points[again] = in_nucleus(scene.cells, cell[again], disc(rng, int(again.sum()), 0.9))
    return points
