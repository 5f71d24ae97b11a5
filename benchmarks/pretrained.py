"""Make the bundled ensemble: train on simulated cells, fit, copy, write its card.

    python benchmarks/pretrained.py [--jobs N] [--device auto] [--fields DIR] [--dictionary DIR]

The recipe is configs/pretrained.yaml; the result goes to artifacts/pretrained. With --fields (complete images of the
competition) and --dictionary (the atlas's cell dictionary), each with its labels.csv, the card gets the tables of
benchmarks/sim_to_real.py on them. Needs the extra imagenet. About an hour and a half on one CPU core; an interrupted
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
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sim_to_real import markdown_table

from hpa_hier.cli.command import run
from hpa_hier.data.split.split import PARTS, read_split
from hpa_hier.ensemble.ensemble_file import FILE, NOVELTY_FILE, load, write_novelty
from hpa_hier.ensemble.novelty.novelty import MOST, Novelty
from hpa_hier.errors import UserError
from hpa_hier.evaluate.compute import compute_results
from hpa_hier.evaluate.describe import results_table
from hpa_hier.files.atomic import read_json, sha256, write_json, write_text
from hpa_hier.files.tables import read_table
from hpa_hier.predict.fit_run import evaluate_run, fit_run
from hpa_hier.predict.inputs import InputSpec
from hpa_hier.predict.unlike import measure, name_features
from hpa_hier.runs.manifest import Manifest, read_manifest
from hpa_hier.runs.run import Run
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.settings.training import PACKAGE
from hpa_hier.simulate.labelsets import draw_samples
from hpa_hier.simulate.write import simulate_images

CONFIG = "configs/pretrained.yaml"
MEMBER_FILES = ("member.json", "model.safetensors", "config.yaml", "taxonomy.yaml", "history.csv")
# Times that scores on these images were read in making this and earlier ensembles, this one included
FIELD_LOOKS, DICTIONARY_LOOKS = "about seventy", "about twenty"
CROPPED = 0.08  # share of the dictionary's height, below, that has a scale bar
IMAGENET = """Members that start from `package:…` have seen ImageNet's photographs before.
"""
EARLIER = """Members that start from `artifacts/pretrained` begin with the backbone that was shipped before, itself
trained on simulated cells.
"""
LARGEST_MEMBER, LARGEST = 8_000_000, 20_000_000  # bytes

CARD = """# The bundled ensemble

{members} networks ({megabytes:.1f} MB in all) for images of {size}² pixels, with the calibration and thresholds that
make one ensemble of them. `python -m hpa_hier.ensemble predict --images DIR --out DIR` uses it when no run is named and
none is finished; `python -m hpa_hier.train --init pretrained` initialises a network from one of its members.

{networks}

## What was it trained on?

**Simulated cells only**: {count:,} fields that `hpa_hier.simulate` made ({recipe}),
{parts}. It was trained on no microscope image; that the simulation was
improved by looking at some is said below.

Cells' mean radius is {smallest:.0%} to {largest:.0%} of the side, and all classes are about equally frequent. The
yellow channel is dropped in {dropped:.0%} of the training images, because many sets of real images lack it. Fields are
simulated at {supersample} times the side and shrunk; {realism:.0%} of them look as whole fields of the competition do
(`simulate.realism`); contrast, sharpness and compression vary (`simulate.variety` {variety:g}); intensities are
converted to 8 bits by the {intensity} rule, as in prediction.
{start}
`python benchmarks/pretrained.py` makes it again; the simulated fields have changed a little since (lines are now seen
at one magnification, and labels show a little more clearly), so not to the bit.

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
  warning; a slight fault, tissue or another kind of cell need not (`docs/explanations/unlike.md` says how often).
- It is no baseline: train members on your own images before you compare anything with it.
"""

REAL = """`python benchmarks/sim_to_real.py` on {title}.
None was trained on, but they were looked at while the simulation was improved, and their scores were read {looks}
times during development: expect less on other images.

{table}"""
REAL_NOTE = """

