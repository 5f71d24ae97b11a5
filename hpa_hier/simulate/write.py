"""Simulated fields on disk: as competition files, or straight into a pack."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from hpa_hier.data.images.channels import CHANNELS
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_json, text_digest, write_bytes, write_json
from hpa_hier.files.tables import write_table
from hpa_hier.simulate.field import SMALLEST_CELL, SimulatedField, simulate_field
from hpa_hier.simulate.labelsets import LEAVES, SimulatedSample, draw_samples

if TYPE_CHECKING:
    from hpa_hier.places.place import Place
    from hpa_hier.settings.recipe import SimulateSettings
    from hpa_hier.taxonomy import Taxonomy

NOTE = "simulated by hpa_hier.simulate: no real cells"
_T = TypeVar("_T")
_RADIUS = 3  # the stream of random numbers that radii come from
_TOGETHER = 16  # fields that go to a worker at a time, at most
_SHARES = 4  # such groups that each worker gets, where there are few fields


def image_id(index: int) -> str:
    """Return the id of a simulated image; ids are part of the digests of packs and splits, so they do not change."""
    return f"drawn-{index:06d}"


def write_folder(
    out: Path, settings: SimulateSettings, workers: int | Place = 1, depth: int = 8, masks: bool = False
) -> Path:
    """Write fields as `<id>_<channel>.png`, with `labels.csv` (Id, Target, antibody) and `simulated.json` beside them.

    What an interrupted call with the same arguments has written is kept.

    Args:
        out: folder, made if absent.
        settings: number, size and looks of the fields.
        workers: processes, or a place that has some; the files are the same whatever they are.
        depth: bits per channel, 8 or 16; `settings.variety` above 0 needs 8.
        masks: also write `masks/<id>_cells.png` and `_nuclei.png` (16 bits: 0 outside, else the cell's number) and, for
            each label, `masks/<id>_place-<label>.png` (8 bits: the light of that place alone before the optics, 255
            the brightest).

    Returns:
        The label table, which is written last; where an earlier call with the same arguments has, as it is.

    Raises:
        UserError: `out` holds a set of other settings, or pictures that are not simulated.
    """
    import pandas as pd

    from hpa_hier.data.images.walk import SIMULATED

    table, about = out / "labels.csv", out / SIMULATED
    facts = {"note": NOTE, **settings.model_dump(mode="json"), **({} if depth == 8 else {"depth": depth})}
    same = about.exists() and read_json(about) == facts
    if table.exists():
        if same and (out / "masks").is_dir() == masks:
            return table  # all of it is there: the table is written last
        raise UserError(f"{table}: exists already; give another --out or remove the folder")
    if about.exists() and not same:
        raise UserError(
            f"{about}: the folder holds unfinished fields of other settings; give another --out or remove it"
        )
    strange = None if about.exists() else next(out.glob("*.png"), None)
    if strange is not None:
        raise UserError(f"{out}: holds pictures that are not simulated, such as {strange.name}; give another --out")
    write_json(about, facts)
    samples = draw_samples(settings.count, settings.seed, settings.imbalance)
    fields = _fields(samples, settings, depth)
    early = "masks/{}_cells.png" if masks else f"{{}}_{CHANNELS[0]}.png"
    begun = sum((out / early.format(image_id(index))).exists() for index in range(len(samples)))
    first = max(0, begun - 1)  # they are written in order; of the last one some files may be missing
    files = [partial(_files, image_id(index), field, masks) for index, field in enumerate(fields)][first:]
    with _open(workers, len(files)) as opened:
        for contents in _in_order(files, opened):
            for name, content in contents.items():
                write_bytes(out / name, content)
    rows = [(image_id(i), " ".join(sample.labels), sample.antibody_name) for i, sample in enumerate(samples)]
    write_table(table, pd.DataFrame(rows, columns=["Id", "Target", "antibody"]))
    return table


def write_pack(
    out: Path,
    settings: SimulateSettings,
    *,
    workers: int | Place = 1,
    taxonomy: str = "hierarchy/hpa28.yaml",
    intensity: str = "depth",
    channels: Sequence[str] = CHANNELS,
) -> Path:
    """Write fields straight into a pack of uint8 images; one that the same arguments have made is left as it is.

    Args:
        out: the pack's folder.
        settings: number, size and looks of the fields.
        workers: processes, or a place that has some; the pack is the same whatever they are.
        taxonomy: file with the 28 labels.
        intensity: "depth", or "percentile" as `data.intensity` has it for real images.
        channels: those that the pack keeps, in this order.

    Returns:
        The pack's folder.

    Raises:
        UserError: the taxonomy lacks a label, or `out` holds something else.
    """
    from hpa_hier.data.pack.simulated_pack import is_written, write_simulated_pack
    from hpa_hier.taxonomy import Taxonomy

    tree = Taxonomy.load(taxonomy)
    rules = {**settings.model_dump(mode="json"), "intensity": intensity, "channels": channels}
    request = text_digest(json.dumps(rules, sort_keys=True), tree.text)
    if is_written(out, request):
        return out
    samples = draw_samples(settings.count, settings.seed, settings.imbalance)
    images = [partial(_image, field, intensity, channels) for field in _fields(samples, settings)]
    with _open(workers, len(images)) as opened:
        write_simulated_pack(
            out,
            _in_order(images, opened),
            ids=[image_id(i) for i in range(len(samples))],
            nodes=[tuple(_node(tree, label) for label in sample.labels) for sample in samples],
            groups=[sample.antibody_name for sample in samples],
            channels=channels,
            taxonomy=tree,
            note=NOTE,
            intensity=intensity,
            request=request,
        )
    return out


def simulate_images(
    settings: SimulateSettings, indices: Sequence[int], intensity: str = "depth", channels: Sequence[str] = CHANNELS
) -> Iterator[NDArray[np.uint8]]:
    """Simulate some of the images that `write_pack` would write, as (C, S, S) uint8 each.

    Args:
        settings: of all images.
        indices: which of them, from 0 to `settings.count` - 1.
        intensity: rule by which they become 8 bits, "depth" or "percentile".
        channels: those wanted, in this order.
    """
    fields = _fields(draw_samples(settings.count, settings.seed, settings.imbalance), settings)
    for index in indices:
        yield _image(fields[index], intensity, channels)


def _fields(
    samples: Sequence[SimulatedSample], settings: SimulateSettings, depth: int = 8
) -> list[Callable[[], SimulatedField]]:
    """Return the call that simulates each sample."""
    return [
        partial(
            simulate_field,
            settings.seed,
            index,
            settings.image_size,
            sample.labels,
            antibody=sample.antibody,
            depth=depth,
            radius=_draw_radius(settings, index),
            supersample=settings.supersample,
            variety=settings.variety,
            realism=settings.realism,
        )
        for index, sample in enumerate(samples)
    ]


def _draw_radius(settings: SimulateSettings, index: int) -> float | None:
    """Draw the cells' mean radius in one field, in pixels; large and small zooms are equally likely."""
    if settings.radius is None:
        return None
    smallest, largest = np.log(settings.radius)
    radius = np.exp(np.random.default_rng([settings.seed, _RADIUS, index]).uniform(smallest, largest))
    return float(min(max(SMALLEST_CELL / settings.supersample, settings.image_size * radius), settings.image_size))


@contextmanager
def _open(workers: int | Place, most: int) -> Iterator[int | Place]:
    """Open a place for several workers of this machine, at most so many; what is one, or one process, stays so."""
    if not isinstance(workers, int) or min(workers, most) <= 1:
        yield workers
        return
    from hpa_hier.places.place import open_place

    with open_place("loky", min(workers, most)) as place:
        yield place


def _in_order(tasks: Sequence[Callable[[], _T]], workers: int | Place) -> Iterator[_T]:
    """Yield what the tasks return, in order, with a progress bar."""
    with tqdm(total=len(tasks), desc="simulating", unit="field", mininterval=0.5, disable=None) as bar:
        for results in _in_groups(tasks, workers):
            bar.update(len(results))  # before the yield: who takes the last image may never come back
            yield from results


def _in_groups(tasks: Sequence[Callable[[], _T]], workers: int | Place) -> Iterator[list[_T]]:
    """Yield what the tasks return, in order, a few at a time."""
    if not isinstance(workers, int):
        size = min(_TOGETHER, -(-len(tasks) // (_SHARES * workers.workers)))
        groups = [tasks[start : start + size] for start in range(0, len(tasks), max(1, size))]
        named = list(enumerate(groups, start=1))
        yield from workers.map(_work_off, named, lambda one: f"group {one[0]} of {len(groups)} of the fields")
    else:
        yield from ([task()] for task in tasks)


def _work_off(group: tuple[int, Sequence[Callable[[], _T]]]) -> list[_T]:
    cv2.setNumThreads(1)
    return [task() for task in group[1]]


def _image(field: Callable[[], SimulatedField], intensity: str, channels: Sequence[str]) -> NDArray[np.uint8]:
    image = field().image
    if intensity != "depth":
        from hpa_hier.data.images.read import to_uint8

        image = np.stack([to_uint8(plane, intensity) for plane in image])
    return image[[CHANNELS.index(channel) for channel in channels]].astype(np.uint8)


def _files(name: str, simulate: Callable[[], SimulatedField], masks: bool) -> dict[str, bytes]:
    """Return a field's files by name."""
    field = simulate()
    planes = {f"{name}_{channel}": plane for channel, plane in zip(CHANNELS, field.image, strict=True)}
    if masks:
        planes |= {f"masks/{name}_cells": field.cell_mask, f"masks/{name}_nuclei": field.nucleus_mask}
        for label, light in field.places.items():
            grey = np.rint(light * (255 / max(float(light.max()), 1e-6))).clip(0, 255)
            planes[f"masks/{name}_place-{label}"] = grey.astype(np.uint8)
    return {f"{file}.png": _png(plane) for file, plane in planes.items()}


def _png(plane: NDArray[np.generic]) -> bytes:
    kind = np.uint8 if plane.dtype == np.uint8 else np.uint16
    _, encoded = cv2.imencode(".png", np.asarray(plane, dtype=kind), [cv2.IMWRITE_PNG_COMPRESSION, 3])
    return bytes(encoded.tobytes())


def _node(taxonomy: Taxonomy, label: str) -> str:
    node = taxonomy.find_node(label)
    if node is None:
        raise UserError(f"{taxonomy.source}: no leaf has label {label} ({LEAVES[label]}); simulated cells need all 28")
    return node
