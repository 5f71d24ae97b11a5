"""A run small enough to train in a second: drawn dots, four leaves, 32 pixels."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hpa_hier.data.pack.simulated_pack import write_simulated_pack
from hpa_hier.settings.recipe import Recipe
from hpa_hier.settings.recipe_file import recipe_yaml
from hpa_hier.taxonomy import Taxonomy

if TYPE_CHECKING:
    from torch import Tensor

    from hpa_hier.training.plan import Plan

CHANNELS = ("red", "green", "blue", "yellow")
SIZE = 32
TAXONOMY = """taxonomy: toy
levels: {coarse: 1, leaf: leaves}
tree:
  Inside:
    Dots: {label: 0}
    Rings: {label: 1}
  Outside:
    Blobs: {label: 2}
    Smears: {label: 3}
"""


def write_tiny(folder: Path, count: int = 160, **changes: object) -> Path:
    """Write a taxonomy, a pack and a recipe with four members; return the recipe's path."""
    folder.mkdir(parents=True, exist_ok=True)
    taxonomy = folder / "toy.yaml"
    taxonomy.write_text(TAXONOMY)
    if not (folder / "pack" / "pack.json").exists():
        _write_pack(folder / "pack", Taxonomy.load(taxonomy), count)
    training = {
        "width": 8,
        "epochs": 3,
        "batch_size": 16,
        "dropout": 0.3,
        "learning_rate": 0.003,
        **changes.pop("training", {}),  # type: ignore[dict-item]
    }
    recipe = {
        "run": "tiny",
        "artifacts": str(folder / "artifacts"),
        "taxonomy": str(taxonomy),
        "data": {"pack": str(folder / "pack")},
        "partition": {"majority_min_images": 40},
        "split": {"folds": 0},
        "training": training,
        "members": [
            {"name": "coarse", "level": "coarse"},
            {"name": "leaf", "level": "leaf"},
            {"name": "leaf-s1", "level": "leaf", "seed": 1},
            {"name": "group-Inside", "group": "Inside"},
        ],
        **changes,
    }
    path = folder / "recipe.yaml"
    path.write_text(recipe_yaml(Recipe.model_validate(recipe)))
    return path


def train_tiny(folder: Path, **training: object) -> Plan:
    """Train the member `leaf` of a tiny run with other training settings, in this process; return its plan."""
    from hpa_hier.training.train_member import TrainOptions, train_member

    plan = plan_tiny(folder, **training)
    train_member(plan, TrainOptions(device="cpu", lines=False, restart=True))
    return plan


def plan_tiny(folder: Path, **training: object) -> Plan:
    """Plan the training of the member `leaf` of a tiny run."""
    from hpa_hier.members.nodes import find_member
    from hpa_hier.runs.start import start_run
    from hpa_hier.settings.recipe_file import load_recipe
    from hpa_hier.training.plan import plan_training

    recipe = load_recipe(str(write_tiny(folder, training=training)))
    return plan_training(start_run(recipe), find_member(recipe, "leaf"))


def untrained_weights(plan: Plan) -> dict[str, Tensor]:
    """Return the weights that a training starts from."""
    import torch

    from hpa_hier.training.assemble import assemble

    return assemble(plan, torch.device("cpu"), {}, "").module.network.state_dict()


def trained_weights(plan: Plan) -> dict[str, Tensor]:
    """Return the weights that a training kept."""
    from safetensors.torch import load_file

    return load_file(plan.folder / "model.safetensors")


def train_command(*flags: object) -> list[str]:
    """Return the command line of a training."""
    return [sys.executable, "-m", "hpa_hier.train", *map(str, flags)]


def train(*flags: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run the training command to its end."""
    return subprocess.run(train_command(*flags), capture_output=True, text=True, timeout=timeout, env=one_thread())


def train_here(*flags: object) -> tuple[int, str]:
    """Run the training command in this process; return its status and what it printed."""
    from hpa_hier.cli.train import main
    from hpa_hier.errors import UserError

    printed = io.StringIO()
    with redirect_stdout(printed), redirect_stderr(printed):
        try:
            status = main([str(flag) for flag in flags])
        except UserError as error:
            print(f"error: {error}")
            status = 2
    return status, printed.getvalue()


def start(log: Path, *flags: object) -> BaseProcess:
    """Start the training command in a process forked from a server that has imported all: a second, not five."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hpa_hier.training.train_member", "hpa_hier.settings.recipe_file"])
    process = context.Process(target=_command, args=(log, [str(flag) for flag in flags]))
    process.start()
    return process


def finish(log: Path, *flags: object) -> tuple[int | None, str]:
    """Run the training command to its end as `start` does; return its status and what it printed."""
    process = start(log, *flags)
    process.join(120)
    return process.exitcode, log.read_text()


def _command(log: Path, flags: list[str]) -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # a server that `train --all` started holds it back
    with log.open("w", buffering=1) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        sys.argv = ["train", *flags]
        signal.signal(signal.SIGINT, signal.default_int_handler)
        from hpa_hier.cli.command import run
        from hpa_hier.cli.train import main

        run(main)


def one_thread() -> dict[str, str]:
    """Return this process's environment with numeric libraries kept to one thread."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def _write_pack(folder: Path, taxonomy: Taxonomy, count: int) -> None:
    generator = np.random.default_rng(0)
    leaves = taxonomy.leaves
    chosen = generator.random((count, len(leaves))) < [0.5, 0.3, 0.3, 0.15]
    chosen[~chosen.any(axis=1), 0] = True
    nodes = [tuple(leaf for leaf, on in zip(leaves, row, strict=True) if on) for row in chosen]
    down, across = np.mgrid[:SIZE, :SIZE]

    def draw(row: np.ndarray) -> np.ndarray:
        image = generator.normal(40, 10, (4, SIZE, SIZE))
        for kind in np.flatnonzero(row):
            for y, x in generator.integers(4, SIZE - 4, (4, 2)):
                distance = np.hypot(down - y, across - x)
                image[1] += 90 * np.exp(-(((distance - 3 * (kind % 2)) / (1 + kind)) ** 2))
        return np.clip(image, 0, 255).astype(np.uint8)

    ids = [f"drawn{i:04d}" for i in range(count)]
    write_simulated_pack(folder, (draw(row) for row in chosen), ids, nodes, [""] * count, CHANNELS, taxonomy, "dots")
