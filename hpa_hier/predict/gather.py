"""Run folders as the ensemble sees them: which run, which members, their records and held-out scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hpa_hier.data.labels.partition import virtual_node
from hpa_hier.ensemble.ensemble import Ensemble
from hpa_hier.ensemble.ensemble_file import FILE
from hpa_hier.ensemble.scores.scores import Scores
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_json, sha256
from hpa_hier.files.shell import Flag, command
from hpa_hier.files.shipped import pretrained_folder
from hpa_hier.members.scores_file import load_scores
from hpa_hier.runs.manifest import MANIFEST, SCORES, TAXONOMY, Manifest, check_files, read_manifest
from hpa_hier.settings.recipe import Recipe
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.taxonomy import Taxonomy

if TYPE_CHECKING:
    from hpa_hier.data.pack.pack import Pack


PRETRAINED = "pretrained"  # name of the run that comes with the package


@dataclass(frozen=True)
class Record:
    """A finished member: its folder, its manifest, and the SHA-256 of that file."""

    folder: Path
    manifest: Manifest
    digest: str

    @property
    def name(self) -> str:
        """The member's name."""
        return self.folder.name


@dataclass(frozen=True)
class Gathered:
    """Members of one run on one part of its split, checked to belong together.

    Attributes:
        records: by name.
        scores: in the same order, nodes called as the current taxonomy calls them.
        renamed: for each member, node names that the taxonomy has changed since training, old to new.
    """

    records: tuple[Record, ...]
    scores: tuple[Scores, ...]
    renamed: tuple[dict[str, str], ...]


def named_run(name: str, artifacts: Path) -> Path:
    """Find a run by its name under `artifacts`, or by its path.

    Raises:
        UserError: there is none; the message lists those there are.
    """
    for folder in (artifacts / name, Path(name)):
        if folder.is_dir():
            return folder
    if name == PRETRAINED:
        return pretrained_run()
    there = ", ".join(sorted(path.name for path in artifacts.glob("*") if (path / "members").is_dir())) or "none yet"
    raise UserError(f"{name}: no such run under {artifacts} and no such folder; runs there: {there}")


def newest_ensemble(artifacts: Path) -> Path:
    """Find the run whose ensemble was fitted last, but for the one that comes with the package.

    Raises:
        UserError: no run under `artifacts` has an ensemble.
    """
    fitted = fitted_ensembles(artifacts)
    if not fitted:
        raise UserError(
            f"{artifacts}: no run here has a fitted ensemble; train members (python -m hpa_hier.train --all), fit one "
            "(python -m hpa_hier.ensemble fit), or name a run with --run"
        )
    return max(fitted)[1].parents[1]


def fitted_ensembles(artifacts: Path) -> list[tuple[int, Path]]:
    """Return (time in ns, file) of the ensembles fitted under `artifacts`; the one that comes along is none of them."""
    files = [path for path in artifacts.glob(f"*/ensemble/{FILE}") if path.parents[1].name != PRETRAINED]
    return [(path.stat().st_mtime_ns, path) for path in files]


def newest_or_shipped(artifacts: Path) -> tuple[Path, str]:
    """Find the run whose ensemble was fitted last, else the one that comes with the package; and say which it is."""
    if fitted_ensembles(artifacts) or pretrained_folder() is None:
        folder = newest_ensemble(artifacts)
        return folder, f"using the ensemble fitted last: {folder}"
    folder = pretrained_run()
    return (
        folder,
        f"no run is finished: using {folder}, which learned from simulated cells only; do not rely on its answers",
    )


def pretrained_run() -> Path:
    """Find the ensemble that comes with the package.

    Raises:
        UserError: it was taken out.
    """
    folder = pretrained_folder()
    if folder is None:
        raise UserError(
            "no ensemble comes with this installation; name a run with --run, or make one: benchmarks/pretrained.py"
        )
    return folder


def wanted_members(run: Path, recipe: Recipe) -> tuple[str, ...]:
    """Return the members to combine: those the recipe names, else all finished ones of the recipe, else of the run."""
    if recipe.ensemble.members:
        return recipe.ensemble.members
    finished = sorted(path.parent.name for path in (run / "members").glob("*/member.json"))
    of_recipe = {member.name for member in recipe.members}
    return tuple(name for name in finished if name in of_recipe) or tuple(finished)


def read_records(run: Path, names: Sequence[str]) -> tuple[Record, ...]:
    """Read the records of finished members.

    Raises:
        UserError: some are not trained; the message says how to train them or to leave them out.
    """
    if not names:
        raise UserError(f"{run}: no finished member; train some: {command('train', **_recipe_flags(run), all=True)}")
    absent = [name for name in names if not (run / "members" / name / "member.json").is_file()]
    if absent:
        raise UserError(
            f"{run}: {len(absent)} of {len(names)} members are not trained: {', '.join(absent)}; train them "
            f"({command('train', **_recipe_flags(run), member=absent[0])}) or leave them out of ensemble.members "
            "or ensemble.baseline"
        )
    folders = [run / "members" / name for name in names]
    return tuple(Record(folder, read_manifest(folder), sha256(folder / MANIFEST)) for folder in folders)


def gather(
    run: Path, names: Sequence[str], taxonomy: Taxonomy, part: str, file_of: Callable[[Record], Path] | None = None
) -> Gathered:
    """Read members' scores of one part, and check that they may be combined.

    Args:
        run: the run's folder.
        names: of the members.
        taxonomy: the label tree.
        part: calibration or test.
        file_of: where a member's scores are; None: where training left them.

    Raises:
        UserError: a member is not trained, is stale under `taxonomy`, or was trained on another pack or split.
    """
    records = read_records(run, names)
    check_fresh(records, taxonomy, run)
    check_together(records, run)
    for record in records:
        check_files(record.folder, record.manifest, (SCORES, TAXONOMY))
    renamed = tuple(_renamed(record, taxonomy) for record in records)
    scores = tuple(
        replace(
            load_scores(file_of(record) if file_of else record.folder / SCORES, record.name, part).renamed(names),
            given=_given(record, taxonomy),
        )
        for record, names in zip(records, renamed, strict=True)
    )
    return Gathered(records, scores, renamed)


