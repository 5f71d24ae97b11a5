"""What commands open, told by the system: nothing outside of what they were named, the program and its libraries."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from faults.hostile.images import make_elsewhere
from faults.tally import Tally
from faults.world import World

_OPENED = re.compile(r'\b(?:openat|open|creat|openat2)\((?:\w+(?:<[^>]*>)?, )?"((?:[^"\\]|\\.)*)".*= \d+')
_OF_SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/etc", "/proc", "/sys", "/dev/null", "/dev/urandom", "/dev/shm")


def find_tracer() -> str | None:
    """Return strace, where it is installed and may trace."""
    tracer = shutil.which("strace")
    if tracer is None:
        return None
    done = subprocess.run([tracer, "-f", "-e", "trace=open,openat", "true"], capture_output=True, check=False)
    return tracer if done.returncode == 0 else None


def try_opened(world: World, scratch: Path, tracer: str) -> Tally:
    """Run commands on a folder with links, and files, that lead elsewhere; look at each file that was opened."""
    tally, secret = Tally(), scratch / "secret"
    secret.mkdir()
    there = world.copy(scratch / "world")
    images = there.home / "images"
    shutil.copytree(world.new, images)
    for name in ("secret.png", "secret.tif"):
        shutil.copy(next(world.new.iterdir()), secret / name)
    (images / "out_green.png").symlink_to(secret / "secret.png")
    (images / "folder").symlink_to(secret)
    (images / "elsewhere.tif").write_bytes(make_elsewhere(str(secret / "secret.tif").encode()))
    (images / "beside.tif").write_bytes(make_elsewhere(b"../../secret/secret.tif"))
    there.images = there.new = images
    for name, words in _list_commands(there):
        log = scratch / f"{name.replace(' ', '-')}.strace"
        command = [tracer, "-f", "-qq", "-e", "trace=open,openat,creat,openat2", "-o", str(log), sys.executable, "-m"]
        env = {**os.environ, "MPLCONFIGDIR": str(there.home), "HPA_HIER_CACHE": str(there.home / "cache")}
        command += ["hpa_hier", *map(str, words)]
        done = subprocess.run(command, env=env, cwd=there.home, capture_output=True, text=True, check=False)
        tally.add(done.returncode in (0, 1), f"{name}: status {done.returncode}: {done.stderr[-400:]}")
        roots = (there.home, world.home, *map(Path, sys.path), Path(sys.prefix), Path(sys.base_prefix), *_OF_SYSTEM)
        for path in sorted(_list_opened(log, there.home)):
            inside = any(path.is_relative_to(root) for root in roots) and not path.is_relative_to(secret)
            tally.add(inside, f"{name} opened {path}")
    return tally


def _list_commands(world: World) -> Iterator[tuple[str, Sequence[object]]]:
    yield (
        "data pack",
        [
            *("data", "pack", "--images", world.images, "--labels", world.labels, "--taxonomy", world.taxonomy),
            *("--size", 32, "--out", world.home / "packed", "--on-problem", "skip"),
        ],
    )
    yield "predict", world.predict_words()
    yield "explain", ["explain", world.images / "s0000_green.png", "--run", world.run, "--device", "cpu"]
    yield "evaluate", world.ensemble_words("evaluate")


def _list_opened(log: Path, home: Path) -> set[Path]:
    """Return what was opened, links followed; names that are relative belong to the folder that the command is in."""
    found = set()
    for line in log.read_text(errors="replace").splitlines():
        if (match := _OPENED.search(line)) and not (match[1].startswith("/proc") or match[1] in ("", ".")):
            found.add(Path(os.path.realpath(home / match[1])))
    return found
