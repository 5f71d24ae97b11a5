"""Simulated fields on disk: as competition files, or straight into a pack."""

from __future__ import annotations

import csv
import io
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from hpa_hier.errors import UserError
from hpa_hier.files.atomic import write_bytes, write_text
from hpa_hier.simulate.field import SimulatedField, simulate_field
from hpa_hier.simulate.labelsets import LEAVES, SimulatedSample, draw_samples
from hpa_hier.simulate.optics import CHANNELS

if TYPE_CHECKING:
    from hpa_hier.taxonomy import Taxonomy

NOTE = "simulated by hpa_hier.simulate: no real cells"
Radius = tuple[float, float]  # smallest and largest mean radius of the cells, shares of the field's side
_Task = tuple[int, tuple[str, ...], int]  # an image's number, its labels, the number of its antibody
_T = TypeVar("_T")
_RADIUS = 3  # the stream of random numbers that radii come from
_SMALLEST = 8.0  # pixels; smaller cells cannot be simulated
_CHUNK = 8  # fields a worker simulates before it hands them over


@dataclass(frozen=True)
class Look:
    """What the fields of one set have in common; as the arguments of `write_folder` and `write_pack`."""

    size: int
    seed: int
    depth: int = 8
    radius: Radius | None = None
    supersample: int = 1
    variety: float = 0.0
    intensity: str = "depth"


def image_id(index: int) -> str:
    """Return the id of a simulated image; ids are part of the digests of packs and splits, so they do not change."""
    return f"drawn-{index:06d}"


def write_folder(
    out: Path,
    count: int,
    size: int,
    seed: int,
    imbalance: float = 1.0,
    *,
    workers: int = 1,
    depth: int = 8,
    radius: Radius | None = None,
    supersample: int = 1,
    variety: float = 0.0,
    masks: bool = False,
) -> Path:
    """Simulate `count` fields as `<id>_<channel>.png` with `labels.csv` (Id, Target, antibody) beside them.

    Args:
        out: folder, made if absent; an existing `labels.csv` in it is an error.
        count: fields.
        size: pixels.
        seed: of the whole set.
        imbalance: 1 real, 0 balanced.
        workers: processes; the files are the same whatever their number.
        depth: bits, 8 or 16.
        radius: shares of the side between which each field's cells get their mean radius, log-uniformly: from whole
            fields of tens of cells to single cells at high zoom; None chooses one that suits the size.
        supersample: times the side that fields are simulated at before they are shrunk; 1 for none.
        variety: 0 to 1, how widely contrast, sharpness and compression vary; 8 bits only.
        masks: also write `masks/<id>_cells.png` and `_nuclei.png` (16 bits: 0 outside, else the cell's number) and, for
            each label, `masks/<id>_place-<label>.png` (8 bits: the light of that place alone before the optics, 255
            the brightest).

    Returns:
        The label table, which is written last.
    """
    table = out / "labels.csv"
    if table.exists():
        raise UserError(f"{table}: exists already; give another --out or remove the folder")
    samples = draw_samples(count, seed, imbalance)
    look = Look(size, seed, depth, radius, supersample, variety)
    if masks:
        for index, drawn in enumerate(_in_order(samples, partial(_draw_field, look), workers)):
            _write_image(out, image_id(index), drawn.image)
            _write_masks(out / "masks", image_id(index), drawn)
    else:
        for index, image in enumerate(_in_order(samples, partial(_draw, look), workers)):
            _write_image(out, image_id(index), image)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["Id", "Target", "antibody"])
    rows.writerows([image_id(i), " ".join(s.labels), s.antibody] for i, s in enumerate(samples))
    write_text(table, text.getvalue())
    return table


def write_pack(
    out: Path,
    count: int,
    size: int,
    seed: int,
    imbalance: float = 1.0,
    *,
    workers: int = 1,
    taxonomy: str | None = None,
    radius: Radius | None = None,
    supersample: int = 1,
    variety: float = 0.0,
    intensity: str = "depth",
    channels: Sequence[str] = CHANNELS,
) -> Path:
    """Simulate `count` fields straight into a pack of uint8 images; arguments as for `write_folder`.

    Args:
        out: the pack's folder.
        count: fields.
        size: pixels.
        seed: of the whole set.
        imbalance: 1 real, 0 balanced.
        workers: processes.
        taxonomy: file with the 28 labels, by default hierarchy/hpa28.yaml.
        radius: shares of the side, as for `write_folder`.
        supersample: as for `write_folder`.
        variety: as for `write_folder`.
        intensity: "depth", or "percentile" as `data.intensity` has it for real images.
        channels: those that the pack keeps, in this order.

    Returns:
        The pack's folder.
    """
    from hpa_hier.data.pack.pack import write_simulated_pack
    from hpa_hier.taxonomy import Taxonomy

    tree = Taxonomy.load(taxonomy or "hierarchy/hpa28.yaml")
    samples = draw_samples(count, seed, imbalance)
    nodes = [tuple(_node(tree, label) for label in sample.labels) for sample in samples]
    look = Look(size, seed, radius=radius, supersample=supersample, variety=variety, intensity=intensity)
    kept = [CHANNELS.index(channel) for channel in channels]
    write_simulated_pack(
        out,
        (image[kept] for image in _in_order(samples, partial(_draw, look), workers)),
        ids=[image_id(i) for i in range(count)],
        nodes=nodes,
        groups=[sample.antibody for sample in samples],
        channels=channels,
        taxonomy=tree,
        note=NOTE,
        intensity=intensity,
    )
    return out


