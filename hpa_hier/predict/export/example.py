"""Read image files as the networks of an exported folder take them, with numpy and Pillow alone, and print answers.

    python example.py one_red.png one_green.png one_blue.png one_yellow.png

The files are one image's channels, in the order that README.md names; `-` is a channel that the image lacks.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def read_image(files: list[str], about: dict[str, Any]) -> np.ndarray:
    """Return (C, S, S) uint8 of files of one grey channel each, 8 or 16 bits."""
    size = about["shape"][1]
    image = np.zeros(about["shape"], np.uint8)
    for plane, file in zip(image, files, strict=True):
        if file != "-":
            grey = to_uint8(shrink(read_plane(file), size), about["intensity"])
            top, left = (size - grey.shape[0]) // 2, (size - grey.shape[1]) // 2
            plane[top : top + grey.shape[0], left : left + grey.shape[1]] = grey
    return image


def read_plane(file: str) -> np.ndarray:
    """Return (H, W) uint8 or uint16 of a file of one channel; of a coloured one the largest of its colours."""
    plane = np.array(Image.open(file))
    plane = plane[..., :3].max(axis=2) if plane.ndim == 3 else plane
    return plane if plane.dtype == np.uint8 else plane.astype(np.uint16)


def to_uint8(plane: np.ndarray, intensity: str) -> np.ndarray:
    """Return 8 bits of a plane: by its depth, or so that its 0.1 and 99.9 percentiles become 0 and 255."""
    if intensity == "percentile":
        low, high = np.percentile(plane, (0.1, 99.9))
        scaled = (plane.astype(np.float32) - low) * (255 / max(high - low, 1))
        return np.asarray(np.rint(np.clip(scaled, 0, 255)), np.uint8)
    return plane if plane.dtype == np.uint8 else ((plane.astype(np.uint32) + 128) // 257).astype(np.uint8)


def shrink(plane: np.ndarray, size: int) -> np.ndarray:
    """Return a plane (H, W) whose longer side is `size`, each pixel the mean of its area, as OpenCV's INTER_AREA."""
    side = max(plane.shape)
    if side < size:
        raise ValueError(f"an image of {side} pixels is smaller than the network's {size}; enlarge it before")
    height, width = (max(1, round(length * size / side)) for length in plane.shape)
    down, across = plane.shape[0] // height, plane.shape[1] // width
    if plane.shape == (height * down, width * across):
        total = plane.reshape(height, down, width, across).astype(np.int64).sum(axis=(1, 3))
        if (down, across) == (2, 2):
            return np.asarray((total + 2) >> 2, plane.dtype)
        return np.asarray(np.rint(total.astype(np.float32) * np.float32(1 / (down * across))), plane.dtype)
    means = mean_of_rows(mean_of_rows(plane.astype(np.float32).T, width).T, height)
    return np.asarray(np.rint(means), plane.dtype)


def mean_of_rows(plane: np.ndarray, size: int) -> np.ndarray:
    """Return (size, W) float32 of (H, W): rows weighted by how much of them is in each new one, added in order."""
    length, scale = len(plane), 1 / (size / len(plane))
    start = np.arange(size) * scale
    whole = np.minimum(scale, length - start)  # of a new row
    last = np.minimum(np.floor(start + scale).astype(int), length - 1)  # the row that it ends in
    first = np.minimum(np.ceil(start).astype(int), last)  # the first one that is all in it
    before, after = first - start, start + scale - last  # parts of the rows around
    total = np.zeros((size, plane.shape[1]), np.float32)
    for row in range(-1, int((last - first).max()) + 1):
        weight = np.where(first + row < last, 1 / whole, 0.0)
        weight = np.where(row < 0, np.where(before > 1e-3, before / whole, 0.0), weight)
        ends = (row >= 0) & (first + row == last) & (after > 1e-3)
        weight = np.where(ends, np.minimum(np.minimum(after, 1), whole) / whole, weight)
        total += plane[np.clip(first + row, 0, length - 1)] * weight.astype(np.float32)[:, None]
    return total


def main(files: list[str]) -> None:
    """Print the five likeliest nodes of an image, and what is called."""
    from reader import Reader  # type: ignore[import-not-found]  # the file beside this one

    ensemble = Reader(Path(__file__).parent)
    channels = ensemble.about["samples"]["channels"]
    if len(files) != len(channels):
        raise ValueError(f"{len(files)} files were given; give {len(channels)}, for {', '.join(channels)}, - for none")
    answer = ensemble.answer(read_image(files, ensemble.about["samples"])[None])
    for number in np.argsort(-answer["probs"][0], kind="stable")[:5]:
        print(f"{ensemble.rules['nodes'][number]:32} {answer['probs'][0, number]:.6f}")
    if "present" in answer:
        print("called:", ", ".join(answer["labels"][0]) or "unsure")
    print(ensemble.about["caution"])


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (OSError, ValueError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
