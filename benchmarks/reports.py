"""Compare every system of the three reports, the flat baseline and the default recipe on the same simulated cells.

    python benchmarks/reports.py [--scale small|full] [--steps 500] [--only NAME ...] [--out artifacts/reports]

Simulates cells with the real label sets and their imbalance, packs them at the sizes and with the channels that the
recipes under configs/reports/ ask for, trains every network of every recipe for the same number of optimiser steps,
two at a time, fits each system's ensemble on the calibration part and answers for the test part. All systems share one
split. What is finished stays: the same command goes on after an interruption.

`--scale small` divides the sizes of the reports so that two cores finish in an hour (512 pixels become 72, every other
size 48), leaves out VGG16's hundred million weights behind its last pooling, and starts from random weights, so that
nothing is downloaded: what a report gained by pretraining is not in this table, and no backbone gets a lower learning
rate than its head. Batches hold 32 images. All else is the recipe's. `--scale full` takes the recipes' own sizes, whole
networks and pretrained weights, and a pretrained ResNet34 for the default recipe, whose own backbone is for processors.

A report's network is judged twice: with its recipe's thresholds, and with the default recipe's `ensemble` settings,
which separates what it learned from how thresholds are chosen. No network stops early, so that all train equally long.

Writes table.md and table.json into --out, and with --heads each system's cost and score into the head of its recipe.
All results are of simulated cells.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import csv
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field
from functools import cached_property
from pathlib import Path

from reports_table import METRICS, OWN, SAME_SETTINGS, Row, markdown, write_heads

from hpa_hier.cli.command import one_thread_a_process, run
from hpa_hier.errors import UserError
from hpa_hier.evaluate import estimate
from hpa_hier.evaluate.measure import SystemMeasure
from hpa_hier.files.atomic import read_json, write_bytes, write_json, write_text
from hpa_hier.members.nodes import find_member
from hpa_hier.metrics.influence import Measured
from hpa_hier.runs.evaluation import Evaluation, MemberCost
from hpa_hier.runs.run import Run
from hpa_hier.settings.recipe import EnsembleSettings, Recipe
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.taxonomy import Taxonomy

ROOT = Path(__file__).resolve().parents[1]
FLAT = "flat ensemble"
ORDER = (
    *("one-cnn", "one-cnn-weighted", "one-augment-all", "one-augment-minority", "one-mixup"),
    *("one-resnet50", "one-resnet50-frozen", "one-vgg16", "one-vgg16-augmented", "one-vgg16-weighted"),
    *("one-spp", "one-partition", "one-levels-rnn"),
    *("two-cnn", "two-resnet50", "two-resnet50-oversampled", "two-resnet152-oversampled"),
    *("three-resnet34-bce", "three-resnet34-focal"),
)
SMALL = {512: 72}  # pixels of a report → pixels here; every other size becomes 48
SMALL_SIDE = 48


@dataclass(frozen=True)
class Scale:
    """How much of everything."""

    count: int  # simulated images
    simulated: int  # pixels that they are simulated at
    steps: int  # optimiser steps of every network
    small: bool

    def side(self, recipe: Recipe) -> int:
        """Return the side of a recipe's images in pixels."""
        return SMALL.get(recipe.data.image_size, SMALL_SIDE) if self.small else recipe.data.image_size


@dataclass(frozen=True)
class System:
    """One row: a recipe with what this benchmark sets in it."""

    name: str
    config: str
    recipe: Recipe
    sets: tuple[str, ...]
    folder: Path  # of its run

    @property
    def networks(self) -> tuple[str, ...]:
        """Names of all members that are trained."""
        return tuple(member.name for member in self.recipe.listed)


