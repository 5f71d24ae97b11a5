"""What each choice of a setting gives on simulated cells: the recipes under configs/choices, in one table.

    python benchmarks/choices.py [--only NAME ...] [--steps 500] [--out artifacts/choices] [--publish]

Simulates 4,000 fields once, trains every member of every recipe for the same number of steps, two at a time, and
evaluates each on the test part. In a recipe about networks every member is evaluated alone and compared with `plain` of
heads.yaml: a flat head, binary cross entropy, no balance, seed 0. A recipe about ensembles is compared with mean.yaml.
Differences are paired on the same images. A network is trained once; the spread over three seeds of
`plain` says how large a difference seeds alone make.

--publish writes the table to benchmarks/choices.md and each recipe's score into its head. About 15 minutes on two
cores. All results are of simulated cells.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpa_hier.cli.command import one_thread_a_process, run
from hpa_hier.errors import UserError
from hpa_hier.evaluate.estimate import System
from hpa_hier.evaluate.measure import SystemMeasure
from hpa_hier.evaluate.results import Estimate
from hpa_hier.files.atomic import write_text
from hpa_hier.predict.fit_run import evaluate_run, fit_run
from hpa_hier.runs.evaluation import Evaluation
from hpa_hier.runs.run import Run
from hpa_hier.settings.recipe_file import load_recipe

ROOT = Path(__file__).resolve().parents[1]
RECIPES = ROOT / "configs" / "choices"
PAGE = ROOT / "benchmarks" / "choices.md"
NETWORKS = ("heads", "losses", "balance", "augment", "pooling", "optimising")  # recipes whose members stand alone
ENSEMBLES = (
    *("mean", "partition", "folds", "concat", "blend", "rnn", "isotonic", "unshrunk", "bagged"),
    *("tta-flips", "tta-d4", "tta-d4-crops"),
)
PLAIN, MEAN = "heads: plain", "mean"  # what networks, and ensembles, are compared with
METRICS = {"macro_f1": "macro F1", "mean_ap": "mean AP", "brier": "Brier score"}
HEAD = "# Cost and score here: "


@dataclass(frozen=True)
class Choice:
    """One row: a recipe, or one member of a recipe about networks."""

    recipe: str
    member: str | None
    sets: tuple[str, ...]

    @property
    def name(self) -> str:
        """What the table calls it."""
        return f"{self.recipe}: {self.member}" if self.member else self.recipe

    @property
    def compared_with(self) -> str:
        """The name of the row that it is compared with."""
        return PLAIN if self.member else MEAN

    def open(self) -> Run:
        """Open the run with this choice's recipe."""
        return Run.open("", str(RECIPES / f"{self.recipe}.yaml"), self.sets)


@dataclass(frozen=True)
class Answered:
    """A choice with its answers for the test part."""

    choice: Choice
    evaluation: Evaluation
    seconds: float  # of training, over all its members


def list_choices(names: Sequence[str], shared: Sequence[str]) -> Iterator[Choice]:
    """Name the rows of some recipes."""
    for name in names:
        if name in ENSEMBLES:
            yield Choice(name, None, tuple(shared))
        else:
            for member in load_recipe(str(RECIPES / f"{name}.yaml")).listed:
                yield Choice(name, member.name, (*shared, f"ensemble.members=[{member.name}]"))


