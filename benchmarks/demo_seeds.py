"""The demo over several seeds: is its ensemble below the flat baseline of as many networks in any headline figure?

    python benchmarks/demo_seeds.py [--seeds 5] [--out artifacts/demo-seeds] [--config configs/demo.yaml] [--set ...]
    python benchmarks/demo_seeds.py --set training.max_steps=1200     # what benchmarks/ensembles.md shows

Each seed has its own simulated cells, split and weights. A run that is there is not trained again: what it holds is
fitted, evaluated and reported anew, in seconds, so that a change of the ensemble can be judged on networks that are
kept. Prints each seed's paired difference to the baseline on the same test images, and the mean over seeds with its
95 % interval (Student's t over seeds): of the ensemble as it is shipped, which is the baseline where acceptance found
nothing better, and of the hierarchical one used unasked. Then how often safe answers are right, and each member's mean
average precision on the minority's classes. Five minutes a seed on two cores, at first. All of simulated cells.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from hpa_hier.cli.command import one_thread_a_process, run
from hpa_hier.ensemble.decide.safe import UNSURE
from hpa_hier.ensemble.fit import fit
from hpa_hier.ensemble.scores.scores import Scores
from hpa_hier.evaluate.measure import SystemMeasure, level_key
from hpa_hier.evaluate.trust import safe_shares
from hpa_hier.members.scores_file import load_scores
from hpa_hier.metrics.scores import average_precision, mean_of_defined
from hpa_hier.runs.evaluation import Evaluation, SystemAnswers
from hpa_hier.runs.manifest import SCORES
from hpa_hier.runs.roster import Roster
from hpa_hier.runs.run import Run
from hpa_hier.settings.recipe import Recipe
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.taxonomy import Taxonomy

_SEEDS_APART = 1000  # between the members' seeds of one run and the next


def main(arguments: Sequence[str]) -> int:
    """Run the demo's recipe with every seed and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("artifacts/demo-seeds"))
    parser.add_argument("--config", default="configs/demo.yaml")
    parser.add_argument("--set", dest="sets", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args(arguments)
    one_thread_a_process()
    recipe = load_recipe(options.config, options.sets)
    runs = []
    for seed in range(options.seeds):
        folder = options.out / f"seed-{seed}"
        sets = [*options.sets, *seed_changes(recipe, seed), f"artifacts={folder}"]
        flags = [word for change in sets for word in ("--set", change)]
        subprocess.run([sys.executable, "-m", "hpa_hier.demo", "--config", options.config, *flags], check=True)
        runs.append(Run.open(folder / recipe.run, options.config, sets))
    evaluations = [one.evaluation for one in runs]
    accepted = sum(bool((one.facts.acceptance or {}).get("accepted")) for one in evaluations)
    unasked = [use_unasked(one) for one in runs]
    for title, systems in (
        (f"as shipped, accepted {accepted} of {len(runs)} times", evaluations),
        ("unasked", unasked),
    ):
        print(f"\n{title}\n{differences_table(systems)}\n\nsafe answers, {title}\n{safe_table(systems)}")
    print(f"\nmean AP on the minority's classes, calibration and test part\n{minority_table(runs)}")
    return 0


def seed_changes(recipe: Recipe, seed: int) -> list[str]:
    """Return the changes to a recipe that give it other cells, another split and other weights.

    >>> seed_changes(load_recipe("configs/demo.yaml"), 2)[:3]
    ['simulate.seed=2', 'split.seed=2', 'members.leaf.seed=2000']
    """
    members = recipe.listed or Roster.choose(recipe, Taxonomy.load(recipe.taxonomy)).members
    seeds = [f"members.{member.name}.seed={member.seed + _SEEDS_APART * seed}" for member in members]
    return [f"simulate.seed={seed}", f"split.seed={seed}", *seeds]


def use_unasked(run: Run) -> Evaluation:
    """Return a run's evaluation with the hierarchical ensemble whether it was accepted or not."""
    evaluation, taxonomy, settings = run.evaluation, run.fitted_taxonomy, run.recipe.ensemble
    held, test = (read_part(run, settings.members, part) for part in ("calibration", "test"))
    answers = fit(held, run.truth(taxonomy), taxonomy, settings).predict(test)
    rows = [answers.ids.index(sample) for sample in evaluation.ids]
    ensemble = SystemAnswers(answers.raw[rows], answers.probs[rows], answers.present[rows], answers.thresholds)
    safe = tuple(UNSURE if j < 0 else answers.nodes[j] for j in answers.safe.column[rows])
    return replace(evaluation, ensemble=ensemble, safe=safe)


def read_part(run: Run, names: Sequence[str], part: str | None) -> list[Scores]:
    """Return members' held-out scores of a part; None: of both."""
    return [load_scores(run.member_folder(name) / SCORES, name, part) for name in names]


def minority_table(runs: Sequence[Run]) -> str:
    """Return each member's mean AP on the minority's leaves, where it answers for all of them: a column a seed."""
    table: dict[str, dict[str, float]] = {}
    for seed, one in enumerate(runs):
        nodes = one.partition["minority"]
        for scores in read_part(one, one.member_names, None):
            if set(nodes) <= set(scores.nodes):
                rows, columns = one.pack.find_rows(scores.ids), [one.taxonomy.column[node] for node in nodes]
                logits = scores.logits[:, [scores.nodes.index(node) for node in nodes]]
                targets, known = one.targets.present[rows][:, columns], one.targets.known[rows][:, columns]
                ap = mean_of_defined(average_precision(logits, targets, known))
                table.setdefault(scores.name, {})[f"seed {seed}"] = float(ap)
    frame = pd.DataFrame.from_dict(table, orient="index")
    return frame.assign(mean=frame.mean(axis=1)).to_string(float_format="{:.3f}".format)


def headline(evaluation: Evaluation, system: str) -> dict[str, float]:
    """Return one system's macro F1, mean AP, log loss and F1 of each level."""
    measured = SystemMeasure(evaluation, evaluation.systems[system]).measured
    levels = [level_key("f1", name) for name in evaluation.taxonomy.levels]
    return {key: float(measured[key].value) for key in ("macro_f1", "mean_ap", "log_loss", *levels)}


def differences_table(evaluations: Sequence[Evaluation]) -> str:
    """Return the paired differences of ensemble and flat baseline: a row a metric, a column a seed, and their mean."""
    systems = [pd.DataFrame([headline(one, name) for one in evaluations]).T for name in ("ensemble", "baseline")]
    table = describe_mean(systems[0] - systems[1])
    table.insert(0, "ensemble", systems[0].mean(axis=1))
    table.insert(1, "baseline", systems[1].mean(axis=1))
    return table.to_string(float_format="{:+.4f}".format)


def describe_mean(differences: pd.DataFrame) -> pd.DataFrame:
    """Add the mean over seeds and its 95 % interval.

    >>> describe_mean(pd.DataFrame([[0.1, 0.2, 0.3]], ["macro_f1"])).round(3)
                0    1    2  mean   low   high
    macro_f1  0.1  0.2  0.3   0.2 -0.048  0.448
    """
    seeds = differences.shape[1]
    half = stats.t.ppf(0.975, seeds - 1) * differences.std(axis=1, ddof=1) / np.sqrt(seeds)
    mean = differences.mean(axis=1)
    return differences.assign(mean=mean, low=mean - half, high=mean + half)


def safe_table(evaluations: Sequence[Evaluation]) -> str:
    """Return the share of safe answers that are right, of all seeds together and of each: a row a kind of answer."""
    rows: dict[str, dict[str, float]] = {}
    for seed, evaluation in enumerate(evaluations):
        for share in safe_shares(evaluation):
            row = rows.setdefault(share.name, {"answers": 0, "right": 0.0})
            if share.right is not None:
                row[f"seed {seed}"] = share.right
                row["answers"] += share.samples
                row["right"] += share.right * share.samples
    table = pd.DataFrame.from_dict(rows, orient="index")
    table["right"] /= table["answers"]
    return table.to_string(float_format="{:.3f}".format)


if __name__ == "__main__":
    run(main)
