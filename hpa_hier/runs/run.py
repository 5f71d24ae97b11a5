"""A run: one pack, one split and one taxonomy, and the members and the ensemble that were made of them."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from hpa_hier.data.labels.partition import PARTITION_FILE, Partition, add_partition_nodes, virtual_node
from hpa_hier.data.labels.scarcity import ImageCounts, describe_scarcity
from hpa_hier.data.labels.table import Targets
from hpa_hier.data.pack.pack import ImagePack, Pack, VectorPack
from hpa_hier.data.split.split import Split, read_split
from hpa_hier.ensemble import ensemble_file
from hpa_hier.ensemble.ensemble import Ensemble
from hpa_hier.ensemble.scores.scores import Truth
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_model, sha256
from hpa_hier.files.lock import settle
from hpa_hier.files.remote.path import names_folder, to_path
from hpa_hier.files.shell import Flag, command
from hpa_hier.files.shipped import find_shipped
from hpa_hier.runs.evaluation import Evaluation, read_evaluation
from hpa_hier.runs.find import find_run
from hpa_hier.runs.manifest import MANIFEST
from hpa_hier.runs.members import MemberRecord, check_together
from hpa_hier.runs.origin import Origin, find_origin
from hpa_hier.runs.roster import Roster
from hpa_hier.settings.recipe import FEW_FOLDS, EnsembleSettings, Recipe
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.taxonomy import Taxonomy
from hpa_hier.taxonomy.changes import renamed_nodes
from hpa_hier.taxonomy.load import LEAVES

RUN_FILE, CONFIG, SPLIT_FILE, TAXONOMY = "run.json", "config.yaml", "split.csv", "taxonomy.yaml"


class RunFacts(BaseModel):
    """What run.json holds: what the run was begun with."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    pack: str  # folder
    pack_digest: str
    split_digest: str
    taxonomy: str  # name of the label tree
    simulated: bool = False
    images: int = 0  # in the pack
    leaf_images: dict[str, tuple[int, int, int]] = {}  # leaf → images of the train, calibration and test part
    origin: Origin | None = None  # of an exported run: what its answers rest on; None: its members and pack tell
    prior: dict[str, float] | None = None  # of an exported run: how often each node occurs among what it answers for
    prior_source: str = ""  # where that is known from


