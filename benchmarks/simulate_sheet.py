"""Write all 28 simulated patterns on one sheet, on request beside real images of the same classes.

    python benchmarks/simulate_sheet.py --out sheet.jpg [--real DIR] [--fields DIR] [--seed N]

DIR of --real holds `<class>-1-a.jpg`, RGB with red microtubules, green protein, blue nucleus, as the atlas's cell
dictionary has them; DIR of --fields holds `<id>_<channel>.png` and `labels.csv`, as the competition's. Each class shows
the real image and its green channel (with --real), then simulated cells at the same zoom and their green channel, a
whole field as `simulate.realism` has it and its green channel, the real whole field with the fewest other labels and
its green channel (with --fields; black where there is none), and a field of 64 pixels as the demo trains on.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from hpa_hier.data.images.channels import CHANNELS
from hpa_hier.data.images.read import to_uint8
from hpa_hier.simulate.field import simulate_field
from hpa_hier.simulate.labelsets import LEAVES

TILE = 150  # pixels, side of one picture
ZOOM = 288  # pixels, side of the zoomed field before it is shrunk
FIELD = 300  # pixels, side of the whole field before it is shrunk
ROWS = 10  # classes a column


def load_field(folder: Path, label: str) -> np.ndarray:
    """Read the real field (4, S, S) that has the label and fewest others; zeros where none has it."""
    with (folder / "labels.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if label in row["Target"].split()]
    if not rows:
        return np.zeros((len(CHANNELS), TILE, TILE), np.uint8)
    name = min(rows, key=lambda row: len(row["Target"].split()))["Id"]
    return stretched([cv2.imread(str(folder / f"{name}_{c}.png"), cv2.IMREAD_UNCHANGED) for c in CHANNELS])


def stretched(planes: Iterable[np.ndarray]) -> np.ndarray:
    """Shrink channels and stretch their intensities, as prediction does: (4, TILE, TILE) uint8."""
    small = [cv2.resize(plane, (TILE, TILE), interpolation=cv2.INTER_AREA) for plane in planes]
    return np.stack([to_uint8(plane, "percentile") for plane in small])


def coloured(image: np.ndarray) -> np.ndarray:
    """Turn channels (4, S, S) red, green, blue, yellow into a picture (S, S, 3) in OpenCV's order."""
    return np.stack([image[2], image[1], image[0]], axis=-1)


def tiles(label: str, seed: int, real: Path | None, fields: Path | None) -> np.ndarray:
    """Return the pictures of one class side by side, its name on the first."""
    pictures = []
    if real is not None:
        picture = cv2.imread(str(real / f"{label}-1-a.jpg"))
        if picture is None:
            raise SystemExit(f"error: {real}: no readable file {label}-1-a.jpg; name the folder of the cell dictionary")
        picture = picture[: int(0.92 * picture.shape[0]), : int(0.92 * picture.shape[1])]  # the scale bar stays out
        pictures += [picture, np.repeat(picture[..., 1:2], 3, axis=2)]
    zoomed = simulate_field(seed, int(label), ZOOM, [label], radius=0.27 * ZOOM).image
    field = simulate_field(seed, 100 + int(label), 64, [label]).image
    whole = simulate_field(seed, 200 + int(label), FIELD, [label], radius=0.11 * FIELD, realism=1.0).image
    shown = [zoomed, stretched(whole), *([load_field(fields, label)] if fields else [])]
    for image in shown:
        pictures += [coloured(image), np.repeat(image[1][..., None], 3, axis=2)]
    pictures.append(coloured(field))
    sized = [cv2.resize(p, (TILE, TILE), interpolation=cv2.INTER_AREA) for p in pictures[:-1]]
    sized.append(cv2.resize(pictures[-1], (TILE, TILE), interpolation=cv2.INTER_NEAREST))
    row = np.hstack(sized)
    cv2.putText(
        row, f"{label} {LEAVES[label]}", (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1, cv2.LINE_AA
    )
    return row


def main(arguments: list[str]) -> int:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    parser.add_argument("--real", type=Path, metavar="DIR")
    parser.add_argument("--fields", type=Path, metavar="DIR")
    parser.add_argument("--seed", type=int, default=5)
    options = parser.parse_args(arguments)
    rows = [tiles(label, options.seed, options.real, options.fields) for label in LEAVES]
    while len(rows) % ROWS:
        rows.append(np.zeros_like(rows[0]))
    columns = [np.vstack(rows[start : start + ROWS]) for start in range(0, len(rows), ROWS)]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(options.out), np.hstack(columns), [cv2.IMWRITE_JPEG_QUALITY, 70])
    print(f"wrote {options.out}: 28 classes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
