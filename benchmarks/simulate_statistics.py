"""Compare the brightness of simulated and real channels: a table of quantiles per channel, and a plot on request.

    python benchmarks/simulate_statistics.py --real DIR [DIR ...] [--count 120] [--size 256] [--realism 0]
                                            [--plot FILE.png]

DIR holds real single-channel PNGs named `<id>_<channel>.png`, 8-bit, as the 2018 competition's. Each value is the
median over images of that image's quantile, and in brackets the 10th and 90th percentile over images. Costs about ten
seconds on one core.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

from hpa_hier.data.images.channels import CHANNELS
from hpa_hier.simulate.field import simulate_field
from hpa_hier.simulate.labelsets import draw_samples

QUANTILES = (25, 50, 75, 90, 95, 99, 99.9)  # per cent


def real_quantiles(folders: list[Path], channel: str, size: int) -> np.ndarray:
    """Return (images, quantiles) of the real files of one channel, shrunk to `size` pixels."""
    rows = []
    for path in [path for folder in folders for path in sorted(folder.glob(f"*_{channel}.png"))]:
        plane = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        plane = cv2.resize(plane, (size, size), interpolation=cv2.INTER_AREA)
        rows.append(np.percentile(plane, QUANTILES))
    return np.array(rows)


def simulated_quantiles(count: int, size: int, realism: float, seed: int) -> dict[str, np.ndarray]:
    """Return channel → (images, quantiles) of `count` simulated fields with the real table's labels."""
    samples = draw_samples(count, seed)
    fields = [simulate_field(seed, i, size, s.labels, realism=realism).image for i, s in enumerate(samples)]
    return {c: np.array([np.percentile(f[k], QUANTILES) for f in fields]) for k, c in enumerate(CHANNELS)}


def cell(values: np.ndarray) -> str:
    """Format one column of a table: median and spread over images."""
    low, middle, high = np.percentile(values, [10, 50, 90])
    return f"{middle:4.0f} [{low:3.0f},{high:4.0f}]"


def plot(path: Path, real: dict[str, np.ndarray], simulated: dict[str, np.ndarray]) -> None:
    """Plot each channel's quantiles, real and simulated; bands hold the 10th to the 90th percentile of images."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(CHANNELS), figsize=(14, 3.4), sharey=True, layout="constrained")
    ticks = range(len(QUANTILES))
    for axis, channel in zip(axes, CHANNELS, strict=True):
        for name, values, colour in (("real", real[channel], "black"), ("simulated", simulated[channel], "tab:orange")):
            low, middle, high = np.percentile(values, [10, 50, 90], axis=0)
            axis.fill_between(ticks, low, high, color=colour, alpha=0.18)
            axis.plot(ticks, middle, color=colour, label=f"{name}, {len(values)} images")
        axis.set_xticks(ticks, [f"{q:g}" for q in QUANTILES])
        axis.set_title(channel)
        axis.set_xlabel("quantile of pixels, %")
    axes[0].set_ylabel("intensity, 0 to 255")
    axes[0].legend()
    figure.savefig(path, dpi=110)


def main(arguments: list[str]) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, nargs="+", action="extend", required=True, metavar="DIR")
    parser.add_argument("--count", type=int, default=120, help="simulated fields")
    parser.add_argument("--size", type=int, default=256, help="pixels, of real and simulated fields")
    parser.add_argument("--realism", type=float, default=0.0, help="share of the fields that look as real ones")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    real = {c: real_quantiles(options.real, c, options.size) for c in CHANNELS}
    empty = [c for c in CHANNELS if len(real[c]) == 0]
    if empty:
        print(f"error: {options.real[0]}: no file *_{empty[0]}.png; name a folder of real channels", file=sys.stderr)
        return 2
    simulated = simulated_quantiles(options.count, options.size, options.realism, options.seed)
    print(f"| channel | images | {' | '.join(f'{q:g} %' for q in QUANTILES)} |")
    print(f"| --- | --- | {' | '.join('---' for _ in QUANTILES)} |")
    for channel in CHANNELS:
        for name, values in (("real", real[channel]), ("simulated", simulated[channel])):
            columns = " | ".join(cell(values[:, k]) for k in range(len(QUANTILES)))
            print(f"| {channel} | {name}, {len(values)} | {columns} |")
    if options.plot:
        plot(options.plot, real, simulated)
        print(f"wrote {options.plot}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