Group F1 counts the ensemble's own decisions, top-k and AP its ranking. On images kept apart from all development,
measure it yourself: `hpa-hier ensemble evaluate --run pretrained --images DIR --labels CSV`."""


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


def forget_folder(member: Path) -> None:
    """Take this machine's working folder out of a member's recipe, and keep the checksum of what is left."""
    config, manifest = member / "config.yaml", member / "member.json"
    before = sha256(config)
    write_text(config, config.read_text(encoding="utf-8").replace(f"{Path.cwd()}/", ""))
    write_text(manifest, manifest.read_text(encoding="utf-8").replace(before, sha256(config)))


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


def real_tables(options: argparse.Namespace, out: Path) -> str:
    """Return the tables of benchmarks/sim_to_real.py on the sets named, or a line that there are none."""
    sets = (
        (options.fields, "complete images of the competition", FIELD_LOOKS, 0.0),
        (options.dictionary, "images of the atlas's cell dictionary, the lower 8% cut off", DICTIONARY_LOOKS, CROPPED),
    )
    texts = []
    for folder, title, looks, crop in sets:
        if folder is None:
            continue
        flags = ["--images", str(folder), "--labels", str(folder / "labels.csv"), "--crop-lower", str(crop)]
        script = str(Path(__file__).with_name("sim_to_real.py"))
        command = [sys.executable, script, *flags, "--run", str(options.out), "--markdown", str(out)]
        subprocess.run(command, check=True)
        images = len(read_table(folder / "labels.csv", ("Id", "Target")))
        table = out.read_text(encoding="utf-8").strip()
        texts.append(REAL.format(title=f"{images} {title}", looks=looks, table=table))
    return "\n\n".join(texts) + REAL_NOTE if texts else "Not measured when this card was written."


def main(arguments: list[str]) -> int:
    """Train, fit, copy, write the card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1, help="members trained at a time (default: 1)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--fields", type=Path, metavar="DIR", help="complete images of the competition, for the card")
    parser.add_argument("--dictionary", type=Path, metavar="DIR", help="the cell dictionary's images, for the card")
    parser.add_argument("--out", type=Path, default=Path("artifacts/pretrained"))
    parser.add_argument("--distances", action="store_true", help="only fit distances again, for what is in --out")
    options = parser.parse_args(arguments)
    if options.distances:
        fit_distances(options.out / "ensemble")
        return 0
    recipe = load_recipe(CONFIG)
    flags = ["--all", "--config", CONFIG, "--jobs", str(options.jobs), "--device", options.device]
    subprocess.run([sys.executable, "-m", "hpa_hier.train", *flags], check=True)
    folder = Path(recipe.artifacts) / recipe.run
    for member in (folder / "members").iterdir():
        forget_folder(member)
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
    recipe = load_recipe(CONFIG)
    manifests = [read_manifest(path) for path in sorted((options.out / "members").iterdir())]
    split = read_split(folder / "split.csv")
    parts = ", ".join(f"{len(split.part_ids(part)):,} for {part}" for part in PARTS)
    starts = [str(one.settings.get("weights") or "") for one in manifests]
    radius = recipe.simulate.radius or (0.0, 0.0)
    return CARD.format(
        members=len(manifests),
        megabytes=check_sizes(options.out) / 1e6,
        size=recipe.data.image_size,
        networks=network_table(manifests),
        count=recipe.simulate.count,
        recipe=f"recipe `{CONFIG}`, seed {recipe.simulate.seed}",
        parts=parts,
        smallest=radius[0],
        largest=radius[1],
        supersample=recipe.simulate.supersample,
        variety=recipe.simulate.variety,
        realism=recipe.simulate.realism,
        intensity=recipe.data.intensity,
        start=(IMAGENET if any(start.startswith(PACKAGE) for start in starts) else "")
        + (EARLIER if any(str(options.out) in start for start in starts) else ""),
        dropped=recipe.training.augment.drop_channels.get("yellow", 0.0),
        simulated=simulated,
        real=real_tables(options, folder / "sim_to_real.md"),
    )


def network_table(manifests: Sequence[Manifest]) -> str:
    """Return a row a member: its network, where it started, and its training."""
    rows = []
    for one in manifests:
        start = one.settings.get("weights") or one.settings.get("start_from") or "nothing"
        start = start if str(start).startswith(PACKAGE) else str(start).split("/members/")[0]
        passes, seconds = str(one.epochs), f"{one.seconds:.0f}"
        rows.append((one.name, one.backbone, f"{one.parameters:,}", f"`{start}`", passes, seconds))
    head = ("member", "network", "parameters", "starts from", "passes", "seconds")
    return markdown_table(head, rows)


if __name__ == "__main__":
    run(main)
