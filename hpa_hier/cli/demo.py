"""Command: the whole way on simulated cells, from images on disk to a report."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hpa_hier.cli.command import Parser, add_recipe_arguments, one_thread_a_process
from hpa_hier.errors import UserError
from hpa_hier.settings.recipe import Recipe
from hpa_hier.settings.recipe_file import load_recipe


@dataclass(frozen=True)
class Step:
    """One command of the way, and the file that shows that it is finished."""

    title: str
    arguments: tuple[str, ...]  # what follows `python -m`
    finished: Path | None  # None: the command itself knows what is left to do


def steps(recipe: Recipe, recipe_arguments: Sequence[str]) -> tuple[Step, ...]:
    """List the commands from simulated cells to a report, in order.

    Args:
        recipe: the recipe that `recipe_arguments` name.
        recipe_arguments: the --config and --set flags, handed on to every command that takes a recipe.
    """
    home = Path(recipe.artifacts) / recipe.run
    images, pack = home / "images", home / "pack"
    shared = (*recipe_arguments, "--set", f"data.pack={pack}")
    source = ("--images", str(images), "--labels", str(images / "labels.csv"))
    return (
        Step(
            "simulate cells",
            ("hpa_hier.data", "simulate", *recipe_arguments, "--out", str(images)),
            images / "labels.csv",
        ),
        Step("pack", ("hpa_hier.data", "pack", *source, *recipe_arguments, "--out", str(pack)), pack / "pack.json"),
        Step(
            "split",
            ("hpa_hier.data", "split", "--pack", str(pack), *recipe_arguments, "--out", str(home / "split.csv")),
            home / "split.csv",
        ),
        Step("train", ("hpa_hier.train", "--all", *shared), None),
        Step("fit the ensemble", ("hpa_hier.ensemble", "fit", *shared), None),
        Step("evaluate on the test part", ("hpa_hier.ensemble", "evaluate", *shared), None),
        Step("report", ("hpa_hier.report", *shared), None),
    )


def main(arguments: Sequence[str]) -> int:
    """Run every step that is not finished, each as the command a person would type."""
    parser = Parser(
        "hpa_hier.demo", "Run the whole way on simulated cells: simulate, pack, split, train, fit, evaluate, report."
    )
    add_recipe_arguments(parser)
    options = parser.parse_args(arguments)
    config = options.config or "configs/demo.yaml"
    recipe_arguments = ["--config", config]
    for setting in options.sets:
        recipe_arguments += ["--set", setting]
    recipe = load_recipe(config, options.sets)
    one_thread_a_process()
    began = time.monotonic()
    for step in steps(recipe, recipe_arguments):
        _perform(step)
    report = Path(recipe.artifacts) / recipe.run / "report" / "index.html"
    print(f"demo finished in {time.monotonic() - began:.0f} s; open {report}")
    return 0


def _perform(step: Step) -> None:
    if step.finished is not None and step.finished.exists():
        print(f"== {step.title}: finished already ({step.finished})", flush=True)
        return
    print(f"== {step.title}\n$ python -m {shlex.join(step.arguments)}", flush=True)
    status = subprocess.run([sys.executable, "-m", *step.arguments], check=False).returncode
    if status in (130, -2):
        raise KeyboardInterrupt
    if status:
        raise UserError(
            f"the step '{step.title}' ended with status {status}; mend what it says above, then run this again"
        )