def train(name: str, shared: Sequence[str]) -> None:
    """Train all members of a recipe that are not finished, two at a time.

    Raises:
        UserError: with what the training said.
    """
    sets = [word for one in shared for word in ("--set", one)]
    words = ["--all", "--config", str(RECIPES / f"{name}.yaml"), "--jobs", "2", "--no-progress", *sets]
    done = subprocess.run([sys.executable, "-m", "hpa_hier.train", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{name}: {done.stderr.strip()[-600:]}")


def answer(choice: Choice) -> Answered:
    """Fit a choice's ensemble on the calibration part and answer for the test part."""
    fit_run(choice.open())
    evaluate_run(choice.open())
    evaluation = choice.open().evaluation
    return Answered(choice, evaluation, sum(one.seconds or 0 for one in evaluation.facts.members.values()))


def compare(answered: Sequence[Answered]) -> list[dict[str, str]]:
    """Return a row of text for each choice: its metrics, and what they differ by from its baseline's."""
    first = answered[0].evaluation
    for one in answered:
        if one.evaluation.ids != first.ids:
            raise UserError(f"{one.choice.name}: has other test images than {answered[0].choice.name}")
    systems = {one.choice.name: System(SystemMeasure(one.evaluation, one.evaluation.ensemble)) for one in answered}
    return [_row(one, systems) for one in answered]


def _row(one: Answered, systems: dict[str, System]) -> dict[str, str]:
    name, base = one.choice.name, one.choice.compared_with
    row = {"choice": name, "minutes": f"{one.seconds / 60:.1f}"}
    for key, words in METRICS.items():
        row[words] = _cell(systems[name].estimate(key))
        if base in systems and base != name:
            row[f"{words} − baseline"] = _cell(systems[name].minus(systems[base], key), "+")
    return row


def _cell(one: Estimate, sign: str = "") -> str:
    return f"{one.value:{sign}.3f}" + ("" if one.low is None else f" [{one.low:{sign}.3f}, {one.high:{sign}.3f}]")


def render_page(rows: Sequence[dict[str, str]], first: Evaluation, steps: int) -> str:
    """Write benchmarks/choices.md: what was measured and how, and one table for networks and one for ensembles."""
    targets = first.targets[:, first.leaf_columns]
    lines = [
        "# What each choice gives, on simulated cells",
        "",
        "Every choice of a setting that the default recipe does not make has a recipe under",
        "`configs/choices`, and a row here. These networks are small and trained briefly, from",
        "random weights on simulated cells (`small_cnn`, 48 pixels), so a row tells whether a choice works and what it",
        "costs, not what it gives on your images. Measure that with the same recipe and `--set data.pack=my_pack`.",
        "",
        f"`python benchmarks/choices.py --steps {steps} --publish`; split {first.facts.split_digest};",
        f"{len(first.ids):,} test images with {int(targets.sum()):,} positive labels; 95 % intervals.",
        "Differences are paired on the same images. Their intervals do not cover seeds, and each network was",
        f"trained once: {describe_seeds(rows)}",
        "A smaller difference between networks tells nothing.",
    ]
    for title, base in (("Networks", PLAIN), ("Ensembles", MEAN)):
        these = [row for row in rows if (": " in row["choice"]) == (base == PLAIN)]
        columns = ["choice", "minutes", *METRICS.values(), *(f"{words} − baseline" for words in METRICS.values())]
        lines += ["", f"## {title}, against `{base}`", ""]
        if base == MEAN:
            lines += [
                "Four members each, but for `folds`: one member of five networks. A lower Brier score is better.",
                "`bagged` changes thresholds alone, `isotonic` and `unshrunk` calibration alone.",
                "",
            ]
        else:
            lines += ["Minutes are of one core; a lower Brier score is better.", ""]
        lines += ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
        lines += ["| " + " | ".join(row.get(column, "") for column in columns) + " |" for row in these]
    return "\n".join(lines) + "\n"


def describe_seeds(rows: Sequence[dict[str, str]]) -> str:
    """Say how far the seeds of `plain` lie apart."""
    seeds = [row for row in rows if row["choice"].startswith(PLAIN)]
    words = []
    for metric in ("macro F1", "mean AP"):
        values = [float(row[metric].split()[0]) for row in seeds]
        words.append(f"{metric} {min(values):.3f} to {max(values):.3f}")
    return f"the {len(seeds)} seeds of `plain` span {' and '.join(words)}."


def write_heads(rows: Sequence[dict[str, str]], steps: int) -> None:
    """Put cost and score into the head of each recipe."""
    for name in (*NETWORKS, *ENSEMBLES):
        these = [row for row in rows if row["choice"].partition(":")[0] == name]
        if not these:
            continue
        lines = [f"{HEAD}{steps} steps each; simulated, benchmarks/choices.md, `python benchmarks/choices.py`."]
        for row in these:
            member = row["choice"].partition(": ")[2]
            scores = f"macro F1 {row['macro F1']}, mean AP {row['mean AP']}, {row['minutes']} minutes of one core"
            lines.append(f"#   {member + ': ' if member else ''}{scores}")
        path = RECIPES / f"{name}.yaml"
        text = path.read_text(encoding="utf-8")
        write_text(path, re.sub(rf"^{re.escape(HEAD)}.*\n(?:#   .*\n)*", "\n".join(lines) + "\n", text, flags=re.M))


def main(arguments: Sequence[str]) -> int:
    """Train, evaluate, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=(*NETWORKS, *ENSEMBLES), help="recipes")
    parser.add_argument("--steps", type=int, default=500, help="optimiser steps of every member (default: 500)")
    parser.add_argument("--count", type=int, default=4000, help="simulated images (default: 4000)")
    parser.add_argument("--out", type=Path, default=Path("artifacts/choices"), metavar="DIR")
    parser.add_argument("--publish", action="store_true", help="write benchmarks/choices.md and the recipes' heads")
    options = parser.parse_args(arguments)
    if options.publish and options.only:
        raise UserError("--publish: the page has all recipes; leave out --only")
    one_thread_a_process()
    shared = [f"artifacts={options.out.resolve()}", f"simulate.count={options.count}"]
    if options.steps != 500:
        shared.append(f"training.max_steps={options.steps}")
    names = tuple(dict.fromkeys(["heads", "mean", *(options.only or (*NETWORKS, *ENSEMBLES))]))
    answered = []
    for name in names:
        print(f"training {name}", flush=True)
        train(name, shared)
        answered += [answer(choice) for choice in list_choices([name], shared)]
    rows = compare(answered)
    page = render_page(rows, answered[0].evaluation, options.steps)
    print(page)
    if options.publish:
        write_text(PAGE, page)
        write_heads(rows, options.steps)
    return 0


if __name__ == "__main__":
    run(main)
