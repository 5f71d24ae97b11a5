"""A desk as a user of the pages has it: images, label tables, vectors and score tables, called as on the pages."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from hpa_hier.data.images.channels import CHANNELS
from hpa_hier.settings.recipe import SimulateSettings
from hpa_hier.simulate.write import write_folder
from hpa_hier.taxonomy import Taxonomy

ROOT = Path(__file__).resolve().parents[1]
PLACES = ("Nucleoplasm", "Cytosol", "Mitochondria", "Golgi apparatus")
WIDTH = 48  # numbers a vector, in place of a foundation model's 1,536

# Training is cut to a few steps of a small network on small images; all else runs as it stands on the pages.
SIZE = ["--size", "32"]  # pixels, of what is packed
STEPS = [
    "--set", "training.backbone=small_cnn",
    "--set", "training.pretrained=false",
    "--set", "training.width=8",
    "--set", "training.batch_size=16",
    "--set", "training.max_steps=3",
]  # fmt: skip
FEW = [*STEPS, "--set", "split.folds=0", "--set", "partition.majority_min_images=8"]
RECIPE = "members:\n  - {name: leaf, level: leaves}\n  - {name: leaf-s1, level: leaves, seed: 1}\nsplit: {folds: 0}\n"
VECTORS = """training: {backbone: mlp, mlp: {hidden: 16}, batch_size: 16, max_steps: 20}
members: [{name: leaf, level: leaf}, {name: coarse, level: coarse}]
split: {folds: 0}
"""


def make_desk(folder: Path, count: int = 120) -> None:
    """Fill a folder with everything that pages name, but for what their own commands make."""
    for name in ("hierarchy", "configs"):
        shutil.copytree(ROOT / name, folder / name)
    write_folder(folder / "my_images", SimulateSettings(count=count, image_size=64, seed=5, imbalance=0))
    (folder / "my_images" / "labels.csv").rename(folder / "my_labels.csv")
    (folder / "my_images" / "simulated.json").unlink()  # as if they were real
    (folder / "other_images").symlink_to("my_images")
    labels = pd.read_csv(folder / "my_labels.csv", dtype=str)
    (folder / "new_images").mkdir()
    for channel in CHANNELS:
        first = folder / "my_images" / f"{labels['Id'][0]}_{channel}.png"
        for place in ("new_images", "my_images"):
            shutil.copy(first, folder / place / f"cell_0001_{channel}.png")
        for number, place in enumerate(PLACES * 3):
            (folder / "class_folders" / place).mkdir(parents=True, exist_ok=True)
            source = folder / "my_images" / f"{labels['Id'][number]}_{channel}.png"
            shutil.copy(source, folder / "class_folders" / place / source.name)
    labels.loc[len(labels)] = {**labels.iloc[0].to_dict(), "Id": "cell_0001"}
    for table in ("my_labels.csv", "other_labels.csv"):
        labels.to_csv(folder / table, index=False)
    (folder / "short.yaml").write_text(RECIPE)
    (folder / "vectors.yaml").write_text(VECTORS)
    write_vectors(folder)
    _write_scores(folder, list(labels["Id"]), list(labels["Target"]))


def write_vectors(folder: Path) -> None:
    """Write vectors of images and of cells as SubCellPortable does."""
    rng = np.random.default_rng(0)
    place = np.arange(160) % 4
    vectors = (rng.normal(size=(4, WIDTH))[place] + 0.5 * rng.normal(size=(160, WIDTH))).astype(np.float32)
    ids = [f"{i}_B5_2" for i in range(160)]
    labels = pd.DataFrame({"Id": ids, "Target": [PLACES[n] for n in place]})
    labels[:120].to_csv(folder / "train.csv", index=False)
    labels[120:].to_csv(folder / "new.csv", index=False)
    write_embeddings(folder / "results/embeddings.h5ad", ids[:120], vectors[:120])
    write_embeddings(folder / "new/embeddings.h5ad", ids[120:], vectors[120:])
    cells = np.repeat(vectors[:120], 2, axis=0)
    write_embeddings(folder / "cells/embeddings.h5ad", [f"{one}_{k}" for one in ids[:120] for k in (1, 2)], cells)
    table = pd.DataFrame(cells, columns=[f"feat{j:04d}" for j in range(WIDTH)])
    table.insert(0, "image_id", np.repeat(ids[:120], 2))
    table.to_csv(folder / "cells.csv.gz", index=False)


def write_embeddings(path: Path, ids: Sequence[str], vectors: np.ndarray) -> None:
    """Write an .h5ad file as SubCellPortable does."""
    path.parent.mkdir(exist_ok=True)
    with h5py.File(path, "w") as file:
        file.create_dataset("X", data=vectors)
        file.create_dataset("obs/index", data=np.array(ids, dtype="S"))


def _write_scores(folder: Path, ids: Sequence[str], targets: Sequence[str]) -> None:
    """Write score tables of two models for the label table's images, and for two new ones."""
    rng = np.random.default_rng(1)
    taxonomy = Taxonomy.load("hpa28")
    truth = np.array([[taxonomy.label(leaf) in target.split() for leaf in taxonomy.leaves] for target in targets])
    for model in "ab":
        probs = np.clip(0.5 * truth + rng.uniform(0.05, 0.4, truth.shape), 0, 1).round(4)
        table = pd.DataFrame(probs, columns=list(taxonomy.leaves), index=pd.Index(ids, name="Id"))
        table.to_csv(folder / f"scores_{model}.csv")
        table[:2].to_csv(folder / f"new_{model}.csv")


def shorten(words: Sequence[str]) -> list[str]:
    """Return what a command is given besides, so that it takes seconds."""
    vectors = "--vectors" in words
    if words[0] == "run":
        recipe = ["--config", "vectors.yaml"] if vectors else ["--config", "short.yaml", *SIZE, *FEW]
        return [*recipe, "--jobs", "1", "--no-baseline", *([] if "--device" in words else ["--device", "cpu"])]
    if words[0] == "train":
        jobs = ["--jobs", "1"] if "--all" in words else []
        return ["--device", "cpu", *FEW, *jobs]
    if words[:2] == ["data", "pack"] and not vectors and "--size" not in words:
        return SIZE
    return ["--tta", "none"] if words[:2] == ["ensemble", "adapt"] else []


def run_shortened(words: Sequence[str], folder: Path) -> int:
    """Run a command of the program in a folder, shortened, and return its exit status."""
    with contextlib.chdir(folder):
        status: int = import_module(f"hpa_hier.cli.{words[0]}").main([*words[1:], *shorten(words)])
    return status
