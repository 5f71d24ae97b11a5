"""Ask the server 200 times, 8 at once: how long an answer takes, and whether memory stays flat.

    python benchmarks/serve_load.py [--images DIR] [--requests 200] [--at-once 8] [--alone 25]

Starts `hpa-hier serve` with the bundled ensemble on a free port. Each request sends the files of one image and waits
for its answer; some are sent one at a time first. Each image is also answered for as `ensemble predict` does it, and
the probabilities must be equal to the last digit. DIR holds images of four channels (default: 12 fields are simulated).
Memory is what the server and the processes that decode hold, from /proc. About 6 minutes on two cores.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import httpx
import numpy as np

from hpa_hier.cli.command import one_thread_a_process
from hpa_hier.data.images.scan import scan
from hpa_hier.simulate.write import write_folder

Form: TypeAlias = list[tuple[str, tuple[str, bytes]]]  # a field's name, and a file's name and content
_SECONDS = 300.0  # that a request may take
_FIELDS, _SIDE = 12, 512  # that are simulated: number, and pixels of a side


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument("--alone", type=int, default=25)
    options = parser.parse_args()
    one_thread_a_process()
    with tempfile.TemporaryDirectory() as home:
        images = options.images or simulate(Path(home) / "images")
        forms = read_forms(images)
        print(f"{len(forms)} images of {images}")
        server, address = start(Path(home))
        try:
            load(server.pid, address, list(forms.values()), options)
            wrong = compare(address, images, forms, options.at_once)
            print(f"probabilities that differ from those of `ensemble predict`: {wrong} of {len(forms)} images")
        finally:
            server.send_signal(signal.SIGINT)
            began = time.monotonic()
            server.wait(60)
        print(f"Ctrl-C: ended after {time.monotonic() - began:.1f} s with status {server.returncode}")


def simulate(folder: Path) -> Path:
    """Simulate some fields, and return their folder."""
    from hpa_hier.settings.recipe import SimulateSettings

    return write_folder(folder, SimulateSettings(count=_FIELDS, image_size=_SIDE))


def read_forms(images: Path) -> dict[str, Form]:
    """Return the form of each image that has four channels, by id."""
    found = {}
    for source in scan(images).sources:
        files = sorted({plane.file for plane in source.planes.values()})
        if len(source.planes) == 4:
            found[source.id] = [("files", (file.name, file.read_bytes())) for file in files]
    return found


def start(home: Path) -> tuple[subprocess.Popen[str], str]:
    """Start the server, and return it with its address."""
    command = [sys.executable, "-m", "hpa_hier", "serve", "--port", "0", "--run", "pretrained"]
    server = subprocess.Popen([*command, "--corrections", str(home / "corrections")], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    return server, server.stdout.readline().split()[2].rstrip(";")


def load(server: int, address: str, forms: Sequence[Form], options: argparse.Namespace) -> None:
    """Send requests one at a time, then several at once, and print how long they took and what memory was held."""

    def ask(number: int) -> float:
        began = time.monotonic()
        with httpx.Client(base_url=address, timeout=_SECONDS) as client:
            answer = client.post("/predict", params={"wait": 120}, files=forms[number % len(forms)])
        assert answer.status_code == 200, answer.text
        return time.monotonic() - began

    for number in range(5):  # what is loaded once
        ask(number)
    print("| | requests | a second | median s | 95th percentile s | MB before | MB after each quarter |")
    print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    print(measure("one at a time", server, [options.alone], 1, ask), flush=True)
    quarter = max(1, options.requests // 4)
    parts = [quarter] * 3 + [options.requests - 3 * quarter]
    print(measure(f"{options.at_once} at once", server, parts, options.at_once, ask), flush=True)


def measure(name: str, server: int, parts: Sequence[int], at_once: int, ask: Callable[[int], float]) -> str:
    """Send requests in parts, and return a table's row."""
    before, after, seconds, began = held(server), [], [], time.monotonic()
    with ThreadPoolExecutor(at_once) as pool:
        for part in parts:
            seconds += list(pool.map(ask, range(len(seconds), len(seconds) + part)))
            after.append(held(server))
    rate = len(seconds) / (time.monotonic() - began)
    median, late = np.percentile(seconds, (50, 95))
    cells = [name, str(len(seconds)), f"{rate:.2f}", f"{median:.2f}", f"{late:.2f}"]
    return f"| {' | '.join(cells)} | {before:.0f} | {', '.join(f'{one:.0f}' for one in after)} |"


def held(server: int) -> float:
    """Return what a process and those that it started hold, in MB."""
    children = Path(f"/proc/{server}/task").glob("*/children")
    started = [int(one) for path in children for one in path.read_text().split()]
    total = 0.0
    for process in (server, *started):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1]) / 1024
    return total


def compare(address: str, images: Path, forms: dict[str, Form], at_once: int) -> int:
    """Count images whose probabilities differ from those of `ensemble predict`."""
    from hpa_hier.predict.predictor import Predictor

    answers = Predictor.load("pretrained").predict(images)
    wanted = dict(zip(answers.ids, answers.probs.tolist(), strict=True))

    def differs(sample: str) -> bool:
        with httpx.Client(base_url=address, timeout=_SECONDS) as client:
            (found,) = client.post("/predict", params={"wait": 120}, files=forms[sample]).json()["samples"]
        return [one["prob"] for one in found["nodes"]] != wanted[sample]

    with ThreadPoolExecutor(at_once) as pool:
        return sum(pool.map(differs, forms))


if __name__ == "__main__":
    main()
