"""Make the bundled ensemble: train on simulated cells, fit, copy, write its card.

    python benchmarks/pretrained.py [--jobs N] [--device auto] [--real DIR --labels CSV [--crop-lower 0.08]]

The recipe is configs/pretrained.yaml; the result goes to artifacts/pretrained. With --real the card gets the table of
benchmarks/sim_to_real.py on those images. About a quarter of an hour on one CPU core; an interrupted
training is resumed.

    python benchmarks/pretrained.py --distances

only fits again how far an image may lie from those learned from, for what is shipped, on some of the recipe's images:
two minutes.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from hpa_hier.cli.command import run
from hpa_hier.ensemble.ensemble_file import FILE, NOVELTY_FILE, load, write_novelty
from hpa_hier.ensemble.novelty.novelty import MOST, Novelty
from hpa_hier.errors import UserError
from hpa_hier.evaluate.compute import compute_results
from hpa_hier.evaluate.describe import results_table
from hpa_hier.files.atomic import read_json, write_json, write_text
from hpa_hier.predict.fit_run import evaluate_run, fit_run
from hpa_hier.predict.inputs import InputSpec
from hpa_hier.predict.unlike import measure, name_features
from hpa_hier.runs.run import Run
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.simulate.labelsets import draw_samples
from hpa_hier.simulate.write import simulate_images

CONFIG = "configs/pretrained.yaml"
MEMBER_FILES = ("member.json", "model.safetensors", "config.yaml", "taxonomy.yaml", "history.csv")
LOOKS = "six"  # times that scores on the dictionary were read in making what is shipped, this one included
START = """The leaf members are initialised from the previously shipped backbones (also trained on simulated data), the
others from the new leaf member's.
"""
LARGEST_MEMBER, LARGEST = 1_500_000, 5_000_000  # bytes

CARD = """# The bundled ensemble

{members} small networks ({parameters:,} parameters each, {megabytes:.1f} MB in all) for images of {size}² pixels, with
the calibration and thresholds that make one ensemble of them. `python -m hpa_hier.ensemble predict --images DIR
--out DIR` uses it when no run is named and none is finished; `python -m hpa_hier.train --init pretrained` initialises
a network from its leaf member.

## What was it trained on?

**Simulated cells only**: {count:,} fields that `hpa_hier.simulate` made ({recipe}),
{parts}. It has seen no microscope image.

Cells' mean radius is {smallest:.0%} to {largest:.0%} of the side, and all classes are about equally frequent. The
yellow channel is dropped in {dropped:.0%} of the training images, because many sets of real images lack it. Fields are
simulated at {supersample} times the side and shrunk; contrast, sharpness and compression vary (`simulate.variety`
{variety:g}); intensities are converted to 8 bits by the {intensity} rule, as in prediction.
{start}
Passes over the training part: {passes}.
`python benchmarks/pretrained.py` makes it again.

## How good is it on simulated images?

On the test part, which no member was trained on:

```
{simulated}
```

## How good is it on real images?

{real}

## What must it not be used for?

- **No answer about a protein, a patient or a treatment may rest on it.** It is there to try the system before any
  training.
- Its probabilities are calibrated on simulated cells with all classes alike, so on real images they are **not**
  calibrated, and its thresholds do not fit your images' class frequencies.
- It answers for any image, also for images that are not fluorescent single layers of cells with microtubules in red,
  the protein in green and nuclei in blue. A failed stain, a field without cells or one that is far out of focus has a
  warning; a slight fault, tissue or another kind of cell need not (`docs/ensemble.md` says how often).
- It is no baseline: train members on your own images before you compare anything with it.
"""

REAL = """`python benchmarks/sim_to_real.py` on {title}{crop}.
None was trained on, but they were looked at while the simulation was improved, and their scores were read {looks}
times during development: expect less on other images. Group F1 counts the ensemble's own decisions, top-k its ranking.

