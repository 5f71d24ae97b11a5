"""What is said of images that look wrong: false alarms on images as they are, and faults made in them that are noticed.

    python benchmarks/image_checks.py FOLDER [FOLDER …] [--faults FOLDER]

Of each FOLDER's images as they are, it prints how many are said to look wrong, with the words, the share with its 95 %
interval (Wilson), the largest correlation of two channels, the largest share of a channel's pixels at its largest
value, and the intensity rule that `auto` chooses. With --faults, each fault of FAULTS is made in every image of that
folder, which must have four channels; the images are written as files, read as packing and predicting read them, and
counted by what is said of them.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np

from hpa_hier.data.images.channels import CHANNELS
from hpa_hier.data.images.exposure import Look, choose_rule, measure_exposure
from hpa_hier.data.images.read import read_image
from hpa_hier.data.images.scan import ImageSource, scan
from hpa_hier.metrics.scores import wilson

Planes = dict[str, np.ndarray]
_SIZE = 64  # pixels of the image that is made; what is said of it does not depend on it
_WHOLE = 512  # pixels at which channels are measured here
_NOISE = 2.0  # grey levels, standard deviation


def _shift(bits: int) -> Callable[[Planes], Planes]:
    """Return a fault: 16-bit files of which so many bits are used."""
    return lambda planes: {c: (p.astype(np.uint16) * 257) >> (16 - bits) for c, p in planes.items()}


def _offset(planes: Planes) -> Planes:
    """Return 12 bits in 16 as cameras give them: nothing below 100."""
    return {c: p.astype(np.uint16) * 15 + 100 for c, p in planes.items()}


def _copy(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Planes], Planes]:
    """Return a fault: the protein's channel is a changed copy of the microtubules'."""
    return lambda planes: planes | {"green": change(planes["red"])}


def _jpeg(quality: int) -> Callable[[np.ndarray], np.ndarray]:
    def compress(plane: np.ndarray) -> np.ndarray:
        coded = cv2.imencode(".jpg", plane, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE))

    return compress


def _add_noise(plane: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, _NOISE, plane.shape)
    return np.asarray(np.clip(np.rint(plane + noise), 0, 255), np.uint8)


def _saturate(planes: Planes) -> Planes:
    """Return images in which a fifth of the protein's pixels is at the largest value."""
    green = planes["green"].astype(np.float64)
    return planes | {"green": np.clip(green * (255 / max(np.quantile(green, 0.8), 1)), 0, 255).astype(np.uint8)}


def _camera_noise(plane: np.ndarray) -> np.ndarray:
    """Return what a camera gives without light: an offset of 100 and noise, 12 bits in 16."""
    return np.random.default_rng(plane.size + int(plane.sum())).normal(100, 4, plane.shape).round().astype(np.uint16)


