"""Patterns of the cytoskeleton: filaments, adhesions, microtubules and what hangs on them, centrosomes."""

from __future__ import annotations

import numpy as np

from hpa_hier.simulate.cells import METAPHASE, Floats, directions
from hpa_hier.simulate.geometry import Curves, Scene, clip_to_cell, disc, in_cell, wander
from hpa_hier.simulate.splat import Map, dots, lines, noise


def filaments(scene: Scene) -> Map:
    """Draw the scene's microtubules, dimmer where they pass over the nucleus, and the spindles and bridges."""
    points, spacing = scene.microtubules.flat()
    drawn = lines(points, spacing * scene.filament_light, 0.14 * scene.micron, scene.size)
    crowded = drawn / (1 + 0.3 * drawn)  # where many cross, as around the organising centre, the sum would outshine all
    return np.asarray(1.2 * crowded * (1 - 0.8 * scene.nucleus), np.float32)


def microtubules(scene: Scene, rng: np.random.Generator) -> Map:
    """Draw the filaments that the red channel shows."""
    haze = rng.uniform(0.02, 0.12) * scene.cytoplasm
    dividing = 0.8 * spindles(scene, np.random.default_rng(0)) + bridges(scene)
    return np.asarray(0.75 * filaments(scene) * scene.thickness + haze + dividing, np.float32)


def microtubule_ends(scene: Scene, rng: np.random.Generator) -> Map:
    """Draw short bright dashes along microtubules, most of them far out, over a dim cytoplasm."""
    curves = scene.microtubules
    count, steps = curves.alive.shape
    length = max(2, round(rng.uniform(1.0, 2.4) * scene.micron))
    first = (steps * rng.beta(rng.uniform(1.0, 2.0), 1.3, count)).astype(np.intp)
    tick = np.arange(steps)
    dash = (tick >= first[:, None]) & (tick < first[:, None] + length) & curves.alive
    dash &= np.asarray(rng.random(count) < 0.7)[:, None]
    points, spacing = Curves(curves.points, dash, curves.cell).flat(np.asarray(rng.uniform(0.6, 1.2, count)))
    dashes = lines(points, spacing, 0.3 * scene.micron, scene.size)
    grain = scene.draw_grain(rng, 0.5)
    return np.asarray(dashes * (1 - 0.6 * scene.nucleus) + rng.uniform(0.06, 0.2) * scene.inside * grain, np.float32)


def intermediate_filaments(scene: Scene, rng: np.random.Generator) -> Map:
    """Draw a dense tangle of curly filaments around the nucleus that thins out towards the rim."""
    radius = scene.cells.line.radius
    each = int(np.clip(2.0 * radius, 24, 220))
    cell = np.repeat(scene.resting, each)
    steps = int(np.ceil(0.9 * radius / 0.9))
    unit = wander(rng, disc(rng, len(cell), 0.7), rng.uniform(0, 2 * np.pi, len(cell)), steps, 0.9 / steps, 5.0)
    points = in_cell(scene.cells, cell[:, None], unit)
    curves = Curves(points, clip_to_cell(points, cell, scene.owner), cell)
    drawn = lines(*curves.flat(rng.uniform(0.3, 1.0, len(cell))), 0.16 * scene.micron, scene.size)
    collapse = np.exp(-np.maximum(scene.beyond, 0) / (rng.uniform(0.35, 3.0) * radius))
    haze = rng.uniform(0.1, 0.4) * scene.cytoplasm
    return np.asarray((0.8 * drawn + haze) * (0.25 + collapse) * (1 - 0.92 * scene.nucleus), np.float32)


