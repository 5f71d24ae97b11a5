"""Clutter of real whole fields: debris, blebs, dying cells, and cells that lie out of focus."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hpa_hier.data.images.channels import CHANNELS
from hpa_hier.simulate.cells import directions, radius_at
from hpa_hier.simulate.geometry import Scene
from hpa_hier.simulate.splat import Map, Points, blur, dots


@dataclass(frozen=True)
class Clutter:
    """What lies in one field besides its cells, and how deep its cells lie."""

    place: Points  # (K, 2) x, y in pixels of specks
    bright: dict[str, np.ndarray]  # channel → (K,) of each speck
    size: np.ndarray  # (K,) 0 small, 1 larger: which of `sigma` a speck has
    sigma: tuple[float, float]  # pixels
    away: np.ndarray  # (n,) bool, cells out of focus
    defocus: float  # pixels, their blur's sigma
    dimmed: float  # factor of their light


def draw_clutter(scene: Scene, rng: np.random.Generator) -> Clutter:
    """Draw debris between cells, blebs at their rims, dying cells, and which cells are out of focus."""
    radius, count = scene.cells.line.radius, len(scene.cells)
    blebbing = np.flatnonzero(rng.random(count) < rng.choice([0.0, 0.2, 0.7], p=[0.55, 0.3, 0.15]))
    cell = np.repeat(blebbing, int(rng.integers(3, 20)))
    angle = rng.uniform(0, 2 * np.pi, len(cell))
    rim = radius_at(scene.cells.outline, cell, angle) * rng.uniform(1.0, 1.25, len(cell))
    blebs = scene.cells.centre[cell] + rim[:, None] * directions(angle)
    seeds = rng.uniform(0, scene.size, (rng.poisson(rng.choice([0.5, 3.0, 10.0], p=[0.5, 0.35, 0.15])), 2))
    parts = np.repeat(seeds, rng.integers(1, 8, len(seeds)), axis=0)
    debris = parts + rng.normal(0, 0.12 * radius, parts.shape)
    dying = rng.uniform(0, scene.size, (rng.poisson(rng.choice([0.0, 1.5], p=[0.6, 0.4])), 2))
    place = np.concatenate([blebs, debris, dying])
    kind = np.repeat([0, 1, 2], [len(blebs), len(debris), len(dying)])
    share = {c: np.array([rng.uniform(0.05, 0.3), 0.8 * rng.beta(1, 3), rng.uniform(0.2, 1.0)]) for c in CHANNELS}
    share["blue"] *= (0.05, 0.6, 1.0)
    each = rng.gamma(2.0, 0.5, len(place))
    return Clutter(
        place=place,
        bright={c: share[c][kind] * each * rng.uniform(0.5, 1.2, len(place)) for c in CHANNELS},
        size=(kind == 2).astype(int),
        sigma=(float(rng.uniform(0.03, 0.07) * radius), float(rng.uniform(0.15, 0.3) * radius)),
        away=np.asarray(rng.random(count) < rng.choice([0.0, 0.15, 0.5], p=[0.6, 0.3, 0.1])),
        defocus=float(rng.uniform(0.04, 0.18) * radius),
        dimmed=float(rng.uniform(0.3, 1.0)),
    )


def add_clutter(scene: Scene, light: Map, channel: str, clutter: Clutter) -> Map:
    """Defocus some cells of a channel's light (S, S), and add its debris, as bright as the channel's highlights are."""
    seen = light
    if clutter.away.any():
        apart = scene.paint_cells(clutter.away)
        seen = light * (1 - apart) + np.float32(clutter.dimmed) * blur(light * apart, clutter.defocus)
    if len(clutter.place) == 0:
        return np.asarray(seen, np.float32)
    highlight = np.float32(np.quantile(seen[::3, ::3], 0.99))
    for size, sigma in enumerate(clutter.sigma):
        these = clutter.size == size
        if these.any():
            drawn = dots(clutter.place[these], clutter.bright[channel][these], sigma, scene.size) * (1 - scene.inside)
            seen = seen + highlight * np.minimum(drawn, 1.5)
    return np.asarray(seen, np.float32)
