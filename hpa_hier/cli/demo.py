"""Command: the whole way on simulated cells, from images on disk to a report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hpa_hier.cli.command import Parser, add_recipe_arguments, one_thread_a_process, stop_after_print
from hpa_hier.cli.steps import Step, run_steps
from hpa_hier.files.shell import Flag, command

if TYPE_CHECKING:
    from hpa_hier.settings.recipe import Recipe


def list_steps(recipe: Recipe, config: str, sets: Sequence[str]) -> tuple[Step, ...]:
    """List the commands from simulated cells to a report, in order, each with the recipe's file and changes to it."""
    from hpa_hier.runs.roster import Roster
    from hpa_hier.taxonomy import Taxonomy

    home = Path(recipe.artifacts) / recipe.run
    images, pack, split = home / "images", home / "pack", home / "split.csv"
    table, made = images / "labels.csv", pack / "pack.json"
    own: dict[str, Flag] = {"config": config, "set": tuple(sets)}
    packed: dict[str, Flag] = {"config": config, "set": (*sets, f"data.pack={pack}")}
    networks = len(Roster.choose(recipe, Taxonomy.load(recipe.taxonomy)).trained)
    fields, steps = recipe.simulate.count / 4000, (recipe.training.max_steps or 1500) * networks / 12000
    pack_line = command("data", "pack", images=images, labels=table, **own, out=pack)
    return (
        Step("simulate cells", command("data", "simulate", **own, out=images), table, 27 * fields),
        Step("pack images and labels", pack_line, made, 3 * fields),
        Step("split into parts", command("data", "split", pack=pack, **own, out=split), split, 2),
        Step(f"train {networks} networks", command("train", "--all", **packed), None, 5 + 395 * steps),
        Step("fit the ensemble", command("ensemble", "fit", **packed), None, 5),
        Step("evaluate on the test part", command("ensemble", "evaluate", **packed), None, 4),
        Step("write the report", command("report", **packed), None, 15),
    )


def parser() -> Parser:
    """Build the command's parser."""
    whole = Parser("demo", "Run the whole way on simulated cells: simulate, pack, split, train, fit, evaluate, report.")
    text = "without the networks that only the flat baseline needs, and without this baseline"
    whole.add_argument("--no-baseline", action="store_true", help=text)
    add_recipe_arguments(whole)
    return whole


def main(arguments: Sequence[str]) -> int:
    """Run every step that is not finished, each as the command a person would type."""
    options = parser().parse_args(arguments)
    one_thread_a_process()
    from hpa_hier.settings.recipe_file import load_recipe

    config = options.config or "configs/demo.yaml"
    without = {"ensemble.use_baseline=false": "--no-baseline"} if options.no_baseline else {}
    recipe, sets = load_recipe(config, options.sets, without), [*options.sets, *without]
    stop_after_print(options, recipe)
    began = time.monotonic()
    run_steps(list_steps(recipe, config, sets))
    from hpa_hier.evaluate.report.opening import describe_opening
    from hpa_hier.evaluate.results import read_results

    home = Path(recipe.artifacts) / recipe.run
    report = home / "report" / "index.html"
    print(f"\n{describe_opening(read_results(home / 'ensemble'))}\n")
    print(f"demo finished in {time.monotonic() - began:.0f} s; open {report}")
    return 0