def actin(scene: Scene, rng: np.random.Generator) -> Map:
    """Draw straight parallel stress fibres right across each cell, over the nucleus too, and a cortex at the rim."""
    radius = scene.cells.line.radius
    each = int(np.clip(0.7 * radius, 9, 80))
    cell = np.repeat(scene.resting, each)
    count = len(cell)
    way = scene.cells.axis[cell] + rng.normal(0, 0.09, count)
    across = rng.uniform(-0.95, 0.95, count) * radius
    along = rng.uniform(-0.5, 0.5, count) * radius
    x, y = along * np.cos(way) - across * np.sin(way), along * np.sin(way) + across * np.cos(way)
    middle = scene.cells.centre[cell] + np.stack([x, y], axis=1)
    reach = np.arange(-1.8 * radius, 1.8 * radius, 0.8)
    points = middle[:, None] + reach[None, :, None] * directions(way)[:, None]
    length = rng.uniform(0.4, 1.8, count) * radius
    alive = _own(points, cell, scene) & (np.abs(reach) < length[:, None])
    fibres = lines(*Curves(points, alive, cell).flat(rng.uniform(0.2, 1.0, count)), 0.3 * scene.micron, scene.size)
    cortex = np.exp(-((scene.rim / max(0.5 * scene.micron, 0.8)) ** 2)) * scene.inside
    dissolved = rng.uniform(0.05, 0.5) * scene.inside * (1 - 0.6 * scene.nucleus)  # actin that is no filament
    return np.asarray(rng.uniform(0.4, 1.0) * fibres + rng.uniform(0.15, 0.7) * cortex + dissolved, np.float32)


def focal_adhesions(scene: Scene, rng: np.random.Generator) -> Map:
    """Draw short thick dashes near the rim that point outwards, in a few patches of it."""
    each = int(rng.integers(14, 34))
    cell = np.repeat(scene.resting, each)
    patches = rng.uniform(0, 2 * np.pi, (len(scene.resting), 4)).repeat(each, axis=0)
    angle = patches[np.arange(len(cell)), rng.integers(0, 4, len(cell))] + rng.normal(0, 0.4, len(cell))
    away = 1 - np.abs(rng.normal(0.02, 0.09, len(cell)))
    start = in_cell(scene.cells, cell, away[:, None] * directions(angle))
    points, spacing = _dashes(scene, rng, start, angle + rng.normal(0, 0.25, len(cell)), rng.uniform(1.3, 3.0))
    drawn = lines(points, spacing, 0.32 * scene.micron, scene.size)
    return np.asarray(drawn + rng.uniform(0.01, 0.08) * scene.inside, np.float32)


def bridges(scene: Scene) -> Map:
    """Draw a bright short line between each two cells that are about to part."""
    pairs = [(i, int(j)) for i, j in enumerate(scene.cells.partner) if j > i]
    if not pairs:
        return np.zeros((scene.size, scene.size), np.float32)
    one, two = (scene.cells.centre[list(side)] for side in zip(*pairs, strict=True))
    along = np.linspace(0.32, 0.68, 40)
    points = (one[:, None] + along[None, :, None] * (two - one)[:, None]).reshape(-1, 2)
    spacing = np.repeat(np.hypot(*(two - one).T) * 0.36 / 40, 40)
    return lines(points, spacing, 0.5 * scene.micron, scene.size)


def bridge(scene: Scene, rng: np.random.Generator) -> Map:
    """Draw the bridge between parting cells, over faint filaments."""
    faint = rng.uniform(0.03, 0.2) * filaments(scene) + rng.uniform(0, 0.06) * scene.inside
    return np.asarray(1.3 * bridges(scene) + faint, np.float32)


def spindles(scene: Scene, rng: np.random.Generator) -> Map:
    """Draw the two fans of filaments between the poles of each cell in metaphase."""
    cell = np.repeat(np.flatnonzero(scene.cells.state == METAPHASE), 24)
    if len(cell) == 0:
        return np.zeros((scene.size, scene.size), np.float32)
    radius = 0.5 * scene.cells.outline[cell].mean(axis=1)
    along = np.linspace(-1, 1, max(16, int(2.5 * radius.max())))
    bulge = rng.uniform(-0.75, 0.75, len(cell))[:, None] * np.cos(along * np.pi / 2)[None] ** 0.8
    axis = scene.cells.axis[cell][:, None]
    x = radius[:, None] * (along * np.cos(axis) - bulge * np.sin(axis))
    y = radius[:, None] * (along * np.sin(axis) + bulge * np.cos(axis))
    points = scene.cells.centre[cell][:, None] + np.stack([x, y], axis=2)
    spacing = np.repeat(2 * radius / len(along), len(along))
    drawn = lines(points.reshape(-1, 2), spacing, 0.2 * scene.micron, scene.size)
    return np.asarray(drawn / (1 + 0.35 * drawn), np.float32)  # the poles, where all meet, would outshine the rest