def check_fresh(records: Sequence[Record], taxonomy: Taxonomy, run: Path) -> None:
    """Refuse members whose columns mean something else under the current taxonomy.

    Raises:
        UserError: with the commands that retrain just those.
    """
    from hpa_hier.taxonomy.changes import stale_nodes

    stale = []
    for record in records:
        changed = stale_nodes(_trained_taxonomy(record), taxonomy, record.manifest.nodes)
        if changed:
            stale.append((record, changed))
    if stale:
        what = "; ".join(f"'{record.name}' ({', '.join(changed[:3])})" for record, changed in stale)
        commands = "\n".join(dict.fromkeys(retrain_command(run, record.manifest, taxonomy) for record, _ in stale))
        raise UserError(
            f"{taxonomy.source} has changed what these members of {run} answer for: {what}; run\n{commands}"
        )


def check_unchanged(run: Path, ensemble: Ensemble) -> None:
    """Refuse an ensemble whose members were trained again since it was fitted.

    Raises:
        UserError: naming the member.
    """
    if ensemble.about.get("score_kind"):
        raise UserError(
            f"{run}: its ensemble was fitted on other models' score tables, so it has no members to run; predict with "
            "--scores NAME=FILE.csv …"
        )
    records = read_records(run, [member.name for member in ensemble.members])
    for member, record in zip(ensemble.members, records, strict=True):
        if member.digest and member.digest != record.digest:
            raise UserError(
                f"{record.folder}: was trained again after the ensemble was fitted; fit it again: "
                f"{command('ensemble', 'fit', run=run)}"
            )


def pack_of(run: Path, records: Sequence[Record], recipe: Recipe) -> Pack:
    """Open the pack that a run's members were trained on.

    Raises:
        UserError: it is gone, or another one is in its place.
    """
    from hpa_hier.data.pack.pack import Pack  # imports an image library

    kept = read_json(run / "run.json") if (run / "run.json").is_file() else {}
    path = recipe.data.pack if recipe.data.pack and Path(recipe.data.pack).is_dir() else kept.get("pack")
    if not path:
        raise UserError(
            f"{run / 'run.json'}: names no pack; for an image of yours add --images DIR, else name the pack that its "
            "members were trained on: --set data.pack=DIR"
        )
    pack = Pack.open(Path(path))
    wanted = records[0].manifest.pack_digest
    if pack.digest != wanted:
        raise UserError(
            f"{path}: is another pack ({pack.digest}) than the members of {run} were trained on ({wanted}); "
            "put that one back, or train again with --restart"
        )
    return pack


def check_together(records: Sequence[Record], run: Path) -> None:
    """Refuse members that were not trained on the same images, parts and kind of input."""
    first = records[0]
    for key in ("split_digest", "pack_digest", "kind", "channels", "image_size", "intensity", "folds"):
        for record in records:
            one, other = getattr(first.manifest, key), getattr(record.manifest, key)
            if one != other:
                raise UserError(
                    f"{run}: members '{first.name}' and '{record.name}' differ in {key} ({one}, {other}), so they "
                    "cannot be combined; leave one out of ensemble.members, or train it again with --restart"
                )


def retrain_command(run: Path, manifest: Manifest, taxonomy: Taxonomy) -> str:
    """Return the command that trains a finished member again, under its run's recipe and this taxonomy."""
    config = run / "config.yaml"
    recipe = load_recipe(str(config)) if config.is_file() else None
    flags: dict[str, Flag] = {**manifest.selector, "seed": manifest.seed or None}
    if manifest.images == "own" or (recipe and manifest.name in [member.name for member in recipe.members]):
        flags = {"member": manifest.name}  # no flag asks for own images, but the recipe's member does
    if recipe and Path(recipe.taxonomy).resolve() != Path(taxonomy.source).resolve():
        flags["set"] = f"taxonomy={taxonomy.source}"
    return command("train", **_recipe_flags(run), **flags, restart=True)


def _recipe_flags(run: Path) -> dict[str, Flag]:
    """Return the flags of `train` that name a run's own recipe."""
    if (run / "config.yaml").is_file():
        return {"config": run / "config.yaml"}
    elsewhere = None if run.parent == Path("artifacts") else f"artifacts={run.parent}"
    return {"run": run.name, "set": elsewhere}  # train takes names alone


def _renamed(record: Record, taxonomy: Taxonomy) -> dict[str, str]:
    from hpa_hier.taxonomy.changes import renamed_nodes

    return dict(renamed_nodes(_trained_taxonomy(record), taxonomy, record.manifest.nodes))


def _given(record: Record, taxonomy: Taxonomy) -> str:
    """Return the node that all images of a member's training carried, as it is called now; "" where they were all."""
    from hpa_hier.taxonomy.changes import renamed_nodes

    manifest = record.manifest
    if manifest.images != "own":
        return ""
    (kind, value), *_ = manifest.selector.items()
    node = virtual_node(value) if kind == "partition" else value
    trained = _trained_taxonomy(record)
    return renamed_nodes(trained, taxonomy, (node,)).get(node, node) if node in trained.column else node


def _trained_taxonomy(record: Record) -> Taxonomy:
    return Taxonomy.load(record.folder / TAXONOMY)
