"""The page on clusters: each engine is started as it says, and its command run there; all train the same weights."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from desk import make_desk, run_shortened
from one_node_slurm import run_slurm
from pages import PAGES, ROOT, blocks, commands, name
from parsers import command_words

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
PAGE = next(page for page in PAGES if name(page) == "docs/howto/cluster.md")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pack and a run that was trained on this machine alone."""
    folder = tmp_path_factory.mktemp("desk")
    make_desk(folder)
    pack = ["data", "pack", "--images", "my_images", "--labels", "my_labels.csv", "--out", "my_pack"]
    assert run_shortened(pack, folder) == 0
    train = ["train", "--all", "--data", "my_pack", "--run", "here", "--config", "short.yaml"]
    assert run_shortened(train, folder) == 0
    return folder


@contextlib.contextmanager
def start_dask(folder: Path) -> Iterator[None]:
    """Start the scheduler and the workers as the page has it, in a group of their own."""
    text = next(block.text for block in blocks(PAGE) if "dask scheduler" in block.text)
    started = []
    for line in text.replace("HOST", "127.0.0.1").replace("--nworkers 4", "--nworkers 2").splitlines():
        words = [sys.executable, "-m", *line.split(), "--no-dashboard"]
        started.append(subprocess.Popen(words, cwd=folder, stderr=subprocess.DEVNULL, process_group=0))
    try:
        yield
    finally:
        for process in reversed(started):
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


@contextlib.contextmanager
def start_jobqueue(folder: Path, slurm: Path) -> Iterator[str]:
    """Start the page's scheduler whose workers are jobs of SLURM; yields the address that it prints."""
    line = next(block.text for block in blocks(PAGE) if "SLURMCluster" in block.text)
    words = shlex.split(line.replace("jobs=8", "jobs=2").replace("8GB", "400MB"))
    with run_slurm(slurm):
        process = subprocess.Popen(
            [sys.executable, *words[1:]], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
            process.communicate("\n", timeout=60)
        finally:
            process.kill()


def hash_members(run: Path) -> dict[str, str]:
    """Return the hash of each member's weights and scores, by file."""
    files = [path for name in ("model.safetensors", "scores.npz") for path in run.glob(f"members/*/{name}")]
    assert files
    return {str(path.relative_to(run)): sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("engine", ["dask-local", "dask://127.0.0.1:8786", "ray", "slurm"])
def test_the_command_of_an_engine_trains_the_same_members_as_one_machine(
    engine: str, desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = next(words for _, words in commands(PAGE) if engine in words and "train" in words)
    own = [*command_words(words), "--config", "short.yaml"]
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    started: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
    if engine == "slurm":
        started = run_slurm(tmp_path / "slurm")
    elif engine.startswith("dask://"):
        started = start_dask(desk)
    else:
        pytest.importorskip("ray" if engine == "ray" else "distributed")
    with started:
        assert run_shortened(own, desk) == 0
    run = desk / "artifacts" / own[own.index("--run") + 1]
    assert hash_members(run) == hash_members(desk / "artifacts" / "here")


def test_workers_that_dask_jobqueue_asks_slurm_for_train_the_same_members(
    desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("dask_jobqueue")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with start_jobqueue(desk, tmp_path / "slurm") as address:
        assert address.startswith("dask://")
        words = ["train", "--all", "--data", "my_pack", "--run", "queue_run", "--config", "short.yaml"]
        assert run_shortened([*words, "--backend", address], desk) == 0
    assert hash_members(desk / "artifacts" / "queue_run") == hash_members(desk / "artifacts" / "here")
