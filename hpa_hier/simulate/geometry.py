"""The scene: cells as maps of pixels, their microtubules and nucleoli, which stains and patterns share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from hpa_hier.simulate.cells import ANGLES, INTERPHASE, METAPHASE, Cells, Floats, directions, radius_at
from hpa_hier.simulate.splat import Map, Points, noise

FAR = np.float32(9.0)  # relative distance given to pixels that belong to no cell or nucleus


@dataclass(frozen=True)
class Curves:
    """F curves of T points, each inside one cell; a curve ends where it leaves its cell."""

    points: NDArray[np.float64]  # (F, T, 2) x, y in pixels
    alive: NDArray[np.bool_]  # (F, T)
    cell: NDArray[np.intp]  # (F,)

    def flat(self, brightness: Floats | None = None) -> tuple[Points, Floats]:
        """Return the living points (K, 2) and the length of curve each stands for, times its curve's brightness."""
        step = np.hypot(*np.moveaxis(np.diff(self.points, axis=1, append=self.points[:, -1:]), 2, 0))
        step = np.minimum(step, 4.0)  # a jump at the cell's fold is no curve
        if brightness is not None:
            step = step * brightness[:, None]
        return self.points[self.alive], step[self.alive]


@dataclass(frozen=True)
class Scene:
    """One field of cells, seen as maps (S, S)."""

    cells: Cells
    size: int  # pixels
    owner: NDArray[np.int16]  # the cell that a pixel belongs to, -1 for none
    reach: Map  # distance from the cell's centre over the cell's radius in that direction; FAR outside cells
    beyond: Map  # pixels outside the nuclear envelope, negative inside; large where there is no nucleus
    microtubules: Curves
    filament_light: Floats  # how much stain each living point of the microtubules took, mean 1
    nucleolus_centre: Points  # (K, 2)
    nucleolus_radius: Floats  # (K,) pixels
    nucleoli: Map  # 1 inside nucleoli, soft at their edge
    slope: float  # cell radii over which a cell grows thin outwards from its nucleus

    @property
    def micron(self) -> float:
        """Pixels per micrometre."""
        return self.cells.micron

    @property
    def resting(self) -> NDArray[np.intp]:
        """The cells that have a nucleus: all but those in metaphase."""
        return np.flatnonzero(self.cells.state != METAPHASE)

    @cached_property
    def whole_cells(self) -> float:
        """The area of all cells over that of a typical one."""
        return float(self.inside.sum()) / (np.pi * self.cells.line.radius**2)

    @cached_property
    def inside(self) -> Map:
        """1 in cells, 0 outside, soft at the rim."""
        rim = np.clip((1 - self.reach) * np.float32(self.cells.line.radius * 0.8) + 0.5, 0, 1)
        return np.asarray(rim * (self.owner >= 0))

    @cached_property
    def nucleus(self) -> Map:
        """1 in nuclei, 0 outside, soft at the envelope."""
        return np.asarray(np.clip(0.5 - self.beyond, 0, 1))

    @cached_property
    def cytoplasm(self) -> Map:
        """1 in cells outside the nucleus."""
        return self.inside * (1 - self.nucleus)

    @cached_property
    def thickness(self) -> Map:
        """1 at the nucleus, less outwards, where a spread cell is thin and holds less of everything."""
        outward = np.maximum(self.beyond, 0) / np.float32(self.slope * self.cells.line.radius)
        return np.where(self.dividing > 0, np.float32(1), np.exp(-outward)).astype(np.float32)

    @cached_property
    def dividing(self) -> Map:
        """1 in cells in metaphase."""
        return self.paint_cells(self.cells.state == METAPHASE)

    @cached_property
    def toward_organiser(self) -> Map:
        """Cosine of the angle, seen from the nucleus, between a pixel and the organising centre; 0 outside cells."""
        away = self.cells.organiser - self.cells.nucleus_centre
        way = away / np.maximum(np.hypot(*away.T), 1e-6)[:, None]
        columns = np.arange(self.size, dtype=np.float32)
        x = columns[None] - self.paint_cells(self.cells.nucleus_centre[:, 0])
        y = columns[:, None] - self.paint_cells(self.cells.nucleus_centre[:, 1])
        along = x * self.paint_cells(way[:, 0]) + y * self.paint_cells(way[:, 1])
        return np.asarray(along / np.maximum(np.sqrt(x * x + y * y), 1e-6), np.float32)

    @cached_property
    def rim(self) -> Map:
        """Pixels from the nearest border of the cell, at least 0.5 inside it; 0 outside cells."""
        padded = np.pad(self.owner, 1, mode="edge")
        border = np.zeros(self.owner.shape, bool)
        for shifted in (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]):
            border |= shifted != self.owner
        free = (self.owner >= 0) & ~border
        return np.asarray(cv2.distanceTransform(free.astype(np.uint8), cv2.DIST_L2, 5), np.float32)

    @cached_property
    def contact(self) -> Map:
        """1 where two cells touch, 0 elsewhere."""
        reach = max(1, round(0.25 * self.micron))
        window = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
        highest = cv2.dilate(self.owner, window)
        lowest = cv2.erode(np.where(self.owner < 0, np.int16(32000), self.owner), window)
        return ((lowest < highest) & (highest >= 0) & (lowest < 32000)).astype(np.float32)

    def draw_grain(self, rng: np.random.Generator, contrast: float) -> Map:
        """Draw fine grain of mean about 1."""
        return np.asarray(np.clip(1 + contrast * noise(rng, self.size, max(1.3, 0.5 * self.micron)), 0, 3))

    def paint_cells(self, values: NDArray[np.generic], outside: float = 0.0) -> Map:
        """Spread one value per cell (n,) over the cells' pixels."""
        table = np.append(np.asarray(values, np.float32), np.float32(outside))
        return np.asarray(table[self.owner])