{table}"""


def copy_run(run_folder: Path, out: Path, members: tuple[str, ...]) -> None:
    """Copy what predicting needs; what stood in `out` goes first."""
    shutil.rmtree(out, ignore_errors=True)
    for name in members:
        (out / "members" / name).mkdir(parents=True)
        for file in MEMBER_FILES:
            shutil.copy(run_folder / "members" / name / file, out / "members" / name / file)
    (out / "ensemble").mkdir()
    for file in ("ensemble.json", "taxonomy.yaml", NOVELTY_FILE):
        shutil.copy(run_folder / "ensemble" / file, out / "ensemble" / file)
    check_sizes(out)


def fit_distances(folder: Path) -> None:
    """Fit distances on images of the recipe and add them to a finished ensemble; nothing else of it is changed."""
    recipe = load_recipe(CONFIG)
    spec = InputSpec.from_ensemble(load(folder))
    assert spec is not None
    count = recipe.simulate.count
    chosen = np.sort(np.random.default_rng(0).choice(count, min(count, MOST), replace=False)).tolist()
    images = simulate_images(recipe.simulate, chosen, spec.intensity, spec.channels)
    rows = np.concatenate([measure(image[None], ((),), spec) for image in images])
    antibodies = [one.antibody_name for one in draw_samples(count, recipe.simulate.seed, recipe.simulate.imbalance)]
    novelty = Novelty.fit(rows, name_features(spec), [antibodies[index] for index in chosen])
    kept = write_novelty(novelty, folder)
    assert kept is not None
    write_json(folder / FILE, read_json(folder / FILE) | {"novelty": kept.model_dump(mode="json")})
    print(f"wrote {folder / NOVELTY_FILE}: {len(chosen):,} of {count:,} images")


def check_sizes(folder: Path) -> int:
    """Return the bytes of all files below `folder`; too many are an error."""
    sizes = {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    for path, size in sizes.items():
        if size > LARGEST_MEMBER:
            raise UserError(f"{path}: {size:,} bytes, more than {LARGEST_MEMBER:,}; lower training.width in {CONFIG}")
    if sum(sizes.values()) > LARGEST:
        raise UserError(
            f"{folder}: {sum(sizes.values()):,} bytes, more than {LARGEST:,}; name fewer members in {CONFIG}"
        )
    return sum(sizes.values())


def real_table(options: argparse.Namespace, run_folder: Path, out: Path) -> str:
    """Return the table of benchmarks/sim_to_real.py on the images named, or a line that there are none."""
    if options.real is None:
        return "Not measured when this card was written."
    crop = ["--crop-lower", str(options.crop_lower)] if options.crop_lower else []
    flags = ["--images", str(options.real), "--labels", str(options.labels), *crop]
    script = str(Path(__file__).with_name("sim_to_real.py"))
    subprocess.run([sys.executable, script, *flags, "--run", str(run_folder), "--markdown", str(out)], check=True)
    crop_text = f", the lower {options.crop_lower:.0%} cut off" if options.crop_lower else ""
    return REAL.format(title=options.title, crop=crop_text, looks=LOOKS, table=out.read_text(encoding="utf-8").strip())


def main(arguments: list[str]) -> int:
    """Train, fit, copy, write the card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1, help="members trained at a time (default: 1)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--real", type=Path, metavar="DIR", help="real images for the card's table")
    parser.add_argument("--labels", type=Path, metavar="CSV", help="their labels")
    parser.add_argument("--title", default="the 28 images of the atlas's cell dictionary", help="what they are called")
    parser.add_argument("--crop-lower", type=float, default=0.0, metavar="SHARE")
    parser.add_argument("--out", type=Path, default=Path("artifacts/pretrained"))
    parser.add_argument("--distances", action="store_true", help="only fit distances again, for what is in --out")
    options = parser.parse_args(arguments)
    if options.distances:
        fit_distances(options.out / "ensemble")
        return 0
    if (options.real is None) != (options.labels is None):
        raise UserError("--real and --labels belong together; give both or none")
    recipe = load_recipe(CONFIG)
    flags = ["--all", "--config", CONFIG, "--jobs", str(options.jobs), "--device", options.device]
    subprocess.run([sys.executable, "-m", "hpa_hier.train", *flags], check=True)
    folder = Path(recipe.artifacts) / recipe.run
    trained = Run(folder, recipe)
    ensemble, _ = fit_run(trained)
    evaluate_run(trained)
    results = compute_results(trained.evaluation, recipe.report)
    copy_run(folder, options.out, tuple(member.name for member in ensemble.members))
    write_text(options.out / "README.md", card(options, folder, results_table(results)))
    print(f"wrote {options.out}: {check_sizes(options.out):,} bytes")
    return 0


def card(options: argparse.Namespace, folder: Path, simulated: str) -> str:
    """Return the model card's text."""
    from hpa_hier.data.split.split import PARTS, read_split
    from hpa_hier.runs.manifest import read_manifest

    recipe = load_recipe(CONFIG)
    manifests = [read_manifest(path) for path in sorted((options.out / "members").iterdir())]
    split = read_split(folder / "split.csv")
    parts = ", ".join(f"{len(split.part_ids(part)):,} for {part}" for part in PARTS)
    passes = ", ".join(f"{one.name} {one.epochs} ({one.seconds:.0f} s)" for one in manifests)
    radius = recipe.simulate.radius or (0.0, 0.0)
    return CARD.format(
        members=len(manifests),
        parameters=round(sum(one.parameters for one in manifests) / len(manifests)),
        megabytes=check_sizes(options.out) / 1e6,
        size=recipe.data.image_size,
        count=recipe.simulate.count,
        recipe=f"recipe `{CONFIG}`, seed {recipe.simulate.seed}",
        parts=parts,
        passes=passes,
        smallest=radius[0],
        largest=radius[1],
        supersample=recipe.simulate.supersample,
        variety=recipe.simulate.variety,
        intensity=recipe.data.intensity,
        start=START if any(recipe.member_training(member).weights for member in recipe.listed) else "",
        dropped=recipe.training.augment.drop_channels.get("yellow", 0.0),
        simulated=simulated,
        real=real_table(options, options.out, folder / "sim_to_real.md"),
    )


if __name__ == "__main__":
    run(main)
