"""A run: one pack, one split and one taxonomy, under which members are trained that may be combined."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from filelock import FileLock

from hpa_hier.data.images.channels import CHANNELS
from hpa_hier.data.labels.partition import PARTITION_FILE, add_partition_nodes, divide
from hpa_hier.data.labels.table import Targets
from hpa_hier.data.pack.pack import Pack
from hpa_hier.data.split.split import Split, read_split, split_pack, write_split
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_json, write_json, write_text
from hpa_hier.runs.part import Part
from hpa_hier.settings.recipe import Recipe
from hpa_hier.settings.recipe_file import recipe_yaml
from hpa_hier.taxonomy import Taxonomy


@dataclass(frozen=True)
class Run:
    """A run's folder with what its members share."""

    folder: Path
    recipe: Recipe
    taxonomy: Taxonomy
    pack: Pack
    split: Split
    partition: dict[str, tuple[str, ...]]  # leaves of `majority` and `minority`

    def member_folder(self, name: str) -> Path:
        """Return where a member is kept."""
        return self.folder / "members" / name

    @cached_property
    def targets(self) -> Targets:
        """The pack's targets, columns as the taxonomy's nodes."""
        return self.pack.targets(self.taxonomy, self.recipe.data.below_annotation)

    def part(self, name: str, nodes: tuple[str, ...], carry: tuple[str, ...] = ()) -> Part:
        """Return a part (train, calibration or test) with its targets for `nodes`.

        Args:
            name: of the part.
            nodes: columns of the targets.
            carry: where given, only the samples that carry one of these nodes.
        """
        rows = self.pack.find_rows(self.split.part_ids(name))
        targets = self.targets
        if carry:
            rows = rows[targets.present[rows][:, [self.taxonomy.column[node] for node in carry]].any(axis=1)]
        columns = [self.taxonomy.column[node] for node in nodes]
        return Part(rows, targets.present[rows][:, columns], targets.known[rows][:, columns])


def open_run(recipe: Recipe, named: bool = True) -> Run:
    """Open the recipe's run, making what it lacks: simulated cells where no pack is named, the split, the partition.

    Args:
        recipe: of this training.
        named: the user named it; a run that has a recipe keeps it otherwise.

    Raises:
        UserError: the run was begun with another pack, split or set of labels.
    """
    folder = Path(recipe.artifacts) / recipe.run
    taxonomy = Taxonomy.load(recipe.taxonomy)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        pack = Pack.open(recipe.data.pack) if recipe.data.pack else _simulated_pack(recipe, folder / "run.json")
        split = _split(folder, recipe, pack)
        _note(folder, pack, split, taxonomy)
        partition = _partition(folder, recipe, pack, split, taxonomy)
        if recipe.partition.virtual_nodes:
            taxonomy = add_partition_nodes(taxonomy, partition)
        if named or not (folder / "config.yaml").exists():
            write_text(folder / "config.yaml", recipe_yaml(recipe))
        write_text(folder / "taxonomy.yaml", taxonomy.text)
    return Run(folder, recipe, taxonomy, pack, split, partition)


def _simulated_pack(recipe: Recipe, begun: Path) -> Pack:
    """Open the pack of simulated cells, simulating it first where it is not there yet."""
    settings = recipe.simulate
    name = f"drawn-{settings.count}x{settings.image_size}-imbalance{settings.imbalance:g}-seed{settings.seed}"
    if settings.radius:
        name += f"-radius{settings.radius[0]:g}-{settings.radius[1]:g}"
    if settings.supersample > 1:
        name += f"-supersample{settings.supersample}"
    if settings.variety:
        name += f"-variety{settings.variety:g}"
    if recipe.data.intensity != "depth":
        name += f"-{recipe.data.intensity}"
    channels = recipe.data.channels
    if channels != CHANNELS:
        name += "-" + "-".join(channels)
    folder = Path(recipe.artifacts) / "packs" / name
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        if not (folder / "pack.json").exists():
            pack = read_json(begun).get("pack") if begun.exists() else None
            if pack and Path(pack) != folder.resolve():
                raise UserError(
                    f"{begun}: the run was begun with pack {pack}; add --data {pack}, or name another --run"
                )
            from hpa_hier.simulate.write import write_pack

            print(
                f"data.pack names no images: simulating {settings.count:,} demo fields of {settings.image_size}² "
                f"into {folder}",
                file=sys.stderr,
            )
            write_pack(
                folder,
                settings.count,
                settings.image_size,
                settings.seed,
                settings.imbalance,
                workers=os.cpu_count() or 1,
                taxonomy=recipe.taxonomy,
                radius=settings.radius,
                supersample=settings.supersample,
                variety=settings.variety,
                intensity=recipe.data.intensity,
                channels=channels,
            )
    return Pack.open(folder)


def _split(folder: Path, recipe: Recipe, pack: Pack) -> Split:
    path = folder / "split.csv"
    if not path.exists():
        write_split(path, split_pack(pack, recipe.split), recipe.split)
    return read_split(path)


def _note(folder: Path, pack: Pack, split: Split, taxonomy: Taxonomy) -> None:
    """Write run.json, or check that the run was begun with the same pack and split."""
    path = folder / "run.json"
    now = {
        "pack": str(pack.path.resolve()),
        "pack_digest": pack.digest,
        "split_digest": split.digest,
        "taxonomy": taxonomy.name,
        "simulated": pack.simulated,
    }
    if path.exists():
        begun = read_json(path)
        if not isinstance(begun, dict) or not begun.keys() >= now.keys() - {"simulated"}:
            raise UserError(f"{path}: is damaged, as it lacks what a run is known by; give another name with --run")
        for what in ("pack", "split"):
            if begun[f"{what}_digest"] != now[f"{what}_digest"]:
                raise UserError(
                    f"{path}: the run was begun with {what} {begun[f'{what}_digest']}, now it is "
                    f"{now[f'{what}_digest']}; give another name with --run, since members of both cannot be combined"
                )
        if begun["taxonomy"] != taxonomy.name:
            raise UserError(
                f"{path}: the run was begun with taxonomy '{begun['taxonomy']}', now it is '{taxonomy.name}'; "
                "give another run name with --run"
            )
    if not path.exists() or read_json(path) != now:
        write_json(path, now)


def _partition(
    folder: Path, recipe: Recipe, pack: Pack, split: Split, taxonomy: Taxonomy
) -> dict[str, tuple[str, ...]]:
    present = pack.targets(taxonomy).present[pack.find_rows(split.part_ids("train"))]
    counts = {leaf: int(present[:, taxonomy.column[leaf]].sum()) for leaf in taxonomy.leaves}
    sides = divide(counts, len(present), recipe.partition, taxonomy)
    partition = {"majority": sides.majority, "minority": sides.minority}
    write_json(folder / PARTITION_FILE, {**partition, "counts": counts, "min_images": sides.min_images})
    return partition