def make_scene(rng: np.random.Generator, cells: Cells, size: int) -> Scene:
    """Rasterise cells into the maps that stains and patterns are drawn on."""
    owner, reach, beyond = _rasterise(cells, size)
    centre, radius, nucleoli = _draw_nucleoli(rng, cells, size)
    microtubules = _draw_microtubules(rng, cells, owner)
    stain = _draw_stain(rng, microtubules)
    slope = float(np.exp(rng.uniform(np.log(0.4), np.log(4.0))))
    nucleoli *= np.clip(0.5 - beyond, 0, 1)
    return Scene(cells, size, owner, reach, beyond, microtubules, stain, centre, radius, nucleoli, slope)


def _rasterise(cells: Cells, size: int) -> tuple[NDArray[np.int16], Map, Map]:
    """Give each pixel to the cell it lies deepest in; nuclei go before cytoplasm: no neighbour cuts into them."""
    owner = np.full((size, size), -1, np.int16)
    reach = np.full((size, size), FAR)
    beyond = np.full((size, size), np.float32(size))
    best = np.ones((size, size), np.float32)
    for i in range(len(cells)):
        far = cells.outline[i].max() + 1
        x0, y0 = np.maximum(np.floor(cells.centre[i] - far), 0).astype(int)
        x1, y1 = np.minimum(np.ceil(cells.centre[i] + far) + 1, size).astype(int)
        if x1 <= x0 or y1 <= y0:
            continue
        here = (slice(y0, y1), slice(x0, x1))
        x, y = np.arange(x0, x1, dtype=np.float32), np.arange(y0, y1, dtype=np.float32)
        own_reach, _ = _distances(cells.centre[i], cells.outline[i], x, y)
        score, outside_nucleus = own_reach, np.full_like(own_reach, size)
        if cells.nucleus_outline[i, 0] > 0:
            nuclear, outside_nucleus = _distances(cells.nucleus_centre[i], cells.nucleus_outline[i], x, y)
            score = np.where(nuclear < 1, nuclear - 1, own_reach)
        wins = score < best[here]
        best[here][wins] = score[wins]
        owner[here][wins] = i
        reach[here][wins] = own_reach[wins]
        beyond[here][wins] = outside_nucleus[wins]
    return owner, reach, beyond