def systems(chosen: Sequence[str], scale: Scale, out: Path) -> list[System]:
    """Load the recipes with this benchmark's settings.

    Raises:
        UserError: a name that is no recipe.
    """
    found = []
    for name in chosen:
        config = "configs/default.yaml" if name == OWN else f"configs/reports/{name}.yaml"
        if name not in (*ORDER, OWN):
            raise UserError(f"--only {name}: no such system; there are {', '.join((*ORDER, OWN))}")
        plain = load_recipe(config, ())
        channels = plain.data.channels
        pack = out / "packs" / f"{scale.side(plain)}-{'-'.join(channels)}"
        sets = [
            f"artifacts='{out / 'runs'}'",
            f"run={name}",
            f"data.pack='{pack}'",
            f"training.max_steps={scale.steps}",
            "training.stop_on=none",
        ]
        if scale.small:
            sets += ["training.batch_size=32", "training.pretrained=false"]
            if plain.training.backbone == "vgg16" and plain.training.pooling == "own":
                sets.append("training.pooling=average")
            if plain.training.sizes:
                sets += ["training.sizes=[36, 48, 60]", "ensemble.tta_sizes=[36, 48, 60]", "training.dense=[]"]
            if plain.training.pretrained and not plain.training.frozen:
                sets.append("training.backbone_rate=1.0")  # a lower one spares pretrained weights
            if plain.training.frozen:
                sets.append(f"training.weights='{random_weights(plain, out)}'")
        elif name == OWN:  # as its head tells those who have a GPU
            sets += ["training.backbone=resnet34", "training.pretrained=true"]
        recipe = load_recipe(config, sets)
        found.append(System(name, config, recipe, tuple(sets), out / "runs" / name))
    return found


def random_weights(recipe: Recipe, out: Path) -> Path:
    """Write the backbone of a recipe as it is before any training, and return the file.

    Its frozen features stand for those of a pretrained network where nothing can be downloaded.
    """
    path = out / f"random-{recipe.training.backbone}.safetensors"
    if not path.exists():
        import timm
        import torch
        from safetensors.torch import save

        torch.manual_seed(0)
        network = timm.create_model(recipe.training.backbone, num_classes=0)
        write_bytes(path, save(network.state_dict()))
    return path


def command(module: str, *words: str) -> None:
    """Run one of the project's commands; what it prints is shown only where it fails."""
    done = subprocess.run(
        [sys.executable, "-m", module, *words], cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ
    )
    if done.returncode:
        raise UserError(f"python -m {module} {' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")


def flags(system: System) -> list[str]:
    """Return the flags that hand a command the system's recipe."""
    return ["--config", system.config, *(word for change in system.sets for word in ("--set", change))]


def default_ensemble_flags() -> list[str]:
    """Return the flags that set the default recipe's ensemble settings, except for the members."""
    settings = EnsembleSettings().model_dump(mode="json", exclude={"members", "baseline"})
    return [word for key, value in settings.items() for word in ("--set", f"ensemble.{key}={json.dumps(value)}")]


def simulate(scale: Scale, wanted: Sequence[System], out: Path) -> None:
    """Simulate the cells once and pack them at every size and with the channels that some recipe asks for."""
    images = out / "images"
    if (images / "labels.csv").exists() and len((images / "labels.csv").read_text().splitlines()) != scale.count + 1:
        raise UserError(f"{out}: other cells than the {scale.count:,} asked for; remove it and run this again")
    if not (images / "labels.csv").exists():
        print(f"simulating {scale.count:,} fields of {scale.simulated} pixels", flush=True)
        command(
            "hpa_hier.data",
            "simulate",
            "--count",
            str(scale.count),
            "--size",
            str(scale.simulated),
            "--out",
            str(images),
        )
    packs = {str(system.recipe.data.pack): system for system in wanted}
    for pack, system in packs.items():
        if not (Path(pack) / "pack.json").exists():
            print(f"packing {Path(pack).name}", flush=True)
            size, channels = str(scale.side(load_recipe(system.config, ()))), ",".join(system.recipe.data.channels)
            source = ("--images", str(images), "--labels", str(images / "labels.csv"), "--channels", channels)
            command("hpa_hier.data", "pack", *source, "--size", size, "--out", pack)


