"""An exported ensemble beside the run that it is of: the same answers, how long they take, and how large it is.

    OMP_NUM_THREADS=1 python benchmarks/export.py --images DIR [--run NAME]

Costs two minutes for 48 fields of the bundled ensemble. DIR holds images with all channels, none smaller than the
networks take. The run, the exported folders as runs, and their readers (in a child process that can import neither
torch nor this package) answer for the same files. Prints the largest difference of a probability from the run's, how
many images have other labels, and milliseconds of processor time an image, reading included, medians of three rounds
in which they take turns.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from hpa_hier import Answers, Predictor, Run
from hpa_hier.data.images.scan import scan
from hpa_hier.predict.export.folder import export_ensemble

ROUNDS = 3
FORMATS = ("onnx", "openvino")
READ = """
import sys, time

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "hpa_hier", "scipy", "pandas", "sklearn", "cv2"):
            raise ImportError(name)

sys.meta_path.insert(0, Absent())
sys.path.insert(0, sys.argv[1])
import json, numpy as np
import example
from reader import Reader

reader, began = Reader(sys.argv[1]), time.process_time()
images = [example.read_image(one.split("|"), reader.about["samples"]) for one in sys.stdin.read().splitlines()]
answer = reader.answer(np.stack(images))
print(json.dumps([time.process_time() - began, answer["labels"], answer["probs"].tolist()]))
"""


def find_files(images: Path, channels: tuple[str, ...]) -> dict[str, list[str]]:
    """Return the files of each image, in the order of the channels; those that hold one channel each."""
    found = {one.id: [one.planes.get(channel) for channel in channels] for one in scan(images).sources}
    return {
        sample: [str(plane.file) for plane in planes if plane]
        for sample, planes in found.items()
        if all(plane and plane.index is None for plane in planes)
    }


def predict(run: Run | Path, files: list[str]) -> tuple[float, Answers]:
    """Answer for files; return the seconds of processor time that it took, without loading, and the answers."""
    predictor = Predictor.load(run)
    _ = predictor.scorers
    began = time.process_time()
    answers = predictor.predict(files, threads=1)
    return time.process_time() - began, answers


def read(folder: Path, files: dict[str, list[str]]) -> tuple[float, list[list[str]], np.ndarray]:
    """Answer by a folder's reader, as `predict`."""
    lines = "\n".join("|".join(planes) for planes in files.values())
    done = subprocess.run(
        [sys.executable, "-c", READ, str(folder)], input=lines, capture_output=True, text=True, check=True
    )
    seconds, labels, probs = json.loads(done.stdout)
    return seconds, labels, np.array(probs)


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, metavar="DIR")
    parser.add_argument("--run", default="pretrained", metavar="NAME", help="default: pretrained, the bundled one")
    options = parser.parse_args()
    run = Run.open(options.run)
    channels = tuple(run.ensemble.about["images"]["channels"])
    files = find_files(options.images, channels)
    flat = [file for planes in files.values() for file in planes]
    with tempfile.TemporaryDirectory() as home:
        folders = {form: Path(home, form) for form in FORMATS}
        for form, folder in folders.items():
            export_ensemble(run, folder, form)  # type: ignore[arg-type]
        seconds: dict[str, list[float]] = {}
        for _ in range(ROUNDS):
            took, own = predict(run, flat)
            seconds.setdefault("run (torch)", []).append(took)
            order = [own.ids.index(sample) for sample in files]
            probs, labels = own.probs[order], [list(own.labels[row]) for row in order]
            differs: dict[str, tuple[float, int]] = {}
            for form, folder in folders.items():
                took, found = predict(folder, flat)
                answers = {"predict --run": (took, [list(found.labels[row]) for row in order], found.probs[order])}
                answers["its reader"] = read(folder, files)
                for how, (took, called, told) in answers.items():
                    seconds.setdefault(f"{form}, {how}", []).append(took)
                    others = sum(one != other for one, other in zip(called, labels, strict=True))
                    differs[f"{form}, {how}"] = float(np.abs(told - probs).max()), others
        print(f"{len(files)} images\n{'':28} ms an image   largest difference   images with other labels")
        for how, took in seconds.items():
            apart = f"{differs[how][0]:19.1e} {differs[how][1]:26}" if how in differs else ""
            print(f"{how:28} {1000 * np.median(took) / len(files):11.1f} {apart}")
        for form, folder in folders.items():
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            print(f"{form}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
