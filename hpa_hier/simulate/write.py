"""Drawn fields on disk: as competition files, or straight into a pack."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from hpa_hier.errors import UserError
from hpa_hier.files import write_bytes, write_text
from hpa_hier.simulate.field import draw_field
from hpa_hier.simulate.labelsets import LEAVES, DrawnSample, draw_samples
from hpa_hier.simulate.optics import CHANNELS

if TYPE_CHECKING:
    from hpa_hier.taxonomy import Taxonomy

NOTE = "drawn by hpa_hier.simulate: no real cells"
_CHUNK = 8  # fields a worker draws before it hands them over


def image_id(index: int) -> str:
    """Return the id of a drawn image."""
    return f"drawn-{index:06d}"


def write_folder(
    out: Path, count: int, size: int, seed: int, imbalance: float = 1.0, *, workers: int = 1, depth: int = 8
) -> Path:
    """Draw `count` fields as `<id>_<channel>.png` with `labels.csv` (Id, Target, antibody) beside them.

    Args:
        out: folder, made if absent; an existing `labels.csv` in it is an error.
        count: fields.
        size: pixels.
        seed: of the whole set.
        imbalance: 1 real, 0 balanced.
        workers: processes; the files are the same whatever their number.
        depth: bits, 8 or 16.

    Returns:
        The label table, which is written last.
    """
    table = out / "labels.csv"
    if table.exists():
        raise UserError(f"{table}: exists already; give another --out or remove the folder")
    samples = draw_samples(count, seed, imbalance)
    for index, image in enumerate(images(samples, size, seed, workers=workers, depth=depth)):
        for channel, plane in zip(CHANNELS, image, strict=True):
            _, coded = cv2.imencode(".png", plane, [cv2.IMWRITE_PNG_COMPRESSION, 3])
            write_bytes(out / f"{image_id(index)}_{channel}.png", coded.tobytes())
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
) -> Path:
    """Draw `count` fields straight into a pack of uint8 images; arguments as for `write_folder`.

    Args:
        out: the pack's folder.
        count: fields.
        size: pixels.
        seed: of the whole set.
        imbalance: 1 real, 0 balanced.
        workers: processes.
        taxonomy: file with the 28 labels, by default hierarchy/hpa28.yaml.

    Returns:
        The pack's folder.
    """
    from hpa_hier.data.pack import write_pack as write
    from hpa_hier.taxonomy import Taxonomy

    tree = Taxonomy.load(taxonomy or "hierarchy/hpa28.yaml")
    samples = draw_samples(count, seed, imbalance)
    nodes = [tuple(_node(tree, label) for label in sample.labels) for sample in samples]
    write(
        out,
        images(samples, size, seed, workers=workers),
        ids=[image_id(i) for i in range(count)],
        nodes=nodes,
        groups=[sample.antibody for sample in samples],
        channels=CHANNELS,
        taxonomy=tree,
        note=NOTE,
    )
    return out


def images(
    samples: list[DrawnSample], size: int, seed: int, *, workers: int = 1, depth: int = 8
) -> Iterator[NDArray[np.generic]]:
    """Yield the images (4, S, S) of `samples` in order, drawn by `workers` processes, with a progress bar."""
    tasks = [(i, sample.labels, int(sample.antibody.removeprefix("antibody"))) for i, sample in enumerate(samples)]
    draw = partial(_draw, seed, size, depth)
    with tqdm(total=len(tasks), desc="drawing", unit="field", mininterval=0.5, disable=None) as bar:
        if workers <= 1:
            for task in tasks:
                image = draw(task)
                bar.update()  # before the yield: who takes the last image may never come back
                yield image
            return
        # Forking a process that holds threads can hang; spawned workers import only this room.
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
            for start in range(0, len(tasks), workers * _CHUNK * 8):  # bounded: no more than these wait in memory
                for image in pool.map(draw, tasks[start : start + workers * _CHUNK * 8], chunksize=_CHUNK):
                    bar.update()
                    yield image


def _draw(seed: int, size: int, depth: int, task: tuple[int, tuple[str, ...], int]) -> NDArray[np.generic]:
    index, labels, antibody = task
    return draw_field(seed, index, size, labels, antibody=antibody, depth=depth).image


def _one_thread() -> None:
    cv2.setNumThreads(1)


def _node(taxonomy: Taxonomy, label: str) -> str:
    node = taxonomy.node_of(label)
    if node is None:
        raise UserError(f"{taxonomy.source}: no leaf has label {label} ({LEAVES[label]}); drawn cells need all 28")
    return node