def train(wanted: Sequence[System], jobs: int) -> None:
    """Train every network, `jobs` at a time, those that take longest first."""
    todo = [(system, name) for system in wanted for name in system.networks]
    todo.sort(key=lambda one: _expected_cost(one[0], one[1]), reverse=True)

    def one(job: tuple[System, str]) -> str:
        system, name = job
        command("hpa_hier.train", "--member", name, "--no-progress", *flags(system))
        return f"{system.name}: {name}"

    for system, name in todo:
        system.folder.mkdir(parents=True, exist_ok=True)
        kept = system.folder / "members" / name / "member.json"
        settings = system.recipe.member_training(find_member(system.recipe, name)).model_dump(mode="json")
        if kept.exists() and read_json(kept)["settings"] != settings:
            raise UserError(f"{kept.parent}: trained with other settings than now; remove it and run this again")
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(one, job) for job in todo]
        for done, future in enumerate(concurrent.futures.as_completed(futures), start=1):
            print(f"trained {future.result()} ({done} of {len(todo)})", flush=True)


def _expected_cost(system: System, name: str) -> int:
    """Rank networks by what a step of them costs: only the order in which they are begun depends on it."""
    member = next(member for member in system.recipe.listed if member.name == name)
    backbone = system.recipe.member_training(member).backbone
    order = ("small_cnn", "two_conv_cnn", "four_conv_cnn", "resnet34", "resnet50", "vgg16", "resnet152")
    pixels = system.recipe.data.image_size
    return (order.index(backbone) if backbone in order else len(order)) * 10_000 + pixels


def answers(wanted: Sequence[System], jobs: int) -> dict[str, Evaluation]:
    """Fit and evaluate every system, `jobs` at a time; all must have the same test images.

    Returns:
        System → evaluation; with SAME_SETTINGS appended to the name, under the default recipe's ensemble settings.
    """

    def one(job: tuple[System, bool]) -> Evaluation:
        system, same_settings = job
        words = [*flags(system), *(default_ensemble_flags() if same_settings else ())]
        command("hpa_hier.ensemble", "fit", *words)
        command("hpa_hier.ensemble", "evaluate", *words)
        return Run.open(system.folder).evaluation

    found = {}
    for same_settings in (True, False):  # what stays in a run is its recipe's
        todo = [system for system in wanted if not (same_settings and system.name == OWN)]
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            for system, evaluation in zip(
                todo, pool.map(one, [(system, same_settings) for system in todo]), strict=True
            ):
                found[system.name + (SAME_SETTINGS if same_settings else "")] = evaluation
    ids = {name: evaluation.ids for name, evaluation in found.items()}
    first = next(iter(ids))
    for name, these in ids.items():
        if these != ids[first]:
            raise UserError(f"{name} and {first} have other test images; remove the folder and run this again")
    return found


def minority_columns(labels: Path, taxonomy: Taxonomy) -> list[int]:
    """Return the columns of the leaves that fewer than a twentieth of the simulated images carry."""
    with labels.open(encoding="utf-8", newline="") as handle:
        carried = [row["Target"].split() for row in csv.DictReader(handle)]
    counts = Counter(label for labels in carried for label in labels)
    few = (leaf for leaf in taxonomy.leaves if counts[taxonomy.label(leaf)] < len(carried) / 20)
    return [taxonomy.column[leaf] for leaf in few]


@dataclass(frozen=True)
class MeasureWithMinority(SystemMeasure):
    """A system's metrics, and macro F1 of the classes of few images."""

    minority: tuple[int, ...] = field(kw_only=True)  # their columns

    @cached_property
    def measured(self) -> dict[str, Measured]:
        """Every metric, and "minority_f1"."""
        measured = super().measured
        return measured | {"minority_f1": measured["f1"].mean(self.minority)}


