"""What one of several side-by-side processes does: open the run and train one member of it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from hpa_hier.members.nodes import find_member
from hpa_hier.runs.start import start_run
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.training.plan import plan_training
from hpa_hier.training.train_member import TrainOptions, train_member


@dataclass(frozen=True)
class Job:
    """One member's training in a process of its own."""

    name: str
    config: str | None  # recipe file, as --config
    sets: tuple[str, ...]  # changes to it, as --set
    restart: bool
    threads: int
    log: Path  # takes all that the process prints


def train_one(job: Job, device: str) -> str:
    """Train a member as `train --member NAME` does; return the line that it ends with."""
    recipe = load_recipe(job.config, job.sets)
    plan = plan_training(start_run(recipe, named=bool(job.config)), find_member(recipe, job.name))
    # Should the trainer start further processes for this member, they begin as its own command does.
    command = Path(__file__).resolve().parents[1] / "train.py"
    flags = ["--member", job.name, "--device", device, "--threads", str(job.threads)]
    config = ["--config", job.config] if job.config else []
    sys.argv = [str(command), *flags, *config, *(word for change in job.sets for word in ("--set", change))]
    return train_member(plan, TrainOptions(device=device, restart=job.restart, threads=job.threads))