def _distances(centre: Floats, outline: Floats, x: Map, y: Map) -> tuple[Map, Map]:
    """Return distances from a centre over the outline's radius there, and pixels beyond it, at each y and x."""
    distance, angle = cv2.cartToPolar(*np.meshgrid(x - np.float32(centre[0]), y - np.float32(centre[1])))
    radius = outline.astype(np.float32)[(angle * (ANGLES / (2 * np.pi))).astype(np.intp) % ANGLES]
    return distance / radius, distance - radius


def in_cell(cells: Cells, cell: NDArray[np.intp], unit: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map points of the unit disc into cells, its rim onto theirs: (..., 2) → x, y in pixels; `cell` broadcasts."""
    flat = np.ascontiguousarray(unit.reshape(-1, 2).T, np.float32)
    _, angle = cv2.cartToPolar(flat[0], flat[1])  # some times faster than arctan2
    radius = radius_at(cells.outline, cell, angle.reshape(unit.shape[:-1]))
    return np.asarray(cells.centre[cell] + unit * radius[..., None])


def in_nucleus(cells: Cells, cell: NDArray[np.intp], unit: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map points of the unit disc into the cells' nuclei: (..., 2) → x, y in pixels."""
    angle = np.arctan2(unit[..., 1], unit[..., 0])
    radius = radius_at(cells.nucleus_outline, cell, angle)
    return np.asarray(cells.nucleus_centre[cell] + unit * radius[..., None])


def disc(rng: np.random.Generator, count: int, largest: float = 1.0) -> NDArray[np.float64]:
    """Draw points evenly in a disc of radius `largest`: (count, 2).

    >>> points = disc(np.random.default_rng(0), 100, 2.0)
    >>> points.shape, bool((np.hypot(*points.T) <= 2.0).all())
    ((100, 2), True)
    """
    away = largest * np.sqrt(rng.random((count, 1)))
    return away * directions(rng.uniform(0, 2 * np.pi, count))


def clip_to_cell(points: NDArray[np.float64], cell: NDArray[np.intp], owner: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Return which points of curves (F, T, 2) come before the curve first leaves its cell: (F, T).

    >>> owner = np.tile(np.array([0, 0, -1, 0], np.int16), (4, 1))
    >>> x = np.arange(4.0)
    >>> clip_to_cell(np.stack([x, 0 * x], axis=1)[None], np.array([0]), owner).tolist()
    [[True, True, False, False]]
    """
    size = owner.shape[0]
    column, row = np.moveaxis(np.rint(points).astype(np.intp), -1, 0)
    # Beyond the field's edge nothing is seen, and a curve may come back: it stays alive there.
    off = (column < 0) | (row < 0) | (column >= size) | (row >= size)
    own = owner[np.clip(row, 0, size - 1), np.clip(column, 0, size - 1)] == cell[:, None]
    return np.asarray(np.logical_and.accumulate(own | off, axis=1) & ~off)


def wander(rng: np.random.Generator, start: Floats, heading: Floats, steps: int, step: float, bend: float) -> Floats:
    """Let F curves wander with slowly changing direction: (F, steps, 2).

    Args:
        rng: source of the bends.
        start: (F, 2), in the units of `step`.
        heading: (F,) radians.
        steps: points per curve.
        step: distance between points.
        bend: radians, spread of the direction after `steps` steps.

    >>> wander(np.random.default_rng(0), np.zeros((1, 2)), np.zeros(1), 3, 2.0, 0.0)[0].tolist()
    [[2.0, 0.0], [4.0, 0.0], [6.0, 0.0]]
    """
    turns = rng.standard_normal((len(start), steps), np.float32)
    persist = np.arange(1, steps + 1, dtype=np.float32) ** np.float32(-0.5)  # bends persist for a while
    way = np.cumsum(np.cumsum(turns, axis=1) * persist, axis=1) * np.float32(bend / steps)
    way += heading[:, None].astype(np.float32)
    paths = np.empty((len(start), steps, 2))
    np.cumsum(np.cos(way), axis=1, out=paths[..., 0])
    np.cumsum(np.sin(way), axis=1, out=paths[..., 1])
    paths *= step
    paths += start[:, None]
    return paths


def _draw_microtubules(rng: np.random.Generator, cells: Cells, owner: NDArray[np.int16]) -> Curves:
    """Draw filaments from each cell's organising centre, and from elsewhere, out to its rim and along it."""
    radius = cells.line.radius
    each = int(np.clip(2.8 * radius, 30, 280) * rng.uniform(0.6, 1.6))
    cell = np.repeat(np.arange(len(cells)), each)
    away = cells.organiser - cells.centre
    scale = radius_at(cells.outline, np.arange(len(cells)), np.arctan2(away[:, 1], away[:, 0]))
    start = (away / scale[:, None])[cell] + rng.normal(0, 0.06, (len(cell), 2))
    free = rng.random(len(cell)) < rng.uniform(0.35, 0.85)
    start[free] = disc(rng, int(free.sum()), 0.8)
    heading = rng.uniform(0, 2 * np.pi, len(cell))
    steps = int(np.ceil(1.3 * radius / 0.9))
    unit = wander(rng, start, heading, steps, 1.3 / steps, rng.uniform(0.5, 1.7))
    away_unit = np.hypot(unit[..., 0], unit[..., 1])
    unit *= np.minimum(1, 0.96 / np.maximum(away_unit, 1e-9))[..., None]  # at the rim a filament slides along it
    points = in_cell(cells, cell[:, None], unit)
    alive = clip_to_cell(points, cell, owner)
    lasts = rng.uniform(0.35, 1.0, len(cell)) * steps
    alive &= np.arange(steps) < lasts[:, None]
    alive &= np.cumsum(away_unit > 0.96, axis=1) < rng.uniform(0, 0.3, len(cell))[:, None] * steps
    alive &= (cells.state[cell] != METAPHASE)[:, None]
    return Curves(points, alive, cell)


def _draw_stain(rng: np.random.Generator, curves: Curves) -> Floats:
    """Draw how unevenly filaments take the stain, as antibodies do: from one to the next, and along each."""
    each = rng.gamma(2.0, 0.5, len(curves.cell))
    number = np.repeat(np.arange(len(curves.cell)), curves.alive.sum(axis=1))
    return np.asarray(each[number] * rng.standard_exponential(len(number), np.float32) ** 0.6)


def _draw_nucleoli(rng: np.random.Generator, cells: Cells, size: int) -> tuple[Points, Floats, Map]:
    """Draw each nucleus's nucleoli as one to three merged ellipses: centres, radii and their map."""
    canvas = np.zeros((size, size), np.uint8)
    resting = np.flatnonzero(cells.state == INTERPHASE)
    number = np.clip(rng.poisson(cells.line.nucleoli, len(resting)), 1, 8)
    cell = np.repeat(resting, number)
    centre = in_nucleus(cells, cell, disc(rng, len(cell), 0.68))
    nuclear_radius = cells.nucleus_outline[cell].mean(axis=1)
    radius = nuclear_radius * rng.uniform(0.16, 0.28, len(cell)) * (4 / (np.repeat(number, number) + 2)) ** 0.4
    parts = rng.integers(1, 4, len(cell))
    which = np.repeat(np.arange(len(cell)), parts)
    spot = centre[which] + rng.normal(0, 0.45, (len(which), 2)) * radius[which, None]
    axes = np.maximum(radius[which, None] * rng.uniform(0.6, 1.05, (len(which), 2)), 0.4)
    turn = rng.uniform(0, 180, len(which))
    for (x, y), (a, b), angle in zip(spot.tolist(), axes.tolist(), turn.tolist(), strict=True):
        middle, half = (round(16 * x), round(16 * y)), (max(1, round(16 * a)), max(1, round(16 * b)))
        if -16 * 50 < middle[0] < 16 * (size + 50) and -16 * 50 < middle[1] < 16 * (size + 50):
            cv2.ellipse(canvas, middle, half, angle, 0, 360, 255, -1, cv2.LINE_AA, 4)
    return centre, np.asarray(radius), canvas.astype(np.float32) / np.float32(255)
