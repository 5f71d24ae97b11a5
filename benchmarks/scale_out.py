"""Members on every place: the same weights, what each place costs, and how soon a killed member is trained again.

    python benchmarks/scale_out.py --places threading loky dask-local ray
    python benchmarks/scale_out.py --places slurm      # where sbatch works

Small networks on drawn dots, so that what is measured is the place, not the training. `today` is `train --all` without
--backend. `joblib` shows what joblib.Parallel itself does when a worker dies.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
TODAY = "today"
JOBLIB = """
import os, signal, sys
from joblib import Parallel, delayed, parallel_config
def work(n, done):
    if n == 2: os.kill(os.getpid(), signal.SIGKILL)
    open(os.path.join(done, str(n)), "w").close()
    return n
if __name__ == "__main__":
    engine, done = sys.argv[1:]
    if engine == "dask":
        import dask; from distributed import Client, LocalCluster
        with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
            client = Client(LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None))
    if engine == "ray":
        import ray; from ray.util.joblib import register_ray
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=40); register_ray()
    with parallel_config(backend=engine, n_jobs=2):
        try: print("answers:", len(Parallel()(delayed(work)(n, done) for n in range(8))))
        except BaseException as error: print("raised", type(error).__name__)
"""


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--places", nargs="+", default=["threading", "loky", "dask-local", "ray"])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=3, help="of each of the four members")
    parser.add_argument("--no-kill", action="store_true", help="only what places cost")
    parser.add_argument("--joblib", nargs="*", default=[], metavar="ENGINE", help="loky, dask, ray: joblib alone")
    options = parser.parse_args()
    adopt_orphans()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        home = Path(folder)
        rows: dict[str, list[tuple[float, float, str]]] = {}
        for number in range(options.rounds):
            for place in (TODAY, *options.places):  # interleaved
                run = home / f"{place}-{number}"
                rows.setdefault(place, []).append(measure(run, place, options.epochs))
        print("| place | wall, s | processor, s | weights and scores |\n| --- | --- | --- | --- |")
        first = rows[TODAY][0][2]
        for place, results in rows.items():
            wall, spent = (sorted(row[k] for row in results)[len(results) // 2] for k in (0, 1))
            same = "the same" if {row[2] for row in results} == {first} else "OTHERS"
            print(f"| `{place}` | {wall:.1f} | {spent:.1f} | {same} (`{results[0][2][:12]}`) |", flush=True)
        if not options.no_kill:
            print("\n| `kill -9` of | goes on after, s | at epoch | weights |\n| --- | --- | --- | --- |")
            for place in options.places:
                for victim in ("member", "worker")[: 1 if place == "threading" else 2]:
                    print(recover(home / f"kill-{victim}-{place}", place, victim), flush=True)
        for engine in options.joblib:
            print(kill_in_joblib(home / f"joblib-{engine}", engine), flush=True)


def prepare(home: Path, epochs: int, names: int = 4) -> list[str]:
    """Write a tiny run and return the flags that train it."""
    from tiny_run import write_tiny

    members = [{"name": f"leaf-s{seed}", "level": "leaf", "seed": seed} for seed in range(names)]
    recipe = write_tiny(home, training={"epochs": epochs}, members=members)
    return ["--all", "--config", str(recipe), "--device", "cpu", "--jobs", "2", "--no-progress"]


def start(flags: list[str], place: str) -> subprocess.Popen[str]:
    """Start the command of a training in a group of its own."""
    line = [sys.executable, "-m", "hpa_hier.train", *flags, *(() if place == TODAY else ("--backend", place))]
    return subprocess.Popen(line, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment())


def environment() -> dict[str, str]:
    """Return this process's environment, in which this package is found."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def measure(home: Path, place: str, epochs: int) -> tuple[float, float, str]:
    """Train four members, two at a time; return seconds by the clock and of the processor, and the hash of it all."""
    flags = prepare(home, epochs)
    used, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    process = start(flags, place)
    _, said = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{place}: {said}")
    wall = time.monotonic() - began
    reap_orphans()
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime, hash_run(home)


def adopt_orphans() -> None:
    """Have what a command leaves behind, as a fork server or a daemon of Ray, count as a child of this process."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def reap_orphans() -> None:
    """Wait for what a command has left behind, half a minute at most; its processor time counts then."""
    until = time.monotonic() + 30
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < until:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.1)


def hash_run(home: Path) -> str:
    """Return one hash of the weights and scores of all members."""
    files = sorted(home.glob("artifacts/tiny/members/*/*"))
    kept = [path for path in files if path.name in ("model.safetensors", "scores.npz")]
    return sha256(b"".join(path.parent.name.encode() + path.read_bytes() for path in kept)).hexdigest()


def recover(home: Path, place: str, victim: str) -> str:
    """Kill a member's process, or its worker, in the third epoch; return a row on what came of it."""
    flags = prepare(home, 12, names=1)
    whole = prepare(home / "whole", 12, names=1)
    start(whole, TODAY).communicate()
    process = start(flags, place)
    history = home / "artifacts/tiny/members/leaf-s0/history.csv"
    killed = {"at": 0.0}

    def watch() -> None:
        while process.poll() is None:
            if history.exists() and len(history.read_text().splitlines()) >= 4:
                child = find_child(str(home / "artifacts"))
                if child:
                    killed["at"] = time.monotonic()
                    os.kill(child if victim == "member" else parent_of(child), signal.SIGKILL)
                    return
            time.sleep(0.02)

    watcher = threading.Thread(target=watch)
    watcher.start()
    log, again = home / "artifacts/tiny/members/leaf-s0/train.log", 0.0
    epoch = 0
    while process.poll() is None and not again:
        if killed["at"]:
            epochs = [int(one) for one in re.findall(r"epoch (\d+) of", log.read_text())]
            starts = log.read_text().count("checking its settings")
            if starts > 1 and epochs and log.read_text().rindex("epoch ") > log.read_text().rindex("checking its"):
                again, epoch = time.monotonic(), epochs[-1]
        time.sleep(0.05)
    process.communicate()
    watcher.join()
    same = "the same" if hash_run(home) == hash_run(home / "whole") else "OTHERS"
    return f"| {victim} on `{place}` | {again - killed['at']:.1f} | {epoch} of 12 | {same} |"


def find_child(word: str) -> int:
    """Return the process that trains in a folder; 0 where there is none."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_text()
        except OSError:
            continue
        if "hpa_hier.places.child" in line and word in line:
            return int(path.parent.name)
    return 0


def parent_of(process: int) -> int:
    """Return the number of a process's parent."""
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def kill_in_joblib(done: Path, engine: str) -> str:
    """Have joblib.Parallel do eight tasks of which one kills its worker; say what comes of it within a minute."""
    done.mkdir()
    script = done.with_suffix(".py")
    script.write_text(JOBLIB)
    line = [sys.executable, str(script), engine, str(done)]
    try:
        told = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False).stdout.strip()
    except subprocess.TimeoutExpired:
        told = "still waiting after 60 s"
    return f"joblib.Parallel on {engine}: {told or 'no answer'}; {len(list(done.iterdir()))} of 7 others had been done"


if __name__ == "__main__":
    main()
