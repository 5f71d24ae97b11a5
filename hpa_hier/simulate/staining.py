"""Staining as in real whole fields: uneven from cell to cell, granular, partly unspecific, often weak."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hpa_hier.simulate.cells import INTERPHASE
from hpa_hier.simulate.geometry import Scene
from hpa_hier.simulate.labelsets import LEAVES
from hpa_hier.simulate.patterns import REAL_PATTERNS
from hpa_hier.simulate.patterns.cytoskeleton import bridges, filaments, spindles
from hpa_hier.simulate.patterns.secretory import reticulum
from hpa_hier.simulate.splat import Map, dots, noise, scatter


def draw_real_strengths(rng: np.random.Generator, labels: tuple[str, ...]) -> dict[str, float]:
    """Draw how bright each place is: label → 0.3 to 1, the brightest 1; a protein's second place is often weak.

    >>> strengths = draw_real_strengths(np.random.default_rng(0), ("0", "25"))
    >>> list(strengths), max(strengths.values())
    (['0', '25'], 1.0)
    """
    strengths = np.exp(rng.uniform(np.log(0.3), 0, len(labels)))
    return {label: float(s) for label, s in zip(labels, strengths / strengths.max(), strict=True)}


def draw_real_places(scene: Scene, rng: np.random.Generator, strengths: Mapping[str, float]) -> dict[str, Map]:
    """Draw the protein at each of its places: label → (S, S); cells that hold much of it have much at all places."""
    expression = _brightness(scene, rng, rng.uniform(0.1, 0.8))
    places = {}
    for label, strength in strengths.items():
        cells = scene.paint_cells(expression * _brightness(scene, rng, rng.uniform(0.0, 0.4)), outside=1.0)
        places[label] = np.float32(strength) * REAL_PATTERNS[LEAVES[label]](scene, rng) * cells
    return places


def real_green(scene: Scene, rng: np.random.Generator, places: Mapping[str, Map]) -> Map:
    """Draw the protein over what the antibody binds besides: cytosol, nuclei, specks anywhere; all of it grainy."""
    light = sum(places.values(), np.float32(0)) + _unspecific(scene, rng) + _specks(scene, rng)
    return np.asarray(light * _grain(scene, rng, 0.7), np.float32)


def real_red(scene: Scene, rng: np.random.Generator) -> Map:
    """Draw microtubules that merge into a textured cytoplasm, with a bright rim in some lines; spindles and bridges."""
    bright = scene.paint_cells(_brightness(scene, rng, rng.uniform(0.1, 0.5)))
    threads = filaments(scene) * scene.thickness ** rng.uniform(0.0, 0.7) * _grain(scene, rng, 0.45)
    body = rng.uniform(0.05, 0.6) * _body(scene, rng) * (1 - rng.uniform(0.5, 0.95) * scene.nucleus)
    cortex = rng.beta(1, 3) * np.exp(-(((scene.rim - 1) / max(rng.uniform(0.4, 1.6) * scene.micron, 1.0)) ** 2))
    resting = (threads + body + cortex * scene.inside) * bright
    return np.asarray(resting + 1.2 * spindles(scene, rng) + 1.2 * bridges(scene), np.float32)


def real_yellow(scene: Scene, rng: np.random.Generator) -> Map:
    """Draw the reticulum, its mesh more or less resolved."""
    bright = scene.paint_cells(_brightness(scene, rng, rng.uniform(0.1, 0.5)))
    body = _body(scene, rng) * (1 - rng.uniform(0.3, 0.95) * scene.nucleus)
    meshed = rng.uniform(0.1, 1.0)
    light = meshed * reticulum(scene, rng) + (1 - 0.8 * meshed) * body
    return np.asarray(light * bright * _grain(scene, rng, 0.45), np.float32)


def _brightness(scene: Scene, rng: np.random.Generator, spread: float) -> np.ndarray:
    """Draw how bright each cell is (n,), log-normal, the upper quartile 1; those that the field is there for
    are not among the dimmest.
    """
    each = np.exp(rng.normal(0, spread, len(scene.cells)))
    each = np.minimum(each / np.quantile(each, 0.75), 2.5)
    state = scene.cells.state
    shown = np.union1d(np.flatnonzero(state != INTERPHASE), np.flatnonzero(state == INTERPHASE)[:1])
    each[shown] = np.maximum(each[shown], 0.6)
    return np.asarray(each)


def _body(scene: Scene, rng: np.random.Generator) -> Map:
    """Fill cells, thinner outwards, with a soft texture; mean about 0.7."""
    fine = noise(rng, scene.size, max(1.0, rng.uniform(0.4, 1.2) * scene.micron))
    coarse = noise(rng, scene.size, rng.uniform(2, 6) * scene.micron)
    texture = np.clip(1 + rng.uniform(0.05, 0.35) * fine + rng.uniform(0.05, 0.25) * coarse, 0.1, 3)
    edge = np.clip(scene.rim / (rng.uniform(0.02, 0.35) * scene.cells.line.radius), 0.25, 1)
    return np.asarray(scene.inside * edge * scene.thickness ** rng.uniform(0.0, 1.0) * texture, np.float32)


def _grain(scene: Scene, rng: np.random.Generator, most: float) -> Map:
    """Draw factors of mean 1, log-normal, in grains of 0.2 to 0.8 micrometres; `most`: their largest spread."""
    contrast = np.float32(rng.uniform(0.05, most))
    texture = noise(rng, scene.size, max(0.8, rng.uniform(0.2, 0.8) * scene.micron))
    return np.asarray(np.exp(contrast * texture - contrast**2 / 2), np.float32)


def _unspecific(scene: Scene, rng: np.random.Generator) -> Map:
    """Draw light of the whole cell and of nuclei that no label speaks of."""
    bright = scene.paint_cells(_brightness(scene, rng, rng.uniform(0.0, 0.5)))
    cell = 0.4 * rng.beta(1.1, 4) * _body(scene, rng) * (1 - rng.uniform(0, 0.9) * scene.nucleus)
    return np.asarray((cell + 0.3 * rng.beta(1, 5) * scene.nucleus) * bright + rng.beta(1, 200), np.float32)


def _specks(scene: Scene, rng: np.random.Generator) -> Map:
    """Draw specks of the antibody in cytoplasm, nuclei and between cells, in numbers from few to many."""
    ground = (scene.owner < 0) * np.float32(rng.choice([0.0, 0.03, 0.15]))
    where = scene.cytoplasm + np.float32(rng.uniform(0, 1.2)) * scene.nucleus + ground
    number = round(np.exp(rng.uniform(np.log(3), np.log(150))) * scene.whole_cells)
    points = scatter(rng, where, number)
    weight = rng.exponential(np.exp(rng.uniform(np.log(0.03), np.log(0.3))), len(points))
    return dots(points, np.minimum(weight, 0.9), rng.uniform(0.2, 0.4) * scene.micron, scene.size)
