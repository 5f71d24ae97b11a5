"""Starting a run: what a training needs is made where it is lacking, and nothing else may have taken its place."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from filelock import FileLock

from hpa_hier.data.labels.partition import PARTITION_FILE, divide
from hpa_hier.data.pack.pack import Pack
from hpa_hier.data.split.split import PARTS, split_pack, write_split
from hpa_hier.ensemble.rules import check_rules
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_json, text_digest, write_json, write_text
from hpa_hier.runs.run import CONFIG, RUN_FILE, SPLIT_FILE, TAXONOMY, Run, RunFacts
from hpa_hier.settings.recipe import Recipe
from hpa_hier.settings.recipe_file import recipe_yaml
from hpa_hier.taxonomy import Taxonomy

_DIGITS = 8  # of a digest in the name of a pack of simulated cells


def start_run(recipe: Recipe, named: bool = True) -> Run:
    """Open the recipe's run, making what it lacks: simulated cells where no pack is named, the split, the partition.

    Args:
        recipe: of this training.
        named: the user named it; a run that has a recipe keeps it otherwise.

    Raises:
        UserError: the run was begun with another pack, split or set of labels, or the recipe names no rule.
    """
    check_rules(recipe.ensemble)
    folder = Path(recipe.artifacts) / recipe.run
    taxonomy = Taxonomy.load(recipe.taxonomy)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        begun = Run(folder, recipe).facts
        pack = recipe.data.pack or str(_simulate(recipe, taxonomy, folder / RUN_FILE, begun))
        run = Run(folder, recipe.model_copy(update={"data": recipe.data.model_copy(update={"pack": pack})}))
        if not Path(pack).is_dir():
            Pack.open(pack)  # raises the error of what is not there
        if not (folder / SPLIT_FILE).exists():
            write_split(folder / SPLIT_FILE, split_pack(run.pack, recipe.split), recipe.split)
        _check_facts(run, begun)
        if named or not (folder / CONFIG).exists():
            write_text(folder / CONFIG, recipe_yaml(recipe))
        write_text(folder / TAXONOMY, run.taxonomy.text)
    return run


def _simulate(recipe: Recipe, taxonomy: Taxonomy, run_file: Path, begun: RunFacts | None) -> Path:
    """Return the folder of a pack of simulated cells, which are simulated first where they are not there yet."""
    settings, data = recipe.simulate, recipe.data
    made_by = {**settings.model_dump(mode="json"), "intensity": data.drawn_intensity, "channels": data.channels}
    digest = text_digest(json.dumps(made_by, sort_keys=True))[:_DIGITS]
    name = f"simulated-{settings.count}x{settings.image_size}-seed{settings.seed}-{digest}"
    if begun and Path(begun.pack).name.startswith(name) and Path(begun.pack).is_dir():
        return Path(begun.pack)  # a taxonomy that was edited since finds its nodes in it by their labels
    folder = Path(recipe.artifacts) / "packs" / f"{name}-{text_digest(taxonomy.text)[:_DIGITS]}"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        if not (folder / "pack.json").exists():
            if begun:
                raise UserError(
                    f"{run_file}: the run was begun with pack {begun.pack}; add --data {begun.pack}, or name "
                    "another --run"
                )
            from hpa_hier.simulate.write import write_pack

            what = f"{settings.count:,} demo fields of {settings.image_size}²"
            print(f"data.pack names no images: simulating {what} into {folder}", file=sys.stderr)
            workers, tree, rule = os.cpu_count() or 1, recipe.taxonomy, data.drawn_intensity
            write_pack(folder, settings, workers=workers, taxonomy=tree, intensity=rule, channels=data.channels)
    return folder


def _check_facts(run: Run, begun: RunFacts | None) -> None:
    """Check that the run was begun with the same pack, split and taxonomy; then write run.json and partition.json."""
    path = run.folder / RUN_FILE
    now = RunFacts(
        pack=str(run.pack.path.resolve()),
        pack_digest=run.pack.digest,
        split_digest=run.split.digest,
        taxonomy=run.recipe_taxonomy.name,
        simulated=run.pack.simulated,
    )
    if begun:
        for what in ("pack", "split"):
            before, after = (getattr(facts, f"{what}_digest") for facts in (begun, now))
            if before != after:
                raise UserError(
                    f"{path}: the run was begun with {what} {before}, now it is {after}; give another name with --run, "
                    "since members of both cannot be combined"
                )
        if begun.taxonomy != now.taxonomy:
            raise UserError(
                f"{path}: the run was begun with taxonomy '{begun.taxonomy}', now it is '{now.taxonomy}'; "
                "give another run name with --run"
            )
    leaves = _count_leaves(run)
    _write_partition(run, leaves)
    if begun != (now := now.model_copy(update={"images": len(run.pack), "leaf_images": leaves})):
        write_json(path, now.model_dump())


def _count_leaves(run: Run) -> dict[str, tuple[int, int, int]]:
    """Count the images of each leaf in the train, the calibration and the test part."""
    taxonomy = run.recipe_taxonomy
    present = run.pack.targets(taxonomy).present[:, [taxonomy.column[leaf] for leaf in taxonomy.leaves]]
    rows = (run.pack.find_rows(run.split.part_ids(part)) for part in PARTS)
    counts = np.array([present[of_part].sum(axis=0) for of_part in rows])
    return {leaf: (int(a), int(b), int(c)) for leaf, (a, b, c) in zip(taxonomy.leaves, counts.T, strict=True)}


def _write_partition(run: Run, leaves: Mapping[str, tuple[int, int, int]]) -> None:
    """Write partition.json: the majority and the minority leaves by their images, or why there are none.

    A run that was begun when only the training images counted goes on with those, as its members are named by it.
    """
    path = run.folder / PARTITION_FILE
    kept = read_json(path) if path.is_file() else {"left_out": ""}
    old = "left_out" not in kept
    images = len(run.split.part_ids("train")) if old else len(run.split)
    counts = {leaf: count[0] if old else sum(count) for leaf, count in leaves.items()}
    sides = divide(counts, images, run.recipe.partition, run.recipe_taxonomy, few=old)
    now = {"majority": sides.majority, "minority": sides.minority, "counts": counts, "min_images": sides.min_images}
    write_json(path, now if old else {**now, "left_out": sides.left_out})
