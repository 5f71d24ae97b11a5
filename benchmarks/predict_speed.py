"""Where a prediction's time goes, engine by engine, beside decoding for each member and computing eagerly.

    python benchmarks/predict_speed.py --images DIR [--run NAME|DIR] [--engines NAMES] [--rounds N] [--most N]
        [--stages]

DIR holds images as `predict` takes them, such as PNGs of 512 × 512 pixels in four channels. Everything has one
thread of its own: decoding one, networks one, so that two cores are busy at most. The ways take turns; medians.

Processor time an image, in milliseconds:
  decode    files → 8 bits at the members' side, as `predict` reads them
  networks  all members' logits, in passes as `predict` makes them
  rest      what is left of the whole: what is unlike, combining, labels, and waiting threads
  predict   the whole of `Predictor.stream`
  peer      for each member: decode with Pillow, shrink by area, stretch by numpy's percentiles; then its network in
            eager float32, contiguous; nothing is looked at or combined
--stages: steps of decode and of the rest, each alone, where each channel is a PNG of its own; smallest of the rounds.
Wall clock on two cores: the whole, and its ratio to the longer of decode and networks, each alone on the wall clock.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

os.environ["OMP_NUM_THREADS"] = "1"

import cv2
import numpy as np
import torch
from pack_speed import find_pixels
from PIL import Image

from hpa_hier.data.images.exposure import glance_at, judge
from hpa_hier.data.images.formats.png_jpeg import PngJpegReader
from hpa_hier.data.images.kernels.counts import shrink
from hpa_hier.data.images.kernels.switch import SWITCH, compile_kernels
from hpa_hier.data.images.read import PERCENTILES, convert_plane, read_image
from hpa_hier.data.images.scan import ImageSource, scan
from hpa_hier.members.process import prepare_process
from hpa_hier.members.score import COMPUTE_BATCH, Member
from hpa_hier.predict.inputs import Batch
from hpa_hier.predict.predictor import Predictor
from hpa_hier.predict.unlike import find_unlike

_BATCH = 32


def measure(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, tuple[float, float]]:
    """Return the median processor and wall seconds of each way; the ways take turns."""
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            processor, wall = time.process_time(), time.perf_counter()
            way()
            took[name].append((time.process_time() - processor, time.perf_counter() - wall))
    return {name: (median(one[0] for one in some), median(one[1] for one in some)) for name, some in took.items()}


def read_plane(file: Path, size: int) -> np.ndarray:
    """Read a square grey PNG as (size, size) uint8, as a script without this package would."""
    with Image.open(file) as image:
        plane = np.asarray(image.resize((size, size), Image.Resampling.BOX), np.float32)
    low, high = np.percentile(plane, PERCENTILES)
    return np.rint(np.clip((plane - low) * (255 / max(high - low, 1)), 0, 255)).astype(np.uint8)


def measure_stages(predictor: Predictor, folder: Path, sources: Sequence[ImageSource], rounds: int) -> None:
    """Print the processor time of each step beside the networks, alone."""
    spec, kernels = predictor.spec, SWITCH.kernels
    assert spec is not None
    assert kernels is not None
    files = [source.planes[channel].file for source in sources for channel in spec.channels]
    packed = [find_pixels(file) for file in files]
    most = 2 * PngJpegReader().read(files[0]).size
    raws = [kernels.inflate(one, most).copy() for one in packed]
    planes = [PngJpegReader().read(file)[0] for file in files]
    filtered = [raw.reshape(len(plane), -1) for raw, plane in zip(raws, planes, strict=True)]
    room = np.zeros((1 + planes[0].shape[0], planes[0].shape[1] * planes[0].itemsize), np.uint8)
    glances = [glance_at(plane) for plane in planes]
    small = [convert_plane(plane, spec.size, "depth") for plane in planes]
    looks = [
        dict(zip(spec.channels, some, strict=True)) for some in zip(*[iter(glances)] * len(spec.channels), strict=True)
    ]
    values = np.stack([read_image(one, spec.size, spec.channels, spec.intensity).image for one in sources])
    batch = Batch(tuple(one.id for one in sources), values, ((),) * len(sources))
    scores = predictor._score_members(batch)

    def each(function: Callable[..., object], items: Sequence[object]) -> Callable[[], object]:
        return lambda: [function(one) for one in items]

    ways = {
        "find the images": lambda: scan(folder, None, follow_links=True),
        "decode, all of the lines below": each(
            lambda one: read_image(one, spec.size, spec.channels, spec.intensity), sources
        ),
        "  open, read, compare checksums, inflate, undo filters": each(PngJpegReader().read, files),
        "    of it inflate": each(lambda one: kernels.inflate(one, most), packed),
        "    of it undo filters": each(lambda one: kernels.unfilter(one, room, planes[0].itemsize), filtered),
        "  look at each channel": each(glance_at, planes),
        "  compare the channels": each(judge, looks),
        "  shrink, by OpenCV": each(
            lambda one: cv2.resize(one, (spec.size, spec.size), interpolation=cv2.INTER_AREA), planes
        ),
        "  shrink, by the kernel": each(lambda one: shrink(one, (spec.size, spec.size)), planes),
        "  8 bits by percentiles": each(lambda one: convert_plane(one, spec.size, spec.intensity), small),
        "what is unlike": lambda: find_unlike(predictor.ensemble.novelty, batch, spec),
        "combine, decide": lambda: predictor.ensemble.predict(scores),
    }
    took = {name: min(measure({name: way}, 1)[name][0] for _ in range(rounds)) for name, way in ways.items()}
    for name, seconds in took.items():
        print(f"{name:56} {seconds / len(sources) * 1000:6.2f} ms")


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, metavar="DIR")
    parser.add_argument("--run", default="pretrained", metavar="NAME|DIR")
    parser.add_argument("--engines", default="torch,onnxruntime,openvino,openvino-bf16", metavar="NAMES")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="(default: 3)")
    parser.add_argument("--most", type=int, default=96, metavar="N", help="images at most (default: 96)")
    parser.add_argument("--stages", action="store_true", help="steps beside the networks, each alone")
    options = parser.parse_args()
    prepare_process()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    SWITCH.kernels = compile_kernels()  # as in a long prediction, which compiles them once
    predictors = {name: Predictor.load(options.run, engine=name) for name in options.engines.split(",")}
    first = next(iter(predictors.values()))
    spec = first.spec
    assert spec is not None
    found = scan(options.images, None, follow_links=True).sources
    sources = found[: options.most]
    count = len(sources)
    given = [plane.file for one in sources for plane in one.planes.values()] if len(found) > count else options.images

    def read(some: list[ImageSource] | tuple[ImageSource, ...]) -> np.ndarray:
        return np.stack([read_image(one, spec.size, spec.channels, spec.intensity).image for one in some])

    if options.stages:
        measure_stages(first, options.images, sources, options.rounds)
        return
    images = read(sources)
    folders = [first.run.member_folder(member.name) for member in first.ensemble.members]
    eager = [Member.load(folder, "cpu").network.to(memory_format=torch.contiguous_format) for folder in folders]

    def compute(predictor: Predictor) -> None:
        for start in range(0, count, _BATCH):
            for scorer in predictor.scorers.values():
                scorer.logits(images[start : start + _BATCH])

    def predict(predictor: Predictor) -> None:
        for _ in predictor.stream(predictor.open_images(given, batch_size=_BATCH, threads=1, follow_links=True)):
            pass

    def decode_by_pillow(source: ImageSource) -> np.ndarray:
        return np.stack([read_plane(source.planes[channel].file, spec.size) for channel in spec.channels])

    def decode_for_each() -> None:
        for network in eager:
            for start in range(0, count, COMPUTE_BATCH):
                some = np.stack([decode_by_pillow(source) for source in sources[start : start + COMPUTE_BATCH]])
                with torch.inference_mode():
                    network(torch.from_numpy(some))

    ways: dict[str, Callable[[], object]] = {"decode": lambda: read(sources), "peer": decode_for_each}
    for name, predictor in predictors.items():
        compute(predictor)  # converts, warms up
        ways[f"networks {name}"] = lambda predictor=predictor: compute(predictor)
        ways[f"predict {name}"] = lambda predictor=predictor: predict(predictor)
    took = measure(ways, options.rounds)

    def each(way: str, clock: int = 0) -> float:
        return took[way][clock] / count * 1000

    print(f"{count} images, members of {spec.size} pixels, {options.rounds} rounds; milliseconds an image")
    print("engine         decode networks  rest predict  peer  peer/predict | wall: predict, / max(decode, networks)")
    for name in predictors:
        networks, whole, peer = each(f"networks {name}"), each(f"predict {name}"), each("peer")
        rest = whole - networks - each("decode")
        wall = each(f"predict {name}", 1)
        longest = max(each("decode", 1), each(f"networks {name}", 1))
        print(
            f"{name:14} {each('decode'):6.1f} {networks:8.1f} {rest:5.1f} {whole:7.1f} {peer:5.1f} {peer / whole:13.2f}"
            f" | {wall:13.1f} {wall / longest:8.2f}"
        )


if __name__ == "__main__":
    main()
