"""Write all 28 simulated patterns on one sheet, on request beside real images of the same classes.

    python benchmarks/simulate_sheet.py --out sheet.jpg [--real DIR] [--seed N]

DIR holds `<class>-1-a.jpg`, RGB with red microtubules, green protein, blue nucleus, as the atlas's cell dictionary has
them. Each class shows the real image and its green channel (with --real), then simulated cells at the same zoom, their
green channel, and a field of 64 pixels as the demo trains on.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

from hpa_hier.simulate.field import simulate_field
from hpa_hier.simulate.labelsets import LEAVES

TILE = 150  # pixels, side of one picture
ZOOM = 288  # pixels, side of the zoomed field before it is shrunk
ROWS = 10  # classes a column


def coloured(image: np.ndarray) -> np.ndarray:
    """Turn channels (4, S, S) red, green, blue, yellow into a picture (S, S, 3) in OpenCV's order."""
    return np.stack([image[2], image[1], image[0]], axis=-1)


def tiles(label: str, seed: int, real: Path | None) -> np.ndarray:
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
    pictures += [coloured(zoomed), np.repeat(zoomed[1][..., None], 3, axis=2), coloured(field)]
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
    parser.add_argument("--seed", type=int, default=5)
    options = parser.parse_args(arguments)
    rows = [tiles(label, options.seed, options.real) for label in LEAVES]
    while len(rows) % ROWS:
        rows.append(np.zeros_like(rows[0]))
    columns = [np.vstack(rows[start : start + ROWS]) for start in range(0, len(rows), ROWS)]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(options.out), np.hstack(columns), [cv2.IMWRITE_JPEG_QUALITY, 82])
    print(f"wrote {options.out}: 28 classes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