def table(found: dict[str, Evaluation], minority: list[int]) -> list[Row]:
    """Measure all systems on the same images: each metric with its interval, and the own recipe's lead."""
    chosen = {name: (one, one.ensemble, _cost(one.facts.members)) for name, one in found.items()}
    if OWN in found and (flat := found[OWN].baseline):
        chosen[FLAT] = (found[OWN], flat, _cost(found[OWN].facts.baseline_members))
    systems = {
        name: estimate.System(MeasureWithMinority(evaluation, one, minority=tuple(minority)))
        for name, (evaluation, one, _) in chosen.items()
    }
    rows = []
    for name in sorted(chosen, key=row_order):
        row: Row = {"system": name, **chosen[name][2]}
        for metric in METRICS:
            row[metric] = list(astuple(systems[name].estimate(metric)))
            if OWN in chosen and name != OWN:
                row[f"{metric} lead"] = list(astuple(systems[OWN].minus(systems[name], metric)))
        rows.append(row)
    return rows


def row_order(name: str) -> tuple[bool, int]:
    """Return the order of a row: reports' systems, flat baseline, own recipe; then those with its settings."""
    return name.endswith(SAME_SETTINGS), (*ORDER, FLAT, OWN).index(name.removesuffix(SAME_SETTINGS))


def _cost(members: Mapping[str, MemberCost]) -> Row:
    """Return networks, parameters and images trained a second, summed over the members that answer."""
    seconds = sum(one.seconds or 0.0 for one in members.values())
    return {
        "networks": len(members),
        "parameters": sum(one.parameters or 0 for one in members.values()),
        "images_per_second": sum(one.images_seen or 0 for one in members.values()) / max(seconds, 1e-9),
        "seconds": seconds,
    }


def main(arguments: Sequence[str]) -> int:
    """Simulate, train, fit, evaluate, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=("small", "full"), default="small")
    parser.add_argument("--count", type=int, help="simulated images (default 8,000; full: 30,000)")
    parser.add_argument("--steps", type=int, help="optimiser steps of every network (default 500; full: 20,000)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help=f"recipes under configs/reports, or {OWN}")
    parser.add_argument("--jobs", type=int, default=2, help="networks trained at the same time")
    parser.add_argument("--heads", action="store_true", help="write cost and score into the heads of the recipes")
    parser.add_argument("--out", type=Path, default=Path("artifacts/reports"), metavar="DIR")
    options = parser.parse_args(arguments)
    if options.heads and (options.scale != "small" or options.only):
        raise UserError(
            "--heads: the recipes' heads tell of the small scale and of one table; leave out what narrows it"
        )
    one_thread_a_process()
    small = options.scale == "small"
    scale = Scale(
        count=options.count or (8_000 if small else 30_000),
        simulated=72 if small else 512,
        steps=options.steps or (500 if small else 20_000),
        small=small,
    )
    out = options.out.resolve() / options.scale
    wanted = systems(options.only or (*ORDER, OWN), scale, out)
    simulate(scale, wanted, out)
    train(wanted, options.jobs)
    found = answers(wanted, options.jobs)
    any_one = next(iter(found.values()))
    minority = minority_columns(out / "images" / "labels.csv", any_one.taxonomy)
    rows = table(found, minority)
    targets = any_one.targets[:, any_one.leaf_columns]
    caption = (
        f"Simulated cells, test part of {len(any_one.ids)} images with {targets.sum():,} positives, "
        f"{any_one.targets[:, minority].sum():,} of them of {len(minority)} minority classes (under a twentieth of the "
        f"images each); split {any_one.facts.split_digest}; {scale.steps} optimiser steps a network; 95 % "
        "intervals; images/s as trained, on one core, a frozen backbone's one pass not counted. Command: "
        f"`python benchmarks/reports.py --scale {options.scale} --count {scale.count} --steps {scale.steps}`."
    )
    if OWN in found:
        accepted = (found[OWN].facts.acceptance or {}).get("accepted")
        caption += f" `{OWN}` was {'' if accepted else 'not '}accepted against as many flat networks, fitted alike."
    text = markdown(rows, caption)
    print(text)
    write_text(out / "table.md", text)
    write_json(out / "table.json", rows)
    if options.heads:
        write_heads(rows, scale.steps)
    return 0


if __name__ == "__main__":
    run(main)