def spindle(scene: Scene, rng: np.random.Generator) -> Map:
    """Draw the spindle of dividing cells, with its poles, over a faint haze in all cells."""
    dividing = np.flatnonzero(scene.cells.state == METAPHASE)
    toward = directions(scene.cells.axis[dividing])
    centre, radius = scene.cells.centre[dividing], scene.cells.outline[dividing].mean(axis=1)
    away = 0.5 * radius[:, None] * toward
    poles = np.concatenate([centre + away, centre - away])
    bright = dots(poles, np.full(len(poles), rng.uniform(0.0, 1.0)), 0.5 * scene.micron, scene.size)
    # Seen from a pole, or with a protein that is no filament, a spindle is a cloud of clumps on the chromosomes.
    clump = centre.repeat(40, axis=0) + 0.22 * radius.repeat(40)[:, None] * rng.normal(0, 1, (40 * len(dividing), 2))
    clumps = dots(clump, rng.uniform(0.1, 0.6, len(clump)), rng.uniform(0.4, 1.0) * scene.micron, scene.size)
    fans, cloud = rng.choice([(1.0, 0.0), (1.0, 0.4), (0.3, 1.0), (0.0, 1.0)], p=[0.45, 0.25, 0.15, 0.15])
    grain = np.clip(1 + 0.4 * noise(rng, scene.size, max(1.3, 0.6 * scene.micron)), 0, 3)
    haze = rng.uniform(0.04, 0.15) * scene.inside * grain * (1 + scene.dividing)
    return np.asarray(fans * spindles(scene, rng) + fans * bright + cloud * clumps + haze, np.float32)


def organising_centre(scene: Scene, rng: np.random.Generator) -> Map:
    """Draw a cloud around each cell's organising centre: a blur with satellites that grow sparse outwards."""
    each = int(rng.integers(25, 70))
    cell = np.repeat(scene.resting, each)
    spread = rng.uniform(0.7, 2.4) * scene.micron * np.abs(rng.standard_t(2.5, (len(cell), 1)))
    points = scene.cells.organiser[cell] + spread * directions(rng.uniform(0, 2 * np.pi, len(cell)))
    satellites = dots(points, rng.uniform(0.12, 0.45, len(cell)), 0.28 * scene.micron, scene.size)
    middle = scene.cells.organiser[scene.resting]
    cloud = dots(middle, np.full(len(middle), 0.8), rng.uniform(0.5, 1.6) * scene.micron, scene.size)
    bright = np.minimum(cloud + satellites, 1.5) * scene.inside
    return np.asarray(bright + rng.uniform(0.01, 0.06) * scene.inside, np.float32)


def centrosome(scene: Scene, rng: np.random.Generator) -> Map:
    """Draw one or two tiny spots side by side at each cell's organising centre, and at the poles of spindles."""
    angle = rng.uniform(0, 2 * np.pi, len(scene.resting))
    apart = rng.uniform(0.35, 0.9, (len(angle), 1)) * scene.micron * directions(angle)
    middle = scene.cells.organiser[scene.resting]
    points = np.concatenate([middle + apart, middle - apart])
    spots = dots(points, np.full(len(points), 1.0), 0.32 * scene.micron, scene.size)
    grain = scene.draw_grain(rng, 0.4)
    return np.asarray(np.minimum(spots, 1.3) + rng.uniform(0.02, 0.1) * scene.inside * grain, np.float32)


def _own(points: Floats, cell: np.ndarray, scene: Scene) -> np.ndarray:
    """Return which points (F, T, 2) lie in their own cell."""
    at = np.clip(np.rint(points), 0, scene.size - 1).astype(np.intp)
    seen = (points > -0.5).all(axis=2) & (points < scene.size - 0.5).all(axis=2)
    return np.asarray(seen & (scene.owner[at[..., 1], at[..., 0]] == cell[:, None]))


def _dashes(
    scene: Scene, rng: np.random.Generator, middle: Floats, angle: Floats, length: float
) -> tuple[Floats, Floats]:
    """Points of straight dashes of about `length` micrometres around their middles, and the length each stands for."""
    own_length = np.maximum(length * scene.micron * rng.uniform(0.5, 1.5, len(middle)), 1.2)
    along = np.linspace(-0.5, 0.5, max(4, int(2 * length * scene.micron)))
    points = middle[:, None] + (own_length[:, None] * along)[..., None] * directions(angle)[:, None]
    bright = rng.uniform(0.5, 1.2, len(middle))
    return points.reshape(-1, 2), np.repeat(bright * own_length / len(along), len(along))
