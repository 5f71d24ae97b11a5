"""Fitting: samples in memory become a run's folder, whose members are trained and combined as the commands do it."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from hpa_hier.data.pack.vector_pack import write_vector_pack
from hpa_hier.data.split.split import Split, annotation_matrix, split, write_split
from hpa_hier.files.atomic import without_sync
from hpa_hier.members.nodes import find_member
from hpa_hier.predict.fit_run import fit_run
from hpa_hier.runs.run import SPLIT_FILE, Run
from hpa_hier.runs.start import prepare_run, start_run
from hpa_hier.settings.recipe import Recipe, SplitSettings
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.taxonomy.tree import Taxonomy
from hpa_hier.training.loop.stopping import Interrupted
from hpa_hier.training.plan import plan_training
from hpa_hier.training.start_from import training_order
from hpa_hier.training.train_member import TrainOptions, train_member

PACK = "pack"  # folder in the run's, while members are trained
_SEEDS = 1 << 32


@dataclass(frozen=True)
class Samples:
    """What is learned from."""

    vectors: np.ndarray  # (B, F) float32
    features: tuple[str, ...]  # F names
    nodes: Sequence[Sequence[str]]  # annotated nodes of each of the B samples
    groups: tuple[str, ...]  # B keys that no fold divides; "": a sample is alone
    taxonomy: Taxonomy


@dataclass(frozen=True)
class HowToFit:
    """How members are trained and combined."""

    config: str  # recipe file, or a shipped one's name
    changes: Mapping[str, str]  # change of a setting, as `--set` takes it → what errors call it
    folds: int
    seed: int
    device: str
    threads: int
    lines: bool  # print how trainings go


def fit_folder(folder: Path, samples: Samples, how: HowToFit) -> Run:
    """Train and combine the recipe's members in a run's folder.

    No sample is set aside for testing: each is held out once, in its fold, for calibration and thresholds.

    Args:
        folder: of the run, empty.
        samples: at least two, in at least two groups.
        how: the recipe and its changes.

    Raises:
        UserError: a setting, or what the members cannot learn from.
        KeyboardInterrupt: Ctrl-C; nothing of what was trained is kept.
    """
    with _quiet():
        run = _start(folder, samples, how)
        options = TrainOptions(device=how.device, lines=how.lines, threads=how.threads)
        for name in training_order(run.recipe):
            if name in run.roster.trained:
                try:
                    train_member(plan_training(run, find_member(run.recipe, name)), options)
                except Interrupted:  # which a command ends with, its checkpoint kept
                    raise KeyboardInterrupt from None
        fit_run(run)
        shutil.rmtree(folder / PACK)
    return Run(folder, run.recipe)


def _start(folder: Path, samples: Samples, how: HowToFit) -> Run:
    """Write the pack and the folds, and begin the run with them."""
    ids, pack, note = name_samples(len(samples.vectors)), folder / PACK, "given to HierarchicalClassifier"
    nodes, groups, features = samples.nodes, samples.groups, samples.features
    write_vector_pack(pack, samples.vectors, ids, nodes, groups, features, samples.taxonomy, note)
    kept = divide_into_folds(ids, nodes, groups, how.folds, how.seed)
    write_split(folder / SPLIT_FILE, kept, SplitSettings(folds=kept.fold_count, seed=how.seed))
    places = {"run": folder.name, "artifacts": folder.parent, "taxonomy": pack / "taxonomy.yaml", "data.pack": pack}
    sets = [*(f"{key}={path}" for key, path in places.items()), f"split.folds={kept.fold_count}"]
    return start_run(_with_seed(load_recipe(how.config, sets, how.changes), how.seed))


def divide_into_folds(
    ids: Sequence[str], nodes: Sequence[Sequence[str]], groups: Sequence[str], folds: int, seed: int
) -> Split:
    """Divide samples into folds by their labels; there are fewer folds where there are fewer groups than that.

    >>> divide_into_folds(("a", "b", "c"), [("x",)] * 3, ("", "g", "g"), folds=5, seed=0).folds
    (0, 1, 1)
    """
    keys = [group or f"\0{sample}" for sample, group in zip(ids, groups, strict=True)]
    number = min(folds, len(set(keys)))
    fold = split(annotation_matrix(nodes), keys, [1 / number] * number, seed)
    parts = tuple("train" if one else "calibration" for one in fold.tolist())
    return Split(tuple(ids), parts, tuple(groups), tuple(map(int, fold)))


def name_samples(count: int) -> tuple[str, ...]:
    """Return the ids of samples that have only their place.

    >>> name_samples(2)
    ('0', '1')
    """
    return tuple(map(str, range(count)))


def _with_seed(recipe: Recipe, seed: int) -> Recipe:
    """Return the recipe with its members listed, and their seeds moved on by `seed`."""
    if not seed:
        return recipe
    listed = prepare_run(recipe).recipe
    members = [one.model_copy(update={"seed": (one.seed + seed) % _SEEDS}) for one in listed.listed]
    return listed.model_copy(update={"members": tuple(members)})


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave the process as it was: trainings change the filters of warnings, and how many threads torch has.

    Nothing waits for the disk meanwhile, as the folder is gone where the process is.
    """
    threads = torch.get_num_threads()
    with warnings.catch_warnings(), without_sync():
        yield
    torch.set_num_threads(threads)
