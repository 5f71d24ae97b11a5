"""Measure training together: what it saves, that the weights are the same, and what one data_seed does to an ensemble.

    python benchmarks/together.py speed [--members 4]              # two minutes of one core
    python benchmarks/together.py diversity [--repeats 4]          # five minutes

`speed` trains leaf members of one data_seed on noise, one after another and together, in processes of their own; what
counts is processor time without the start of the processes. `diversity` trains four leaf members of other seeds on
simulated cells, with orders of their own and with one order, and compares the mean of their probabilities on cells that
none has seen: differences are paired by repeat, intervals are Student's.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

_KINDS = ((4, 48), (8, 64), (16, 64), (16, 128))  # width of small_cnn, and side of the images in pixels
_STEPS, _BATCH = 120, 32


def write_pack(folder: Path, images: np.ndarray, labels: Sequence[Sequence[str]]) -> Path:
    """Write images (B, 4, S, S) as a pack of hpa28."""
    from hpa_hier.data.images.channels import CHANNELS
    from hpa_hier.data.pack.simulated_pack import write_simulated_pack
    from hpa_hier.taxonomy import Taxonomy

    ids = [f"cell{row:05d}" for row in range(len(images))]
    write_simulated_pack(folder, images, ids, labels, [""] * len(ids), CHANNELS, Taxonomy.load("hpa28"), "benchmark")
    return folder


def train(folder: Path, pack: Path, members: int, way: str, training: dict[str, object]) -> tuple[float, str]:
    """Train members in this process; return the seconds of processor time, and a digest of the weights."""
    from hpa_hier.files.atomic import write_text
    from hpa_hier.members.nodes import find_member
    from hpa_hier.runs.start import start_run
    from hpa_hier.settings.recipe import Recipe
    from hpa_hier.settings.recipe_file import load_recipe, recipe_yaml
    from hpa_hier.training.plan import plan_training
    from hpa_hier.training.together.train import train_together
    from hpa_hier.training.train_member import TrainOptions, train_member

    names = [f"leaf-s{seed}" for seed in range(members)]
    recipe = Recipe.model_validate(
        {
            "run": "run", "artifacts": str(folder), "taxonomy": "hpa28", "data": {"pack": str(pack)},
            "split": {"folds": 0, "fractions": [0.4, 0.1, 0.5]},
            "training": {"batch_size": _BATCH, "learning_rate": 0.01, "stop_on": "none", **training},
            "members": [{"name": name, "level": "leaf", "seed": seed} for seed, name in enumerate(names)],
        }
    )  # fmt: skip
    folder.mkdir(parents=True)
    write_text(folder / "recipe.yaml", recipe_yaml(recipe))
    run = start_run(load_recipe(str(folder / "recipe.yaml")))
    chosen = [find_member(run.recipe, name) for name in names]
    options = TrainOptions("cpu", lines=False)
    began = time.process_time()
    if way == "together":
        statuses = train_together(run, chosen, {}, options)
        assert set(statuses.values()) == {0}, statuses
    else:
        for member in chosen:
            train_member(plan_training(run, member), options)
    spent = time.process_time() - began
    weights = [(run.member_folder(name) / "model.safetensors").read_bytes() for name in names]
    return spent, hashlib.sha256(b"".join(weights)).hexdigest()[:12]


def measure_speed(members: int, rounds: int) -> None:
    """Print, for each kind of network, what training together saves."""
    print(
        f"| small_cnn | side | {members} apart, s | together, s | apart / together | same weights |\n|" + " --- |" * 6
    )
    for width, side in _KINDS:
        with tempfile.TemporaryDirectory() as place:
            noise = np.random.default_rng(0).integers(0, 256, (600, 4, side, side), dtype=np.uint8)
            pack = write_pack(Path(place, "pack"), noise, [("Nucleoplasm",), ("Cytosol",), ("Mitochondria",)] * 200)
            found: dict[str, list[tuple[float, str]]] = {"apart": [], "together": []}
            for _ in range(rounds):
                for way, results in found.items():
                    training = {"width": width, "max_steps": _STEPS, "data_seed": 0}
                    words = ["one", place, str(pack), str(members), way, json.dumps(training)]
                    run = subprocess.run(
                        [sys.executable, __file__, *words],
                        check=True,
                        stdout=subprocess.PIPE,
                        stderr=subprocess.DEVNULL,
                    )
                    spent, digest = run.stdout.split()[-2:]
                    results.append((float(spent), digest.decode()))
                    shutil.rmtree(Path(place, way))
        pairs = list(zip(found["apart"], found["together"], strict=True))
        apart, together = (statistics.median(one[0] for one in found[way]) for way in ("apart", "together"))
        ratio = statistics.median(a[0] / b[0] for a, b in pairs)
        same = "yes" if len({digest for pair in pairs for _, digest in pair}) == 1 else "no"
        print(f"| width {width} | {side} | {apart:.1f} | {together:.1f} | {ratio:.2f} | {same} |", flush=True)


def measure_diversity(repeats: int) -> None:
    """Print what members with one order lose against members with orders of their own."""
    import torch
    from learning_curve import simulate
    from pretrained_start import interval

    from hpa_hier.members.scores_file import read_scores
    from hpa_hier.metrics.scores import average_precision
    from hpa_hier.taxonomy import Taxonomy

    torch.set_num_threads(1)
    tree = Taxonomy.load("hpa28")
    columns = [tree.column[leaf] for leaf in tree.leaves]
    found = np.zeros((repeats, 2, 4))
    for repeat in range(repeats):
        with tempfile.TemporaryDirectory() as place:
            images, closed = simulate(2400, 48, 500 + repeat)
            present = closed[:, columns]
            labels = [[leaf for leaf, on in zip(tree.leaves, row, strict=True) if on] for row in present]
            pack = write_pack(Path(place, "pack"), images, labels)
            for column, data_seed in enumerate((None, 0)):
                training = {"width": 8, "max_steps": 400, "data_seed": data_seed}
                folder = Path(place, str(column))
                train(folder, pack, 4, "together", training)
                paths = sorted(folder.glob("run/members/*/scores.npz"))
                scored = [read_scores(path) for path in paths]
                test = np.array([part == "test" for part in scored[0].parts])
                rows = np.array([int(one[4:]) for one in scored[0].ids])[test]
                truth, order = present[rows], [tree.leaves.index(node) for node in scored[0].nodes]
                probs = np.stack([1 / (1 + np.exp(-one.logits[test].astype(np.float64))) for one in scored])
                mean, truth = probs.mean(axis=0), truth[:, order]
                occurs = truth.any(axis=0)
                known = np.ones((len(truth), int(occurs.sum())), bool)
                one_ap = [average_precision(one[:, occurs], truth[:, occurs], known).mean() for one in probs]
                loss = -np.log(np.where(truth, mean, 1 - mean)).mean()
                ap = average_precision(mean[:, occurs], truth[:, occurs], known).mean()
                found[repeat, column] = ap, np.mean(one_ap), loss, probs.std(axis=0).mean()
    names = ("mean AP of the ensemble", "mean AP of one member", "log loss of the ensemble", "deviation of members")
    print("| four leaf members | own orders | one order | difference, 95 % |\n|" + " --- |" * 4)
    for measure, name in enumerate(names):
        own, shared = found[:, :, measure].mean(axis=0)
        low, high = interval(found[:, 1, measure] - found[:, 0, measure])
        print(f"| {name} | {own:.4f} | {shared:.4f} | {shared - own:+.4f} [{low:+.4f}, {high:+.4f}] |")


def main() -> None:
    """Run one of the two; `one` trains in this process and is what `speed` starts."""
    if sys.argv[1:2] == ["one"]:
        place, pack, members, way, training = sys.argv[2:]
        print(*train(Path(place, way), Path(pack), int(members), way, json.loads(training)))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "diversity"))
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=4)
    flags = parser.parse_args()
    if flags.what == "speed":
        measure_speed(flags.members, flags.rounds)
    else:
        measure_diversity(flags.repeats)


if __name__ == "__main__":
    main()
