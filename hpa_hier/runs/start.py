"""Starting a run: what a training needs is made where it is lacking, and nothing else may have taken its place."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from hpa_hier.data.labels.partition import PARTITION_FILE, Partition, divide
from hpa_hier.data.pack.pack import Pack
from hpa_hier.data.split.split import PARTS, Split, complete_split, split_pack, write_split
from hpa_hier.ensemble.rules import check_rules
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_json, text_digest, write_json, write_text
from hpa_hier.files.lock import lock_folder
from hpa_hier.files.remote.path import names_folder
from hpa_hier.runs.roster import Roster, check_members, follow_tree
from hpa_hier.runs.run import CONFIG, RUN_FILE, SPLIT_FILE, TAXONOMY, Run, RunFacts
from hpa_hier.settings.recipe import DataSettings, Recipe
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.settings.saved import saved_yaml
from hpa_hier.taxonomy import Taxonomy

_DAY = 86_400.0  # seconds that a training waits for another one that makes what both need
_DIGITS = 8  # of a digest in the name of a pack of simulated cells


def start_run(recipe: Recipe, named: bool = True, check: Callable[[Run], object] | None = None) -> Run:
    """Open the recipe's run, making what it lacks: simulated cells where no pack is named, the split, the partition.

    A start that is refused leaves nothing behind.

    Args:
        recipe: of this training.
        named: the run keeps this recipe; otherwise a run that has one keeps that.
        check: is shown the run before anything is written, and raises what it has against it.

    Raises:
        UserError: the run was begun with another pack, split or set of labels, the recipe names no rule, or a member of
            it asks for a level or a group that the tree has not.
    """
    begun, split = ((Path(recipe.artifacts) / recipe.run / name).exists() for name in (RUN_FILE, SPLIT_FILE))
    run = prepare_run(recipe)
    if check:
        check(run)
    with lock_folder(run.folder, "starting a training in", wait=_DAY, flag=""):
        if not begun and (run.folder / RUN_FILE).exists():  # another process has begun it meanwhile
            run = prepare_run(recipe)
        elif not (split or write_split(run.folder / SPLIT_FILE, run.split, run.recipe.split, replace=False)):
            run = prepare_run(recipe)  # `data split` has written one there meanwhile
        _write(run, recipe.data, named)
    return run


def prepare_run(recipe: Recipe) -> Run:
    """Return the recipe's run as it is going to begin or to go on, before anything is trained or written.

    Its recipe lists the members, `roster` says what they are for, and `facts` how many images each leaf has. Only where
    no pack is named are cells simulated, into a pack that other runs use too.

    Raises:
        UserError: as `start_run`.
    """
    check_rules(recipe.ensemble)
    recipe = choose_taxonomy(recipe)
    folder, taxonomy = Path(recipe.artifacts) / recipe.run, Taxonomy.load(recipe.taxonomy)
    recipe = follow_tree(recipe, read_begun_tree(folder), taxonomy)
    if not recipe.data.pack:  # before cells are simulated
        check_members(recipe, taxonomy)
        Roster.choose(recipe, taxonomy)
    begun = Run(folder, recipe).facts
    pack = recipe.data.pack or str(_simulate(recipe, taxonomy, folder / RUN_FILE, begun))
    run = Run(folder, recipe.model_copy(update={"data": recipe.data.model_copy(update={"pack": pack})}))
    if not names_folder(pack):
        Pack.open(pack)  # raises the error of what is not there
    kept = (folder / SPLIT_FILE).exists()
    split = run.split if kept else split_pack(run.pack, recipe.split)
    facts = RunFacts(
        pack=str(run.pack.path.resolve()),
        pack_digest=run.pack.digest,
        split_digest=split.digest,
        taxonomy=taxonomy.name,
        simulated=run.pack.simulated,
        images=len(run.pack),
    )
    _check_same(facts, begun, folder / RUN_FILE)
    leaves = _count_leaves(run, split)
    check_members(recipe, taxonomy)
    return run.with_known(split, facts.model_copy(update={"leaf_images": leaves}), _divide(run, split, leaves))


def read_begun_tree(folder: Path) -> Taxonomy | None:
    """Return the taxonomy that a run's last training had; None where there was none."""
    return Taxonomy.load(folder / TAXONOMY) if (folder / TAXONOMY).is_file() else None


def choose_taxonomy(recipe: Recipe) -> Recipe:
    """Return the recipe with the taxonomy of its pack, unless a file or a flag names one.

    That is the file which the pack was made with, so that an edit of it counts; where it is gone, the pack's copy.
    """
    pack = recipe.data.pack
    if "taxonomy" in recipe.model_fields_set or not pack or not names_folder(pack):
        return recipe
    chosen = recipe.model_copy(update={"taxonomy": Pack.open(pack).find_taxonomy(recipe.taxonomy)})
    before = recipe.origins
    return chosen.with_origins(replace(before, derived={**before.derived, ("taxonomy",): f"pack {pack}"}))


