"""What a start from ImageNet is worth: on simulated cells at equal steps, and frozen on real whole fields out of fold.

    python benchmarks/imagenet_start.py simulated [--repeats 3] [--steps 60] [--size 64]
    python benchmarks/imagenet_start.py real --images DIR --labels CSV [--size 256] [--folds 5] [--out FOLDER]

simulated: each repeat simulates 900 images with the real table's class counts, trains tf_efficientnet_lite0 on 400 of
them, from random weights and from package:efficientnet_lite0, on the same images in the same order for the same few
steps of 32 images, and compares mean AP over the leaves that occur among the other 500. The interval is Student's over
the repeats' differences.

real: the project's own commands pack the images and train a leaf member on frozen features, one network for each fold;
each image is scored by networks that have not seen it. Mean AP is over the leaves with at least four images, as in
benchmarks/sim_to_real.py, with a bootstrap interval over images; beside it the same network with random weights, the
bundled ensemble, which was not trained on these images, and the leaves' mean share of the images. Seed 0 throughout.

About three minutes of one core each; needs the extra `imagenet`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from learning_curve import score, simulate, train
from pretrained_start import interval, mean_precision
from sim_to_real import LEAST, markdown_table, mean_ap, table_row

from hpa_hier.cli.command import one_thread_a_process, run

BACKBONE, PACKAGE = "tf_efficientnet_lite0", "package:efficientnet_lite0"
TRAINED, TESTED, BATCH = 400, 500, 32  # images
HEADS = {  # what stands on the frozen features
    "linear": ["training.mlp.layers=0"],
    "one hidden layer of 64": ["training.mlp.layers=1", "training.mlp.hidden=64", "training.mlp.dropout=0.3"],
}
SETTINGS = (
    *("training.frozen=true", "training.epochs=40", "training.batch_size=16", "training.learning_rate=0.003"),
    *("training.weight_decay=0.1", "training.stop_on=none", "split.fractions=[0.9, 0.05, 0.05]"),
)


def compare_on_simulated(options: argparse.Namespace) -> None:
    """Train from both starts, print the table."""
    from hpa_hier.taxonomy import Taxonomy

    taxonomy = Taxonomy.load("hierarchy/hpa28.yaml")
    leaves = [taxonomy.column[leaf] for leaf in taxonomy.leaves]
    found = np.zeros((options.repeats, 2))
    for repeat in range(options.repeats):
        images, present = simulate(TRAINED + TESTED, options.size, 2000 + repeat)
        present = present[:, leaves]
        for column, weights in enumerate((None, PACKAGE)):
            network = train(
                *(images[TESTED:], present[TESTED:], options.steps, repeat, BATCH), backbone=BACKBONE, weights=weights
            )
            found[repeat, column] = mean_precision(score(network, images[:TESTED]), present[:TESTED])
        print(f"repeat {repeat}: {found[repeat].round(3).tolist()}", flush=True)
    low, high = interval(found[:, 1] - found[:, 0])
    means = found.mean(axis=0)
    row = (f"{means[0]:.3f}", f"{means[1]:.3f}", f"{means[1] - means[0]:+.3f} [{low:+.3f}, {high:+.3f}]")
    print(markdown_table(("random start", "ImageNet start", f"difference, {options.repeats} repeats"), [row]))


def compare_on_real(options: argparse.Namespace, out: Path) -> None:
    """Pack, train on frozen features, print the table."""
    import torch
    from safetensors.torch import save_file

    from hpa_hier.members.scores_file import read_scores
    from hpa_hier.models.backbones.create import build_backbone
    from hpa_hier.predict.predictor import Predictor
    from hpa_hier.runs.find import PRETRAINED
    from hpa_hier.runs.run import Run
    from hpa_hier.settings.training import TrainingSettings

    def command(*words: object) -> None:
        subprocess.run([sys.executable, "-m", *map(str, words)], check=True)

    pack, random = out / "pack", out / "random.safetensors"
    files = ("--images", options.images, "--labels", options.labels, "--out", pack)
    if not (pack / "pack.json").is_file():
        size = ("--set", f"data.image_size={options.size}", "--set", "data.intensity=percentile")
        command("hpa_hier.data", "pack", *files, *size)
    torch.manual_seed(0)
    channels = ("red", "green", "blue", "yellow")
    save_file(build_backbone(TrainingSettings(backbone=BACKBONE), channels, options.size).module.state_dict(), random)
    systems = [(f"ImageNet, frozen, {name}", PACKAGE, sets) for name, sets in HEADS.items()]
    systems.append(("random weights, frozen, linear", str(random), HEADS["linear"]))
    scores: dict[str, np.ndarray] = {}
    for number, (name, weights, sets) in enumerate(systems):
        folder = out / f"run-{number}"
        changes = [word for one in (f"training.backbone={BACKBONE}", *SETTINGS, *sets) for word in ("--set", one)]
        flags = ("--level", "leaf", "--data", pack, "--run", folder, "--folds", options.folds, "--weights", weights)
        command("hpa_hier.train", *flags, *changes, "--device", "cpu", "--no-progress")
        kept = read_scores(next((folder / "members").iterdir()) / "scores.npz")
        scores[name] = kept.logits
    opened = Run.open(str(folder))
    rows = opened.pack.find_rows(kept.ids)
    truth = opened.targets.present[rows][:, [opened.taxonomy.column[node] for node in kept.nodes]]
    found = Predictor.load(PRETRAINED).predict(options.images)
    columns = [Run.open(PRETRAINED).ensemble.taxonomy.column[node] for node in kept.nodes]
    scores["the bundled ensemble, not trained on them"] = found.probs[[found.ids.index(i) for i in kept.ids]][
        :, columns
    ]
    common = truth.sum(axis=0) >= LEAST
    lines = [
        table_row(
            name, lambda w, s=one: mean_ap(truth[:, common], s[:, common], w), len(truth), truth[:, common].mean()
        )
        for name, one in scores.items()
    ]
    counts = [int(count) for count in truth[:, common].sum(axis=0)]
    print(
        f"{len(truth)} images; {len(counts)} leaves of {min(counts)} to {max(counts)} images, {sum(counts)} positives"
    )
    print(markdown_table(("out of fold", "mean AP", "95% interval", "share of images"), lines))


def main(arguments: list[str]) -> int:
    """Measure one of the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    simulated, real = parts.add_parser("simulated"), parts.add_parser("real")
    simulated.add_argument("--repeats", type=int, default=3)
    simulated.add_argument("--steps", type=int, default=60)
    simulated.add_argument("--size", type=int, default=64, help="pixels")
    real.add_argument("--images", type=Path, required=True, metavar="DIR")
    real.add_argument("--labels", type=Path, required=True, metavar="CSV")
    real.add_argument("--size", type=int, default=256, help="pixels")
    real.add_argument("--folds", type=int, default=5)
    real.add_argument("--out", type=Path, metavar="FOLDER", help="keep pack and runs there (default: thrown away)")
    options = parser.parse_args(arguments)
    one_thread_a_process()
    import torch

    torch.set_num_threads(1)
    if options.part == "simulated":
        compare_on_simulated(options)
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        out = options.out or Path(temporary)
        out.mkdir(parents=True, exist_ok=True)
        compare_on_real(options, out)
    return 0


if __name__ == "__main__":
    run(main)
