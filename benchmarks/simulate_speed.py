"""Measure how fast fields are simulated: fields per second and core at several sizes, against a floor.

    python benchmarks/simulate_speed.py [--sizes 64 128 256 512] [--seconds 5] [--realism 1]

One process, real label sets; time is the processor's over all its threads, so that a busy machine does not count.
Ends with status 1 where a size is slower than its floor: 40 fields a second at 128 pixels, 10 at 256.
"""

from __future__ import annotations

import argparse
import sys
import time

import cv2
import numpy as np

from hpa_hier.simulate.field import simulate_field
from hpa_hier.simulate.labelsets import draw_samples

FLOORS = {128: 40.0, 256: 10.0}  # fields a second and core


def measure(size: int, seconds: float, realism: float) -> tuple[float, np.ndarray]:
    """Return fields per second and the milliseconds of each field."""
    labels = [sample.labels for sample in draw_samples(5000, seed=3)]
    simulate_field(3, 0, size, labels[0], realism=realism)  # caches fill outside the measurement
    took: list[float] = []
    while sum(took) < seconds:
        start = time.process_time()
        simulate_field(3, len(took), size, labels[len(took) % len(labels)], realism=realism)
        took.append(time.process_time() - start)
    return len(took) / sum(took), 1000 * np.array(took)


def main(arguments: list[str]) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256, 512], metavar="PX")
    parser.add_argument("--seconds", type=float, default=5.0, help="spent at each size")
    parser.add_argument("--realism", type=float, default=0.0, help="share of the fields that look as real ones")
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    slow = False
    print("| pixels | fields a second and core | ms, median | ms, 95th percentile | floor |")
    print("| --- | --- | --- | --- | --- |")
    for size in options.sizes:
        rate, took = measure(size, options.seconds, options.realism)
        floor = FLOORS.get(size)
        slow |= floor is not None and rate < floor
        middle, late = np.percentile(took, [50, 95])
        print(f"| {size} | {rate:.1f} | {middle:.1f} | {late:.1f} | {'' if floor is None else f'{floor:g}'} |")
    return int(slow)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