@dataclass(frozen=True)
class Part:
    """Samples of one part of the split with a member's targets."""

    rows: np.ndarray  # (B,) int64 rows of the pack
    present: np.ndarray  # (B, n) bool, columns as the member's nodes
    known: np.ndarray  # (B, n) bool

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Run:
    """A run's folder under a recipe; what the folder holds is read when it is asked for, once."""

    folder: Path
    recipe: Recipe
    _records: dict[str, MemberRecord] = field(default_factory=dict, init=False, repr=False, compare=False)
    _taxonomies: dict[str, Taxonomy] = field(default_factory=dict, init=False, repr=False, compare=False)  # by text

    @classmethod
    def open(
        cls,
        run: str | Path = "",
        config: str | None = None,
        sets: Sequence[str] = (),
        flags: Mapping[str, str] | None = None,
    ) -> Run:
        """Open a run.

        Args:
            run: its name under artifacts/, its folder, or ``pretrained`` for the bundled one; "" for the recipe's.
            config: recipe to use instead of the one that is kept with the run.
            sets: changes to the recipe, such as ``ensemble.aggregate=mean``.
            flags: further changes, each with the flag that it was typed as.

        Raises:
            UserError: there is no such run; the message lists those there are.
        """
        recipe = load_recipe(config, sets, flags)
        folder = find_run(run or recipe.run, Path(recipe.artifacts))
        changes = (sets, flags) if config is None else ((), None)  # those are of the recipe that is used
        kept = load_recipe(str(folder / CONFIG), *changes) if (folder / CONFIG).is_file() else None
        chosen = "taxonomy" in recipe.model_fields_set  # by the file named, or by a change
        recipe = kept if kept and config is None else recipe
        if not chosen:
            recipe = recipe.model_copy(update={"taxonomy": _find_taxonomy(folder, kept or recipe)})
        return cls(folder, recipe)

    @property
    def ensemble_folder(self) -> Path:
        """Where the fitted ensemble and its evaluation are kept."""
        return self.folder / "ensemble"

    def member_folder(self, name: str) -> Path:
        """Return where a member is kept.

        Raises:
            UserError: the name, which may be a file's, would lead elsewhere.
        """
        if name in ("", ".", "..") or any(sign in name for sign in "/\\\0"):
            raise UserError(f"{self.folder}: {name!r} is no name of a member, which is a folder of members/")
        return self.folder / "members" / name

    @cached_property
    def facts(self) -> RunFacts | None:
        """What the run was begun with; None where no training has begun here, as in the bundled run."""
        path = self.folder / RUN_FILE
        return read_model(path, RunFacts, "give another name with --run") if path.is_file() else None

    @cached_property
    def origin(self) -> Origin:
        """What the fitted ensemble's answers rest on: simulated cells or real images."""
        about, facts = self.ensemble.about, self.facts
        if facts and facts.origin:
            return facts.origin
        names = [] if about.get("score_kind") else [member.name for member in self.ensemble.members]
        manifests = [(self.member_folder(name), self._record(name).manifest) for name in names]
        return find_origin(about, manifests, facts.simulated if facts else None, facts.images if facts else 0)

    @cached_property
    def recipe_taxonomy(self) -> Taxonomy:
        """The label tree as the recipe's file has it now."""
        taxonomy = Taxonomy.load(self.recipe.taxonomy)
        self._taxonomies[taxonomy.text] = taxonomy  # members that were trained with it share it
        return taxonomy

    @cached_property
    def fitted_taxonomy(self) -> Taxonomy:
        """The label tree that the ensemble was fitted under: its copy, else the run's, else the recipe's."""
        copies = (self.ensemble_folder / TAXONOMY, self.folder / TAXONOMY)
        path = next((path for path in copies if path.is_file()), None)
        return self._read_taxonomy(path) if path else self.recipe_taxonomy

    def _read_taxonomy(self, path: Path) -> Taxonomy:
        """Read a taxonomy; one of which the text was read already is not parsed again."""
        text = path.read_text(encoding="utf-8", errors="surrogateescape") if path.is_file() else ""
        if text not in self._taxonomies:
            self._taxonomies[text] = Taxonomy.load(path)
        return self._taxonomies[text]

    @cached_property
    def taxonomy(self) -> Taxonomy:
        """The label tree, with the partition's virtual nodes where the recipe asks for them."""
        plain = self.recipe_taxonomy
        there = any(virtual_node(side) in plain.virtual for side in ("majority", "minority"))  # in a run's own copy
        if there or not self.recipe.partition.virtual_nodes:
            return plain
        return add_partition_nodes(plain, self.partition)

    @cached_property
    def sides(self) -> Partition | None:
        """The majority and the minority leaves, or why there are none; None where nothing was trained yet."""
        path = self.folder / PARTITION_FILE
        return Partition.read(path) if path.is_file() else None

    @property
    def partition(self) -> dict[str, tuple[str, ...]]:
        """Leaves of `majority` and `minority`.

        Raises:
            UserError: nothing was trained in the run yet.
        """
        if self.sides is None:
            path = self.folder / PARTITION_FILE
            raise UserError(f"{path}: no partition yet, which partition.virtual_nodes needs; train members first")
        return {"majority": self.sides.majority, "minority": self.sides.minority}

    @property
    def partition_left_out(self) -> str:
        """Why the run has no partition; "" where it has one, or nothing was trained yet."""
        return self.sides.left_out if self.sides else ""

    @cached_property
    def roster(self) -> Roster:
        """The members that the run trains and combines, and why others are not among them."""
        leaves = self.facts.leaf_images if self.facts else {}
        counts = {leaf: sum(parts) for leaf, parts in leaves.items()}
        return Roster.choose(self.recipe, self.recipe_taxonomy, self.sides, counts or None)

    @cached_property
    def image_counts(self) -> ImageCounts | None:
        """Images of each class in the run's split; None for a run that was begun before they were kept."""
        if not (self.facts and self.facts.leaf_images):
            return None
        return ImageCounts.from_parts(self.facts.leaf_images, self.facts.images, self.split.fold_count)

    @cached_property
    def scarcity(self) -> tuple[str, ...]:
        """Up to three lines on how few images there are, what that means, and what helps; () where they are many."""
        if not self.image_counts:
            return ()
        training, remedies = self.recipe.training, []
        started = training.init == "pretrained" or training.weights or training.pretrained
        if not training.takes_vectors and not started:
            remedies.append("--config few_images (bundled weights, folds, few networks)")
        elif not self.split.fold_count:
            remedies.append(f"folds (--folds {FEW_FOLDS})")
        if max(self.image_counts.learning.values()) < 2 and not training.takes_vectors:
            remedies.insert(0, "the bundled ensemble untrained (ensemble predict --run pretrained)")
        return tuple(describe_scarcity(self.image_counts, remedies))

    @cached_property
    def pack(self) -> ImagePack | VectorPack:
        """The pack: the recipe's where it is there, else the one that the run was begun with."""
        return Pack.open(self.pack_place)

    @property
    def pack_place(self) -> Path:
        """Where the pack is, or was; an address of a bucket or web server too."""
        named = self.recipe.data.pack
        inside = self.folder / "pack"  # of an adapted run, wherever it was moved
        path = named if named and names_folder(named) else inside if inside.is_dir() else self.facts and self.facts.pack
        if not path:
            raise UserError(
                f"{self.folder / RUN_FILE}: names no pack; for an image of yours add --images DIR, else name the pack "
                "that its members were trained on: --set data.pack=DIR"
            )
        return to_path(path)

    @cached_property
    def split(self) -> Split:
        """The split of the pack."""
        return read_split(self.folder / SPLIT_FILE)

    def with_split(self, split: Split) -> Run:
        """Return the same run under another split, such as that of one fold."""
        other = copy.copy(self)  # what was read already is not read again
        other.__dict__["split"] = split
        return other

    def with_evaluation(self, evaluation: Evaluation, pack: Pack | None) -> Run:
        """Return the same run with answers for other samples, which are in `pack`; None: they are in none."""
        other = copy.copy(self)
        other.__dict__["evaluation"] = evaluation
        if pack is not None:
            other.__dict__["pack"] = pack
        return other

    def with_fitted(self, settings: EnsembleSettings) -> Run:
        """Return the same run with the taxonomy of its ensemble, and the settings that this one was fitted with."""
        other = copy.copy(self)
        for name in ("roster", "targets"):  # follow from these
            other.__dict__.pop(name, None)
        recipe = self.recipe.model_copy(update={"ensemble": settings})
        other.__dict__.update(recipe=recipe, taxonomy=self.ensemble.taxonomy)
        return other

    def with_known(self, split: Split, facts: RunFacts, sides: Partition) -> Run:
        """Return the same run with what its folder is going to hold, before that is written, and its members listed."""
        other = copy.copy(self)
        other.__dict__.update(split=split, facts=facts, sides=sides)
        other.__dict__["recipe"] = other.roster.recipe
        return other

    @cached_property
    def groups(self) -> dict[str, str]:
        """Antibody or other group of each sample, by id; those of the split also join duplicates."""
        groups = dict(zip(self.pack.ids, self.pack.groups, strict=True))
        if (self.folder / SPLIT_FILE).is_file():
            groups |= dict(zip(self.split.ids, self.split.groups, strict=True))
        return groups

    @cached_property
    def targets(self) -> Targets:
        """The pack's targets, columns as the taxonomy's nodes."""
        return self.pack.targets(self.taxonomy, self.recipe.data.below_annotation)

    def truth(self, taxonomy: Taxonomy) -> Truth:
        """Return the pack's targets by sample id, columns as the nodes of `taxonomy`."""
        same = taxonomy is self.taxonomy
        targets = self.targets if same else self.pack.targets(taxonomy, self.recipe.data.below_annotation)
        return Truth(self.pack.ids, targets.present, targets.known)

    def part(self, name: str, nodes: tuple[str, ...], carry: tuple[str, ...] = ()) -> Part:
        """Return a part (train, calibration or test) with its targets for `nodes`.

        Args:
            name: of the part.
            nodes: columns of the targets.
            carry: where given, only the samples that carry one of these nodes.
        """
        rows, targets = self.pack.find_rows(self.split.part_ids(name)), self.targets
        columns, carried = ([self.taxonomy.column[node] for node in names] for names in (nodes, carry))
        if carry:
            rows = rows[targets.present[rows][:, carried].any(axis=1)]
        return Part(rows, targets.present[rows][:, columns], targets.known[rows][:, columns])

    @cached_property
    def members(self) -> tuple[MemberRecord, ...]:
        """All finished members, by name."""
        return tuple(map(self._record, self.member_names))

    @property
    def member_names(self) -> tuple[str, ...]:
        """The names of all finished members, in order."""
        return tuple(sorted(path.parent.name for path in (self.folder / "members").glob(f"*/{MANIFEST}")))

    def select_members(self, names: Sequence[str]) -> tuple[MemberRecord, ...]:
        """Return finished members, in this order.

        Raises:
            UserError: some are not trained; the message says how to train them or to leave them out.
        """
        if not names:
            train_all = command("train", all=True, **self.train_flags())
            raise UserError(f"{self.folder}: no finished member; train some: {train_all}")
        absent = [name for name in names if not (self.member_folder(name) / MANIFEST).is_file()]
        if absent:
            raise UserError(
                f"{self.folder}: {len(absent)} of {len(names)} members are not trained: {', '.join(absent)}; train "
                f"them ({command('train', member=absent[0], **self.train_flags())}) or leave them out of "
                "ensemble.members or ensemble.baseline"
            )
        return tuple(map(self._record, names))

    def _record(self, name: str) -> MemberRecord:
        if name not in self._records:
            self._records[name] = MemberRecord.read(self.member_folder(name), self._read_taxonomy)
        return self._records[name]

    @cached_property
    def ensemble(self) -> Ensemble:
        """The fitted ensemble.

        Raises:
            UserError: none was fitted, or its files do not belong together.
        """
        self.ensemble_digest  # noqa: B018 - of the file before it is read
        return ensemble_file.load(self.ensemble_folder, read_taxonomy=self._read_taxonomy)

    @cached_property
    def ensemble_digest(self) -> str:
        """The SHA-256 of ensemble.json as it is, or was when it was read; "" where there is none."""
        settle(self.ensemble_folder)
        path = self.ensemble_folder / ensemble_file.FILE
        return sha256(path) if path.is_file() else ""

    @cached_property
    def baseline(self) -> Ensemble | None:
        """The fitted flat baseline; None where the recipe named none."""
        folder, file = self.ensemble_folder, ensemble_file.FLAT_FILE
        return ensemble_file.load(folder, file, self._read_taxonomy) if (folder / file).is_file() else None

    @cached_property
    def evaluation(self) -> Evaluation:
        """What the ensemble and its flat baseline answered on the test part.

        Raises:
            UserError: the ensemble was not evaluated, or the files do not belong together.
        """
        there = (self.folder / SPLIT_FILE).is_file()
        groups = dict(zip(self.split.ids, self.split.groups, strict=True)) if there else {}
        return read_evaluation(self.ensemble_folder, self.fitted_taxonomy, groups)

    def check_fresh(self, records: Sequence[MemberRecord], taxonomy: Taxonomy) -> None:
        """Refuse members whose columns mean something else under `taxonomy`.

        Raises:
            UserError: with the commands that train just those again.
        """
        stale = [(record, nodes) for record in records if (nodes := record.stale(taxonomy))]
        if stale:
            what = "; ".join(f"'{record.name}' ({', '.join(nodes[:3])})" for record, nodes in stale)
            commands = dict.fromkeys(self.train_command(record, taxonomy) for record, _ in stale)
            why = f"{taxonomy.source} has changed what these members of {self.folder} answer for"
            raise UserError(f"{why}: {what}; run", *commands)

    def check_complete(self, records: Sequence[MemberRecord], taxonomy: Taxonomy) -> None:
        """Refuse members of which none answers for some leaf of `taxonomy`, as after one was added to it.

        Raises:
            UserError: with the command that trains one that does.
        """
        lost, able = self.find_lost_leaves(records, taxonomy)
        if lost:
            leaf_member = command("train", level=LEAVES, **self.train_flags(taxonomy))
            train = self.train_command(able, taxonomy) if able else leaf_member
            others = f" and {len(lost) - 1} others" if len(lost) > 1 else ""
            where = "" if able else ", and name it in ensemble.members"
            raise UserError(f"no member answers for the leaf '{lost[0]}'{others}; train one that does{where}:", train)

    def find_lost_leaves(
        self, records: Sequence[MemberRecord], taxonomy: Taxonomy
    ) -> tuple[list[str], MemberRecord | None]:
        """Return the leaves that no member answers for, and the first member that would if it were trained again."""
        renamed = [record.renamed(taxonomy) for record in records]
        answered = {
            names.get(node, node)
            for names, record in zip(renamed, records, strict=True)
            for node in record.manifest.nodes
        }
        lost = [leaf for leaf in taxonomy.leaves if leaf not in answered]
        able = (record for record in records if {*lost} <= {*record.lacking(taxonomy)})
        return lost, next(able, None)

    def check_unchanged(self, ensemble: Ensemble) -> tuple[MemberRecord, ...]:
        """Return the members of an ensemble, which are those that it was fitted on.

        Raises:
            UserError: a member was trained again since, or it was fitted on score tables.
        """
        if ensemble.about.get("score_kind"):
            raise UserError(
                f"{self.folder}: its ensemble was fitted on other models' score tables, so it has no members to run; "
                "predict with --scores NAME=FILE.csv …"
            )
        records = self.select_members([member.name for member in ensemble.members])
        for member, record in zip(ensemble.members, records, strict=True):
            if member.digest and member.digest != record.digest:
                fit = command("ensemble", "fit", run=self.folder)
                raise UserError(
                    f"{record.folder}: was trained again after the ensemble was fitted; fit it again: {fit}"
                )
        return records

    def check_pack(self, records: Sequence[MemberRecord]) -> None:
        """Refuse members that do not belong together, and a pack that they were not trained on."""
        check_together(records, self.folder)
        wanted = records[0].manifest.pack_digest
        if self.pack.digest != wanted:
            raise UserError(
                f"{self.pack.path}: is another pack ({self.pack.digest}) than the members of {self.folder} were "
                f"trained on ({wanted}); put that one back, or train again with --restart"
            )

    def train_command(self, record: MemberRecord, taxonomy: Taxonomy) -> str:
        """Return the command that trains a finished member again, under the run's own recipe and this taxonomy."""
        manifest = record.manifest
        listed = [member.name for member in self._kept.listed] if self._kept else []
        flags: dict[str, Flag] = {**manifest.selector, "seed": manifest.seed or None}
        if "group" in flags and (group := str(flags["group"])) in record.taxonomy.nodes:
            flags["group"] = renamed_nodes(record.taxonomy, taxonomy, [group]).get(group, group)
        if manifest.images == "own" or record.name in listed:
            flags = {"member": record.name}  # no flag asks for own images, but the recipe's member does
        return command("train", **flags, **self.train_flags(taxonomy), restart=True)

    def train_flags(self, taxonomy: Taxonomy | None = None) -> dict[str, Flag]:
        """Return the flags of `train` that name this run, and its taxonomy where its recipe keeps another one."""
        wanted = (taxonomy or self.recipe_taxonomy).source
        same = _same_file((self._kept or Recipe()).taxonomy, wanted)
        return {"run": self.folder, "taxonomy": None if same else wanted}

    @cached_property
    def _kept(self) -> Recipe | None:
        """The recipe that the run's folder holds; None where it holds none."""
        return load_recipe(str(self.folder / CONFIG)) if (self.folder / CONFIG).is_file() else None


def _same_file(one: str, other: str) -> bool:
    try:
        return find_shipped(one, "hierarchy").resolve() == find_shipped(other, "hierarchy").resolve()
    except UserError:  # one of them is gone
        return False


def _find_taxonomy(folder: Path, recipe: Recipe) -> str:
    """Return the file of a run's taxonomy: the one its recipe names, else, as in a run that was moved, its copy."""
    copies = [path for path in (folder / TAXONOMY, folder / "ensemble" / TAXONOMY) if path.is_file()]
    there = (folder / CONFIG).is_file() and Path(recipe.taxonomy).is_file()
    return recipe.taxonomy if there or not copies else str(copies[0])