def images(
    samples: list[SimulatedSample],
    size: int,
    seed: int,
    *,
    workers: int = 1,
    depth: int = 8,
    radius: Radius | None = None,
    supersample: int = 1,
    variety: float = 0.0,
) -> Iterator[NDArray[np.generic]]:
    """Yield the images (4, S, S) of `samples` in order, simulated by `workers` processes, with a progress bar."""
    look = Look(size, seed, depth, radius, supersample, variety)
    return _in_order(samples, partial(_draw, look), workers)


def _in_order(samples: list[SimulatedSample], draw: Callable[[_Task], _T], workers: int) -> Iterator[_T]:
    """Yield what `draw` makes of each sample, in order, with a progress bar."""
    tasks = [(i, sample.labels, int(sample.antibody.removeprefix("antibody"))) for i, sample in enumerate(samples)]
    with tqdm(total=len(tasks), desc="simulating", unit="field", mininterval=0.5, disable=None) as bar:
        if workers <= 1:
            for task in tasks:
                image = draw(task)
                bar.update()  # before the yield: who takes the last image may never come back
                yield image
            return
        # Forking a process that holds threads can hang; spawned workers import only this room.
        with (
            ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread) as pool,
            _ctrl_c_is_ours(pool, workers),
        ):
            for start in range(0, len(tasks), workers * _CHUNK * 8):  # bounded: no more than these wait in memory
                for image in pool.map(draw, tasks[start : start + workers * _CHUNK * 8], chunksize=_CHUNK):
                    bar.update()
                    yield image


@contextmanager
def _ctrl_c_is_ours(pool: ProcessPoolExecutor, workers: int) -> Iterator[None]:
    """Start the workers deaf to the terminal's Ctrl-C, which this process answers for all of them."""
    if threading.current_thread() is threading.main_thread():
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        for _ in range(workers):  # a worker is started with each task, as long as there are fewer
            pool.submit(_one_thread)
        signal.signal(signal.SIGINT, before)
    try:
        yield
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise


def _draw(look: Look, task: _Task) -> NDArray[np.generic]:
    image = _draw_field(look, task).image
    if look.intensity == "depth":
        return image
    from hpa_hier.data.images.read import to_uint8

    return np.stack([to_uint8(plane, look.intensity) for plane in image])


def _draw_field(look: Look, task: _Task) -> SimulatedField:
    index, labels, antibody = task
    return simulate_field(
        look.seed,
        index,
        look.size,
        labels,
        antibody=antibody,
        depth=look.depth,
        radius=_radius(look.seed, index, look.size, look.radius) if look.radius else None,
        supersample=look.supersample,
        variety=look.variety,
    )


def _write_image(folder: Path, name: str, image: NDArray[np.generic]) -> None:
    for channel, plane in zip(CHANNELS, image, strict=True):
        _write_png(folder / f"{name}_{channel}.png", plane)


def _write_masks(folder: Path, name: str, drawn: SimulatedField) -> None:
    _write_png(folder / f"{name}_cells.png", drawn.cell_mask)
    _write_png(folder / f"{name}_nuclei.png", drawn.nucleus_mask)
    for label, light in drawn.places.items():
        shown = np.rint(light * (255 / max(float(light.max()), 1e-6))).clip(0, 255).astype(np.uint8)
        _write_png(folder / f"{name}_place-{label}.png", shown)


def _write_png(path: Path, plane: NDArray[np.generic]) -> None:
    _, coded = cv2.imencode(
        ".png",
        np.asarray(plane, dtype=np.uint8 if plane.dtype == np.uint8 else np.uint16),
        [cv2.IMWRITE_PNG_COMPRESSION, 3],
    )
    write_bytes(path, coded.tobytes())


def _radius(seed: int, index: int, size: int, radius: Radius) -> float:
    """Draw the cells' mean radius in one field, in pixels; large and small zooms are equally likely."""
    smallest, largest = np.log(radius)
    drawn = np.exp(np.random.default_rng([seed, _RADIUS, index]).uniform(smallest, largest))
    return float(min(max(_SMALLEST, size * drawn), size))


def _one_thread() -> None:
    cv2.setNumThreads(1)


def _node(taxonomy: Taxonomy, label: str) -> str:
    node = taxonomy.find_node(label)
    if node is None:
        raise UserError(f"{taxonomy.source}: no leaf has label {label} ({LEAVES[label]}); simulated cells need all 28")
    return node
