"""Cells before they are pixels: cell lines, outlines, where cells lie, which of them divide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hpa_hier.simulate.splat import noise

Floats = NDArray[np.float64]

ANGLES = 360  # directions in which an outline's radius is known
INTERPHASE, METAPHASE, PARTING = 0, 1, 2  # a cell between divisions, with a spindle, at the end of a division
MICRONS = 20.0  # micrometres, radius of the typical cell; sizes of organelles are measured against it
_TYPICAL, _FEWEST_PIXELS = 15.0, 8.0  # of real cell lines: micrometres, the usual radius; pixels, the least
_DIRECTIONS = np.linspace(0, 2 * np.pi, ANGLES, endpoint=False)


@dataclass(frozen=True)
class CellLine:
    """What the cells of one field have in common."""

    radius: float  # pixels, mean radius of a cell
    elongation: float  # long axis over short axis, >= 1
    aligned: float  # 0: axes point anywhere, 1: all the same way
    roughness: float  # relative amplitude of the outline's waves
    corners: int  # pointed ends of a cell
    pointed: float  # relative height of the pointed ends
    nucleus: float  # nucleus radius over cell radius
    lobes: float  # relative amplitude of the nucleus outline's waves
    spacing: float  # distance of neighbours' centres over the sum of their radii; below 1 they touch
    chromatin: float  # contrast of the nuclear stain's texture
    nucleoli: float  # mean number per nucleus
    size_spread: float  # standard deviation of the logarithm of cells' radii
    organiser_over: float  # share of cells whose organising centre lies above or below the nucleus, seen on it
    microns: float = MICRONS  # micrometres, mean radius of a cell
    thin: float = 1.0  # how much sharper the pointed ends are, as thin processes
    occupied: float = 1.0  # share of the field that cells lie in, in patches; elsewhere it is empty


@dataclass(frozen=True)
class Needs:
    """What the cells must show: dividing ones or ones that touch, for the labels; their size, for the caller."""

    metaphase: bool = False  # a cell with a spindle
    parting: bool = False  # a pair at the end of a division
    touching: bool = False
    radius: float | None = None  # pixels, of a cell; None chooses one that suits the field
    real: bool = False  # cell lines and layouts as in real whole fields, for any label


@dataclass(frozen=True)
class Cells:
    """The cells of one field, n of them."""

    line: CellLine
    centre: Floats  # (n, 2) x, y in pixels
    outline: Floats  # (n, ANGLES) pixels from the centre to the rim
    nucleus_centre: Floats  # (n, 2) x, y in pixels
    nucleus_outline: Floats  # (n, ANGLES) pixels; 0 for cells in metaphase, which have no nucleus
    axis: Floats  # (n,) radians, long axis; the spindle's axis in metaphase
    organiser: Floats  # (n, 2) x, y in pixels: the microtubule organising centre
    state: NDArray[np.int64]  # (n,) INTERPHASE, METAPHASE or PARTING
    partner: NDArray[np.int64]  # (n,) the other cell of a parting pair, else -1

    def __len__(self) -> int:
        return len(self.centre)

    @property
    def micron(self) -> float:
        """Pixels per micrometre."""
        return self.line.radius / self.line.microns


def draw_cell_line(rng: np.random.Generator, size: int, needs: Needs) -> CellLine:
    """Draw a cell line that shows at least a cell or two and at most some tens in a field of `size` pixels."""
    crowd = needs.metaphase or needs.parting or needs.touching  # leaves room for another cell
    largest = (0.27 if crowd else 0.38) * size
    # Small fields hold few cells because organelles need pixels; large ones range from single cells to tens.
    smallest = max(0.055 * size, min(0.75 * largest, 19.0))
    radius = needs.radius or np.exp(rng.uniform(np.log(smallest), np.log(largest)))
    long = rng.random() < 0.35
    spacing = rng.uniform(0.6, 0.8) if needs.touching or rng.random() < 0.5 else rng.uniform(0.78, 1.25)
    return CellLine(
        radius=float(radius),
        elongation=float(rng.uniform(1.6, 2.8) if long else rng.uniform(1.0, 1.5)),
        aligned=float(rng.uniform(0.5, 1.0) if long and rng.random() < 0.6 else 0.0),
        roughness=float(rng.uniform(0.03, 0.13)),
        corners=int(rng.integers(2, 6)),
        pointed=float(rng.uniform(0.2, 1.1) if rng.random() < 0.55 else 0.0),
        nucleus=float(rng.uniform(0.36, 0.62)),
        lobes=float(rng.choice([0.02, 0.05, 0.11, 0.18], p=[0.45, 0.33, 0.15, 0.07])),
        spacing=float(spacing),
        chromatin=float(rng.uniform(0.05, 0.35)),
        nucleoli=float(rng.uniform(1.5, 5.0)),
        size_spread=float(rng.uniform(0.08, 0.3)),
        organiser_over=float(rng.choice([0.0, 0.3, 0.9], p=[0.4, 0.4, 0.2])),
    )


def draw_real_cell_line(rng: np.random.Generator, size: int, needs: Needs) -> CellLine:
    """Draw a cell line as they are in the competition's fields: round and spindly ones, loose, in patches or crowded.

    All lines are seen at one magnification, at which `needs.radius` is that of a cell of 15 micrometres.

    Measured on 48 real fields: nuclei of 2 to 6 % of the side in radius, 8 to 46 of them, cells on 9 to 80 % of the
    field.
    """
    line = draw_cell_line(rng, size, needs)
    round_cells = rng.random() < 0.25  # lines that grow in suspension or in clumps: small, round, all nucleus
    crowded = rng.random() < 0.3 and not round_cells
    microns = float(rng.uniform(8.0, 12.0) if round_cells else rng.uniform(12.0, 22.0))
    radius = np.clip(line.radius * microns / _TYPICAL, _FEWEST_PIXELS, max(line.radius, 0.4 * size))
    return replace(
        line,
        radius=float(radius),
        elongation=float(rng.uniform(1.0, 1.2) if round_cells else rng.choice([1.2, 1.6, 2.3]) * rng.uniform(0.8, 1.3)),
        aligned=float(rng.uniform(0.3, 1.0) if rng.random() < 0.35 else 0.0),
        roughness=float(rng.uniform(0.02, 0.08) if round_cells else rng.uniform(0.04, 0.2)),
        pointed=0.0 if round_cells else float(rng.uniform(0.0, 1.8)),
        nucleus=float(rng.uniform(0.6, 0.82) if round_cells else rng.uniform(0.42, 0.68)),
        spacing=float(rng.uniform(0.5, 0.75) if crowded or needs.touching else rng.uniform(0.75, 1.25)),
        size_spread=float(rng.uniform(0.1, 0.4)),
        microns=microns,
        thin=float(rng.uniform(1.0, 4.0)),
        occupied=float(rng.choice([1.0, rng.uniform(0.35, 0.95)], p=[0.4, 0.6])),
    )


def draw_outlines(rng: np.random.Generator, count: int, roughness: float, elongation: float, axis: Floats) -> Floats:
    """Draw closed smooth outlines of mean radius about 1.

    Returns:
        (count, ANGLES) radii of ellipses of the given elongation and axis, with random waves on them.
    """
    around = _DIRECTIONS - axis[:, None]
    half = np.sqrt(elongation)
    ellipse = 1 / np.sqrt((np.cos(around) / half) ** 2 + (np.sin(around) * half) ** 2)
    orders = np.arange(2, 8)
    strength = rng.normal(0, 1, (count, len(orders))) * roughness / (orders / 2) ** 1.3
    phase = rng.uniform(0, 2 * np.pi, (count, len(orders)))
    waves = np.einsum("nk,nka->na", strength, np.cos(orders[:, None] * _DIRECTIONS + phase[..., None]))
    return np.asarray(ellipse * np.exp(waves))


def _corners(rng: np.random.Generator, line: CellLine, axis: Floats) -> Floats:
    """Factors (n, ANGLES) that pull an outline out at a few places, two of them the ends of the long axis."""
    place = axis[:, None] + np.concatenate(
        [np.tile([0, np.pi], (len(axis), 1)), rng.uniform(0, 2 * np.pi, (len(axis), max(line.corners - 2, 0)))], axis=1
    )
    height = line.pointed * rng.uniform(0.2, 1.0, place.shape)
    sharp = line.thin * rng.uniform(6, 18, (*place.shape, 1))
    peaks = height[..., None] * np.exp(sharp * (np.cos(_DIRECTIONS - place[..., None]) - 1))
    factors = 1 + peaks.sum(axis=1)
    return np.asarray(factors / np.sqrt((factors**2).mean(axis=1, keepdims=True)))


def directions(angle: Floats | float) -> Floats:
    """Return unit vectors (..., 2), x and y, that point at angles (...) in radians.

    >>> directions(np.array([0.0])).tolist()
    [[1.0, 0.0]]
    """
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def radius_at(outline: Floats, cell: NDArray[np.intp], angle: Floats) -> Floats:
    """Look up each cell's radius in a direction; `cell` and `angle` (radians) broadcast.

    >>> outline = np.stack([np.full(ANGLES, 10.0), np.full(ANGLES, 20.0)])
    >>> radius_at(outline, np.array([0, 1]), np.array([0.0, np.pi])).tolist()
    [10.0, 20.0]
    """
    return np.asarray(outline[cell, (angle * (ANGLES / (2 * np.pi))).astype(np.intp) % ANGLES])


def draw_cells(rng: np.random.Generator, size: int, needs: Needs) -> Cells:
    """Draw a cell line and its cells over a field of `size` pixels; cells at the edge are cut by it."""
    line = (draw_real_cell_line if needs.real else draw_cell_line)(rng, size, needs)
    place = _place_in_patches if needs.real else _place
    centre, scale, axis, state, partner = map(np.array, zip(*place(rng, size, line, needs), strict=True))
    count = len(centre)
    rounded = state != INTERPHASE
    outline = draw_outlines(rng, count, line.roughness, line.elongation, axis)
    outline *= _corners(rng, line, axis)
    outline[rounded] = draw_outlines(rng, int(rounded.sum()), 0.03, 1.1, axis[rounded])
    outline *= scale[:, None]
    shape = draw_outlines(rng, count, line.lobes, min(line.elongation, 1.6) ** 0.7, axis + rng.normal(0, 0.15, count))
    room_for_it = 0.92 if needs.real else 0.75  # share of a narrow cell's width that its nucleus may take
    nuclear_radius = np.minimum(line.nucleus * scale, room_for_it * outline.min(axis=1)) * rng.uniform(0.9, 1.1, count)
    nuclear_radius[state == PARTING] *= 0.8
    nuclear_radius[state == METAPHASE] = 0.0
    nucleus_outline = shape * nuclear_radius[:, None]
    room = np.maximum(outline.min(axis=1) - nucleus_outline.max(axis=1), 0) * 0.7
    turn = rng.uniform(0, 2 * np.pi, count)
    nucleus_centre = centre + (room * rng.random(count))[:, None] * directions(turn)
    side = rng.uniform(0, 2 * np.pi, count)
    beside = np.where(
        rng.random(count) < line.organiser_over, rng.uniform(0.1, 0.95, count), rng.uniform(0.95, 1.3, count)
    )
    away = radius_at(nucleus_outline, np.arange(count), side) * beside
    organiser = nucleus_centre + away[:, None] * directions(side)
    return Cells(line, centre, outline, nucleus_centre, nucleus_outline, axis, organiser, state, partner)


class _Laid(NamedTuple):
    """A cell that has its place, while a field is filled."""

    centre: Floats  # (2,) x, y in pixels
    radius: float  # pixels
    axis: float  # radians
    state: int = INTERPHASE
    partner: int = -1


def _room(laid: Sequence[_Laid], spots: Floats, radius: float | Floats, spacing: float) -> Floats:
    """Return for each spot (k, 2) how clear a cell there, `radius` () or (k, 1), would stand of the nearest: pixels."""
    if not laid:
        return np.full(len(spots), np.inf)
    centre, taken, _, state, _ = map(np.array, zip(*laid, strict=True))
    apart = np.hypot(*(spots[:, None] - centre).transpose(2, 0, 1))
    apart_by = np.where(state == INTERPHASE, spacing, max(spacing, 1.05))  # dividing cells stand free
    return np.asarray((apart - apart_by * (radius + taken)).min(axis=1))


def _place(rng: np.random.Generator, size: int, line: CellLine, needs: Needs) -> list[_Laid]:
    """Lay cells at random, none too near another: those that the labels ask for, one at rest, then others."""
    laid = _lay_dividing(rng, size, line, needs)
    # A field of dividing cells alone would hide most labels: one cell at rest lies well inside, in the freest spot.
    candidates = rng.uniform(0.25, 0.75, (40 if laid else 1, 2)) * size
    common = rng.uniform(0, np.pi)
    laid.append(_Laid(candidates[_room(laid, candidates, line.radius, line.spacing).argmax()], line.radius, common))
    margin = 0.5 * line.radius
    attempts = int(min(400, 14 + 9 * (size / line.radius) ** 2))
    most = len(laid) + rng.uniform(0.5, 1.2) * ((size + 2 * margin) / (2 * line.radius * line.spacing)) ** 2
    spots = rng.uniform(-margin, size + margin, (attempts, 2))
    radii = line.radius * np.exp(rng.normal(0, line.size_spread, attempts))
    dividing = rng.random(attempts) < 0.012
    turned = common + (1 - line.aligned) * rng.uniform(-np.pi / 2, np.pi / 2, attempts)
    for spot, radius, divides, axis in zip(spots, radii, dividing, turned, strict=True):
        if len(laid) >= most:
            break
        if _room(laid, spot[None], radius, line.spacing)[0] > 0:
            laid.append(_Laid(spot, radius * (0.85 if divides else 1.0), axis, METAPHASE if divides else INTERPHASE))
    return laid


def _place_in_patches(rng: np.random.Generator, size: int, line: CellLine, needs: Needs) -> list[_Laid]:
    """Lay cells as in real fields: those that the labels ask for, one at rest, then others in patches of the field."""
    laid = _lay_dividing(rng, size, line, needs)
    candidates = rng.uniform(0.2, 0.8, (40 if laid else 1, 2)) * size
    common = rng.uniform(0, np.pi)
    laid.append(_Laid(candidates[_room(laid, candidates, line.radius, line.spacing).argmax()], line.radius, common))
    margin, attempts = 0.5 * line.radius, int(min(500, 30 + 16 * (size / line.radius) ** 2))
    spots = rng.uniform(-margin, size + margin, (attempts, 2))
    radii = line.radius * np.exp(rng.normal(0, line.size_spread, attempts))
    turned = common + (1 - line.aligned) * rng.uniform(-np.pi / 2, np.pi / 2, attempts)
    patches = noise(rng, 24, rng.uniform(3, 9))
    column, row = np.clip(spots.T * 24 / size, 0, 23).astype(np.intp)
    free = patches[row, column] >= np.quantile(patches, 1 - line.occupied)
    free &= _room(laid, spots, radii[:, None], line.spacing) > 0
    apart = np.hypot(*(spots[:, None] - spots).transpose(2, 0, 1))
    near = apart < line.spacing * (radii[:, None] + radii)
    divides = rng.random(attempts) < 0.015
    for i in range(attempts):
        if free[i]:
            free &= ~near[i]
            state = METAPHASE if divides[i] else INTERPHASE
            laid.append(_Laid(spots[i], radii[i] * (0.85 if divides[i] else 1.0), turned[i], state))
    return laid


def _lay_dividing(rng: np.random.Generator, size: int, line: CellLine, needs: Needs) -> list[_Laid]:
    """Lay a parting pair and a cell in metaphase, wholly inside the field, where asked for or by chance."""
    laid = []
    by_chance = 0.06 if size > 6 * line.radius else 0.0
    if needs.parting or rng.random() < by_chance:
        axis = rng.uniform(0, 2 * np.pi)
        radius = min(0.72 * line.radius, size / 5)
        middle = rng.uniform(1.6 * radius, size - 1.6 * radius, 2)
        step = radius * rng.uniform(1.08, 1.3) * directions(axis)
        laid = [_Laid(middle + way * step, radius, axis, PARTING, partner) for way, partner in ((-1, 1), (1, 0))]
    if needs.metaphase:
        radius = min(0.8 * line.radius, size / 3.5)
        candidates = rng.uniform(radius, size - radius, (40 if laid else 1, 2))
        best = candidates[_room(laid, candidates, radius, 1.0).argmax()]
        laid.append(_Laid(best, radius, rng.uniform(0, 2 * np.pi), METAPHASE))
    return laid