FAULTS: dict[str, Callable[[Planes], Planes]] = {
    "none": lambda planes: planes,
    "16-bit files, all bits used": _shift(16),
    "14 of 16 bits": _shift(14),
    "12 of 16 bits": _shift(12),
    "12 of 16 bits, camera offset 100": _offset,
    "10 of 16 bits": _shift(10),
    "8 of 16 bits": _shift(8),
    "protein is a copy of the microtubules": _copy(lambda plane: plane),
    "… at half the brightness": _copy(lambda plane: plane // 2),
    f"… with noise of {_NOISE:g} grey levels": _copy(_add_noise),
    "… as JPEG of quality 90": _copy(_jpeg(90)),
    "… as JPEG of quality 50": _copy(_jpeg(50)),
    "grey picture in all channels": lambda planes: dict.fromkeys(planes, planes["green"]),
    "protein black": lambda planes: planes | {"green": np.zeros_like(planes["green"])},
    "all channels black": lambda planes: {c: np.zeros_like(p) for c, p in planes.items()},
    "protein without light, 12 bits in 16": lambda planes: (
        _shift(12)(planes) | {"green": _camera_noise(planes["green"])}
    ),
    "all channels without light": lambda planes: {c: _camera_noise(p) for c, p in planes.items()},
    "a fifth of the protein saturated": _saturate,
    "mask of 0 and 255": lambda planes: {c: np.where(p > p.mean(), 255, 0).astype(np.uint8) for c, p in planes.items()},
    "nucleus and protein swapped": lambda planes: planes | {"blue": planes["green"], "green": planes["blue"]},
}


def look_at_all(sources: Sequence[ImageSource]) -> list[Look]:
    """Read images as packing and predicting do, and return what is said of them."""
    looks = []
    for source in sources:
        channels = [channel for channel in CHANNELS if channel in source.planes]
        looks.append(read_image(source, _SIZE, channels, "depth").look)
    return looks


def share(hits: int, trials: int) -> str:
    """Return a share with its 95 % interval, as in "2 of 48 (4.2 % [1.2, 14.0])"."""
    low, high = (float(bound[0]) for bound in wilson(np.array([float(hits)]), np.array([float(trials)]), 0.95))
    return f"{hits:,} of {trials:,} ({hits / trials:.1%} [{low:.1%}, {high:.1%}])"


def measure(source: ImageSource) -> tuple[float, float]:
    """Return the largest correlation of two channels, and the largest share of a channel's pixels at its peak."""
    channels = [channel for channel in CHANNELS if channel in source.planes]
    image = read_image(source, _WHOLE, channels, "depth").image
    grids = [plane[::8, ::8].astype(float).ravel() for plane in image]
    alike = [np.corrcoef(a, b)[0, 1] for a, b in combinations(grids, 2) if a.std() and b.std()]
    return max(alike, default=0.0), max(measure_exposure(plane).clipped for plane in image if plane.any())


def say_false_alarms(folder: Path) -> None:
    """Print what is said of a folder's images as they are."""
    sources = scan(folder).sources
    looks, measured = look_at_all(sources), [measure(source) for source in sources]
    alike, clipped = (max(column) for column in zip(*measured, strict=True))
    wrong = sum(bool(look.doubts("depth")) for look in looks)
    rule, reason = choose_rule(looks)
    print(f"{folder}: {share(wrong, len(looks))} look wrong; auto takes {rule}: {reason}")
    print(f"  channels correlate by up to {alike:.2f}; up to {clipped:.1%} of a channel's pixels are at its peak")
    for doubt, count in Counter(doubt for look in looks for doubt in look.doubts("depth")).most_common():
        print(f"  {count:4} {doubt}")


def say_faults(folder: Path) -> None:
    """Print what is said of a folder's images with each fault."""
    sources = [source for source in scan(folder).sources if set(CHANNELS) <= set(source.planes)]
    for name, make in FAULTS.items():
        with tempfile.TemporaryDirectory() as place:
            for source in sources:
                planes = {c: cv2.imread(str(source.planes[c].file), cv2.IMREAD_UNCHANGED) for c in CHANNELS}
                for channel, plane in make(planes).items():
                    path = Path(place) / f"{source.id}_{channel}.png"
                    cv2.imwrite(str(path), plane, [cv2.IMWRITE_PNG_COMPRESSION, 1])
            looks = look_at_all(scan(place).sources)
        noticed = sum(bool(look.doubts("depth")) for look in looks)
        said = Counter(doubt for look in looks for doubt in look.doubts("depth"))
        print(f"{name}: {share(noticed, len(looks))}; auto: {choose_rule(looks)[0]}")
        for doubt, count in said.most_common(3):
            print(f"  {count:4} {doubt}")


def main() -> None:
    """Parse the arguments and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER")
    parser.add_argument("--faults", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    for folder in options.folders:
        say_false_alarms(folder)
    if options.faults:
        say_faults(options.faults)


if __name__ == "__main__":
    main()
