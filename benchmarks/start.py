"""How long commands take to start: until they end, or until their first message, beside `import torch` alone.

    python benchmarks/start.py [--repeats N]

Costs two minutes. Prints for each command the seconds of processor time (user and system) and by the clock, each the
smallest of the repeats; the commands take turns, so that another load hits all alike. A command that works on is
stopped at its first message. Runs in a temporary folder, on drawn noise.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
CHANNELS = ("red", "green", "blue", "yellow")
IMAGES, SIZE = 60, 32  # of the pack that is trained on; pixels
FIELD = "field"  # id of the image that is predicted
FORMATS = ("onnx", "openvino")  # that the bundled ensemble is exported in


@dataclass(frozen=True)
class Case:
    """A command line of Python, timed to its end or to its first message."""

    name: str
    words: tuple[str, ...]
    whole: bool = True  # timed to its end

    def measure(self, folder: Path) -> tuple[float, float]:
        """Run it in a folder; return its seconds of processor time and by the clock."""
        paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        env = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        began = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, *self.words],
            cwd=folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as child:
            assert child.stdout is not None
            first = child.stdout.readline()
            rest = child.stdout.read() if self.whole else ""
            took = time.perf_counter() - began
            if not self.whole:
                child.kill()
            _, status, used = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)  # so that nobody waits for it again
        if first.startswith(("error:", "Traceback")) or (self.whole and child.returncode):
            raise SystemExit(f"{self.name}: {first}{rest}")
        return used.ru_utime + used.ru_stime, took


def list_cases() -> tuple[Case, ...]:
    """Return the command lines; the folder that they run in is that of `prepare`."""
    module, green = ("-m", "hpa_hier"), f"fields/{FIELD}_green.png"
    planes = [f"fields/{FIELD}_{channel}.png" for channel in CHANNELS]
    return (
        Case("import torch", ("-c", "import torch")),
        Case("--help", (*module, "--help")),
        Case("taxonomy check", (*module, "taxonomy", "check", "hpa28")),
        Case("predict, first message", (*module, "predict", green), whole=False),
        Case("train, first message", (*module, "train", "--level", "coarse", "--data", "pack"), whole=False),
        Case("predict one image with the bundled ensemble", (*module, "predict", green)),
        *(Case(f"the same, exported ({one})", (*module, "predict", green, "--run", one)) for one in FORMATS),
        *(Case(f"the same by its example.py ({one})", (f"{one}/example.py", *planes)) for one in FORMATS),
    )


def prepare(folder: Path) -> None:
    """Draw images of noise, pack them, draw one as large as the competition's, and export the bundled ensemble."""
    generator = np.random.default_rng(0)
    (folder / "images").mkdir()
    lines = ["Id,Target"]
    for number in range(IMAGES):
        for channel in CHANNELS:
            noise = generator.integers(0, 256, (SIZE, SIZE), dtype=np.uint8)
            cv2.imwrite(str(folder / "images" / f"noise-{number:02}_{channel}.png"), noise)
        lines.append(f"noise-{number:02},{number % 28}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    flags = ("--images", "images", "--labels", "labels.csv", "--out", "pack", "--size", str(SIZE))
    Case("data pack", ("-m", "hpa_hier", "data", "pack", *flags)).measure(folder)
    (folder / "fields").mkdir()
    for channel in CHANNELS:
        noise = generator.integers(0, 256, (512, 512), dtype=np.uint8)
        cv2.imwrite(str(folder / "fields" / f"{FIELD}_{channel}.png"), noise)
    for one in FORMATS:
        export = ("ensemble", "export", "--run", "pretrained", "--format", one, "--out", one)
        Case("ensemble export", ("-m", "hpa_hier", *export)).measure(folder)


def smallest(cases: Sequence[Case], folder: Path, repeats: int) -> Mapping[str, tuple[float, float]]:
    """Return each case's smallest seconds of processor time and by the clock."""
    runs = [[case.measure(folder) for case in cases] for _ in range(repeats)]
    best = np.array(runs).min(axis=0)  # (cases, 2)
    return {case.name: (float(cpu), float(wall)) for case, (cpu, wall) in zip(cases, best, strict=True)}


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="child processes of each (default: 5)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        table = smallest(list_cases(), folder, options.repeats)
    print(f"{'':44} processor time  by the clock   (seconds, smallest of {options.repeats})")
    for what, (cpu, wall) in table.items():
        print(f"{what:44} {cpu:14.2f} {wall:13.2f}")


if __name__ == "__main__":
    main()