def _simulate(recipe: Recipe, taxonomy: Taxonomy, run_file: Path, begun: RunFacts | None) -> Path:
    """Return the folder of a pack of simulated cells, which are simulated first where they are not there yet."""
    settings, data = recipe.simulate, recipe.data
    made_by = {**settings.model_dump(mode="json"), "intensity": data.drawn_intensity, "channels": data.channels}
    digest = text_digest(json.dumps(made_by, sort_keys=True))[:_DIGITS]
    name = f"simulated-{settings.count}x{settings.image_size}-seed{settings.seed}-{digest}"
    if begun and Path(begun.pack).name.startswith(name) and Path(begun.pack).is_dir():
        return Path(begun.pack)  # a taxonomy that was edited since finds its nodes in it by their labels
    folder = Path(recipe.artifacts) / "packs" / f"{name}-{text_digest(taxonomy.text)[:_DIGITS]}"
    if begun and not (folder / "pack.json").exists():
        raise UserError(
            f"{run_file}: the run was begun with pack {begun.pack}; add --data {begun.pack}, or name another --run"
        )
    with lock_folder(folder, "simulating into", wait=_DAY, flag=""):
        if not (folder / "pack.json").exists():
            from hpa_hier.simulate.write import write_pack

            what = f"{settings.count:,} demo fields of {settings.image_size}²"
            print(f"data.pack names no images: simulating {what} into {folder}", file=sys.stderr)
            workers, tree, rule = os.cpu_count() or 1, recipe.taxonomy, data.drawn_intensity
            write_pack(folder, settings, workers=workers, taxonomy=tree, intensity=rule, channels=data.channels)
    return folder


def _count_leaves(run: Run, split: Split) -> dict[str, tuple[int, int, int]]:
    """Count the images of each leaf in the train, the calibration and the test part."""
    taxonomy = run.recipe_taxonomy
    present = run.pack.targets(taxonomy).present[:, [taxonomy.column[leaf] for leaf in taxonomy.leaves]]
    rows = (run.pack.find_rows(split.part_ids(part)) for part in PARTS)
    counts = np.array([present[of_part].sum(axis=0) for of_part in rows])
    return {leaf: (int(a), int(b), int(c)) for leaf, (a, b, c) in zip(taxonomy.leaves, counts.T, strict=True)}


def _check_same(now: RunFacts, begun: RunFacts | None, path: Path) -> None:
    """Refuse another pack, split or set of labels than the run was begun with."""
    if not begun:
        return
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


def _divide(run: Run, split: Split, leaves: Mapping[str, tuple[int, int, int]]) -> Partition:
    """Return the majority and the minority leaves by their images, or why there are none.

    A run that was begun when only the training images counted goes on with those, as its members are named by it.
    """
    old = _counts_training_only(run.folder)
    images = len(split.part_ids("train")) if old else len(split)
    return divide(_count(leaves, old), images, run.recipe.partition, run.recipe_taxonomy, few=old)


def _count(leaves: Mapping[str, tuple[int, int, int]], only_training: bool) -> dict[str, int]:
    return {leaf: count[0] if only_training else sum(count) for leaf, count in leaves.items()}


def _counts_training_only(folder: Path) -> bool:
    path = folder / PARTITION_FILE
    return path.is_file() and "left_out" not in read_json(path)


def _write(run: Run, data: DataSettings, named: bool) -> None:
    """Write what the run's folder holds before its first member is trained; of the pack, what the recipe says."""
    folder, facts, sides = run.folder, run.facts, run.sides
    if facts is None or sides is None:
        raise ValueError("the run was not prepared")
    if not (folder / SPLIT_FILE).exists():
        write_split(folder / SPLIT_FILE, run.split, run.recipe.split)
    complete_split(folder / SPLIT_FILE, run.split, run.recipe.split)
    old = _counts_training_only(folder)
    partition = {
        "majority": sides.majority,
        "minority": sides.minority,
        "counts": _count(facts.leaf_images, old),
        "min_images": sides.min_images,
    }
    write_json(folder / PARTITION_FILE, partition if old else {**partition, "left_out": sides.left_out})
    if Run(folder, run.recipe).facts != facts:
        write_json(folder / RUN_FILE, facts.model_dump())
    recipe = run.recipe.model_copy(update={"data": data})
    if not named and (folder / CONFIG).is_file():  # of what the run has in common, the last training's holds
        kept = load_recipe(str(folder / CONFIG))
        kept = follow_tree(kept, read_begun_tree(folder), run.recipe_taxonomy)
        recipe = kept.model_copy(update={"taxonomy": recipe.taxonomy})
    write_text(folder / CONFIG, saved_yaml(recipe, folder))
    write_text(folder / TAXONOMY, run.taxonomy.text)
