"""Command: the whole way on simulated cells, from images on disk to a report."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from hpa_hier.cli.command import EXIT_INTERRUPTED, Parser, add_recipe_arguments, one_thread_a_process
from hpa_hier.errors import UserError
from hpa_hier.files.shell import Flag, command

if TYPE_CHECKING:
    from hpa_hier.settings.recipe import Recipe


@dataclass(frozen=True)
class Step:
    """One command of the way."""

    title: str  # what it does
    line: str  # the command, as a person would type it
    output: Path | None  # the file that shows that it is finished; None where the command knows what is left to do
    seconds: float  # what it took on two cores, for the time left


def list_steps(recipe: Recipe, config: str, sets: Sequence[str]) -> tuple[Step, ...]:
    """List the commands from simulated cells to a report, in order, each with the recipe's file and changes to it."""
    home = Path(recipe.artifacts) / recipe.run
    images, pack, split = home / "images", home / "pack", home / "split.csv"
    table, made = images / "labels.csv", pack / "pack.json"
    own: dict[str, Flag] = {"config": config, "set": tuple(sets)}
    packed: dict[str, Flag] = {"config": config, "set": (*sets, f"data.pack={pack}")}
    fields, steps = recipe.simulate.count / 4000, (recipe.training.max_steps or 1500) * len(recipe.members) / 12000
    pack_line = command("data", "pack", images=images, labels=table, **own, out=pack)
    return (
        Step("simulate cells", command("data", "simulate", **own, out=images), table, 27 * fields),
        Step("pack images and labels", pack_line, made, 3 * fields),
        Step("split into parts", command("data", "split", pack=pack, **own, out=split), split, 2),
        Step(f"train {len(recipe.members)} networks", command("train", "--all", **packed), None, 5 + 395 * steps),
        Step("fit the ensemble", command("ensemble", "fit", **packed), None, 5),
        Step("evaluate on the test part", command("ensemble", "evaluate", **packed), None, 4),
        Step("write the report", command("report", **packed), None, 2),
    )


def parser() -> Parser:
    """Build the command's parser."""
    whole = Parser("demo", "Run the whole way on simulated cells: simulate, pack, split, train, fit, evaluate, report.")
    add_recipe_arguments(whole)
    return whole


def main(arguments: Sequence[str]) -> int:
    """Run every step that is not finished, each as the command a person would type."""
    options = parser().parse_args(arguments)
    one_thread_a_process()
    from hpa_hier.settings.recipe_file import load_recipe

    config = options.config or "configs/demo.yaml"
    recipe = load_recipe(config, options.sets)
    steps = list_steps(recipe, config, options.sets)
    began, expected = time.monotonic(), 0.0
    for number, step in enumerate(steps, 1):
        head = f"== step {number} of {len(steps)}: {step.title}"
        if step.output is not None and step.output.exists():
            print(f"{head}: finished already ({step.output})", flush=True)
            continue
        pace = (time.monotonic() - began) / expected if expected else 1.0
        left = describe_time_left(pace * sum(one.seconds for one in steps[number - 1 :]))
        print(f"{head}, {left}\n$ {step.line}", flush=True)
        _perform(step)
        expected += step.seconds
    from hpa_hier.evaluate.opening import describe_opening
    from hpa_hier.evaluate.results import read_results

    home = Path(recipe.artifacts) / recipe.run
    report = home / "report" / "index.html"
    print(f"\n{describe_opening(read_results(home / 'ensemble'))}\n")
    print(f"demo finished in {time.monotonic() - began:.0f} s; open {report}")
    return 0


def describe_time_left(seconds: float) -> str:
    """Say how long the rest will take.

    >>> describe_time_left(200.0), describe_time_left(20.0)
    ('about 3 min left', 'less than a minute left')
    """
    return f"about {round(seconds / 60)} min left" if seconds >= 60 else "less than a minute left"


def _perform(step: Step) -> None:
    """Run a step's command; when this process is to stop, so is the command, and it gets the time to save."""
    child: subprocess.Popen[bytes] | None = None
    received: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        received.append(number)
        # The first Ctrl-C of a terminal has reached the command already, and a second signal would end it at once.
        if child is not None and (number == signal.SIGTERM or len(received) > 1):
            child.terminate()

    handled = [one for one in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(one) is not signal.SIG_IGN]
    before = {one: signal.signal(one, stop) for one in handled}
    try:
        child = subprocess.Popen([sys.executable, *shlex.split(step.line)[1:]])  # `python` is this very Python
        if signal.SIGTERM in received:  # while the command was being started
            child.terminate()
        status = child.wait()
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    if received or status in (EXIT_INTERRUPTED, -signal.SIGINT):
        raise KeyboardInterrupt
    if status:
        end = f"the step '{step.title}' ended with status {status}"
        raise UserError(f"{end}; fix what it says above, then run this again")
