"""What the five data commands do once their arguments are read."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from hpa_hier.cli.command import print_notes, read_label_table, read_vector_source, stop_after_print
from hpa_hier.cli.flags.backend import read_backend
from hpa_hier.data.images.stacks import StackRules
from hpa_hier.data.labels.problems import LISTED
from hpa_hier.data.labels.scarcity import ImageCounts, describe_scarcity
from hpa_hier.data.labels.table import targets
from hpa_hier.data.pack.audit import Audit, audit
from hpa_hier.data.pack.build import PackReport, build_pack
from hpa_hier.data.pack.inspect import inspect
from hpa_hier.data.pack.matching import PackRequest
from hpa_hier.data.pack.pack import ImagePack, Pack
from hpa_hier.data.pack.pack_file import PACK, REJECTED
from hpa_hier.data.pack.vector_pack import VectorRequest, build_vectors
from hpa_hier.data.split import split as split_file
from hpa_hier.data.split.near_duplicates import DISTANCE, refuse_foreign_pairs, write_pairs
from hpa_hier.data.split.split import PARTS, Split
from hpa_hier.data.split.stratify import deviation, mean_of_worst_ten
from hpa_hier.errors import UserError
from hpa_hier.files.faults.leftovers import sweep
from hpa_hier.files.faults.shown import show
from hpa_hier.metrics.groups import number_units
from hpa_hier.settings.recipe import Recipe
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.taxonomy import Taxonomy

if TYPE_CHECKING:
    from hpa_hier.places.place import Place


def pack(options: argparse.Namespace) -> None:
    """Pack a folder of images, or a table of feature vectors."""
    _read_place(options)
    recipe = _recipe(options)
    request = read_request(options, recipe, options.out)
    if options.workers and not options.backend:
        raise UserError("--workers: goes with --backend; leave it out, or give --threads")
    if isinstance(request, VectorRequest):
        if options.backend:
            raise UserError("--backend: goes with --images; vectors are packed in one go, leave it out")
        _print_pack(build_vectors(request), request.taxonomy, recipe)
        return
    try:
        found = None if (request.out / PACK).exists() else inspect(request, options.threads)
        if found:
            print("\n".join(found.describe()), file=sys.stderr)
        with _open_place(options) as place:
            shared = place is not None and place.here  # this machine's cores
            threads = max(1, options.threads // place.workers) if place and shared else options.threads
            report = build_pack(request, threads, found, place)
        if found and found.looked_at < len(found.plan.samples):
            print("\n".join(f"look again: {doubt}" for doubt in report.doubts), file=sys.stderr)
        _print_pack(report, request.taxonomy, recipe)
    except KeyboardInterrupt:
        print(f"\ninterrupted; the same command goes on from the last finished shard in {options.out}", file=sys.stderr)
        raise


def read_request(options: argparse.Namespace, recipe: Recipe, out: Path) -> PackRequest | VectorRequest:
    """Return what the flags of `add_source_flags` ask to be packed into a folder, beside the recipe's settings.

    Raises:
        UserError: a flag of images is given for vectors, or the other way round; or the taxonomy cannot be read.
    """
    names = (
        ("size", "channels", "may_be_missing", "intensity", "projection", "frame", "follow_links")
        if options.vectors
        else ("fill",)
    )
    vectors = read_vector_source(options)
    given = [name.replace("_", "-") for name in names if getattr(options, name) is not None]
    if given and options.vectors:
        raise UserError(f"--{given[0]}: goes with --images; vectors have none of that, leave it out")
    if given:
        raise UserError(f"--{given[0]}: goes with --vectors; leave it out for images")
    both = {name: getattr(options, name) for name in ("labels", "on_problem", "ignore_columns")}
    taxonomy = Taxonomy.load(options.taxonomy or recipe.taxonomy)
    if vectors:
        return VectorRequest(vectors=vectors, taxonomy=taxonomy, fill=options.fill == "mean", out=out, **both)
    missing = recipe.data.may_be_missing if options.may_be_missing is None else options.may_be_missing
    return PackRequest(
        images=options.images,
        taxonomy=taxonomy,
        size=options.size or recipe.data.image_size,
        channels=recipe.data.channels,
        may_be_missing=missing,
        intensity=options.intensity or recipe.data.intensity,
        hint=options.channels,
        follow_links=bool(options.follow_links),
        stacks=StackRules(options.projection or recipe.data.projection, options.frame or recipe.data.frame),
        out=out,
        **both,
    )


def split(options: argparse.Namespace) -> None:
    """Split a pack or a label table, and show how even the parts are."""
    flags = {
        "--seed": ("split.seed", options.seed),
        "--folds": ("split.folds", options.folds),
        "--near-duplicates": ("split.near_duplicates", options.near_duplicates),
        "--fractions": ("split.fractions", f"[{options.fractions}]" if options.fractions else None),
    }
    recipe = _recipe(options, flags)
    if options.out.is_dir():
        raise UserError(f"--out {options.out}: a folder; name the file, as in {options.out / 'split.csv'}")
    split_file.refuse_foreign_split(options.out)
    if options.labels and recipe.split.near_duplicates is not None:
        raise UserError("--near-duplicates: a label table has no images to compare; split the pack, with --pack")
    if options.pack:
        opened = Pack.open(options.pack)
        nodes, kept = opened.nodes, split_file.split_pack(opened, recipe.split)
    else:
        table = read_label_table(options, Taxonomy.load(options.taxonomy or recipe.taxonomy))
        nodes = table.nodes
        kept = split_file.make_split(table.ids, split_file.annotation_matrix(nodes), table.groups, recipe.split)
    split_file.write_split(options.out, kept, recipe.split)
    print(_describe_split(nodes, kept, recipe.split.fractions))
    print(f"wrote {options.out}: {len(kept):,} samples, digest {kept.digest}")


def balance(options: argparse.Namespace) -> None:
    """Plan how often images are repeated, and show what that does to each class."""
    recipe = _recipe(options, {"--most": ("training.balance_most", options.most)})
    from hpa_hier.data.balance import tables
    from hpa_hier.data.balance.cooccurrence import Goal, plan_balance

    tables.refuse_foreign_tables(options.out)
    if options.pack:
        opened = Pack.open(options.pack)
        taxonomy = Taxonomy.load(options.taxonomy) if options.taxonomy else opened.taxonomy
        ids, present = opened.ids, opened.targets(taxonomy).present
    else:
        taxonomy = Taxonomy.load(options.taxonomy or recipe.taxonomy)
        labels = read_label_table(options, taxonomy)
        ids, present = labels.ids, targets(labels.nodes, taxonomy).present
    if options.split:
        train = set(split_file.read_split(options.split).part_ids("train"))
        rows = [row for row, sample in enumerate(ids) if sample in train]
        if not rows:
            raise UserError(f"{options.split}: its train part has none of these {len(ids):,} samples; give their split")
        ids, present = tuple(ids[row] for row in rows), present[rows]
    present = present[:, [taxonomy.column[leaf] for leaf in taxonomy.leaves]]
    settings = recipe.training
    target = options.target or round(settings.balance_target * len(ids))
    default = Goal.for_all(present, target, settings.balance_bound, settings.balance_most)
    plan = plan_balance(present, tables.parse_goal(taxonomy, options.bound, default))
    table = tables.balance_table(taxonomy.leaves, present, plan)
    print(tables.describe_plan(table, plan, taxonomy.leaves))
    tables.write_tables(options.out, ids, taxonomy.leaves, table, plan)
    print(f"wrote {options.out}: {tables.TABLE}, {tables.FACTORS}, {tables.CHART}")


def audit_pack(options: argparse.Namespace) -> None:
    """Audit a pack."""
    opened = Pack.open(options.pack)
    if not isinstance(opened, ImagePack):
        raise UserError(f"--pack {options.pack}: holds vectors, and an audit looks at images")
    taxonomy = Taxonomy.load(options.taxonomy) if options.taxonomy else opened.taxonomy
    if options.pairs:
        refuse_foreign_pairs(options.pairs)
    kept = split_file.read_split(options.split) if options.split else None
    if kept is not None and (strange := len({*opened.ids} - {*kept.ids})):
        text = f"lacks {strange:,} of the {len(opened):,} images of {options.pack}; give their split"
        raise UserError(f"{options.split}: {text}")
    found = audit(opened, taxonomy, kept, DISTANCE if options.near_duplicates is None else options.near_duplicates)
    counts = pd.Series(found.counts)
    frame = pd.DataFrame({"images": counts, "share": counts / len(opened)})
    print(frame.to_string(formatters={"images": "{:,}".format, "share": "{:.2%}".format}))
    for note in opened.facts.image_notes:
        print(f"images: {show(note)}")
    print("\n".join(_findings(found, split_given=kept is not None)))
    if options.pairs:
        write_pairs(options.pairs, found.near, dict(zip(kept.ids, kept.parts, strict=True)) if kept else {})
        print(f"wrote {options.pairs}: {len(found.near):,} pairs of images that look the same")
    print(f"checked {options.pack}: {len(opened):,} images of {opened.describe()}, digest {opened.digest}")


def simulate(options: argparse.Namespace) -> None:
    """Simulate cells."""
    _read_place(options)
    flags = {f"--{name}": (f"simulate.{name}", getattr(options, name)) for name in ("count", "seed", "imbalance")}
    recipe = _recipe(options, {**flags, "--size": ("simulate.image_size", options.size)})
    settings, out = recipe.simulate, options.out
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {out}: cannot be made ({error.strerror}); name another folder") from None
    sweep(out)
    with _open_place(options) as place:
        wrote = _write_simulated(options, recipe, place or options.workers or os.cpu_count() or 1)
    print(f"wrote {wrote}: {settings.count:,} simulated images of {settings.image_size}² pixels, seed {settings.seed}")


def _write_simulated(options: argparse.Namespace, recipe: Recipe, workers: int | Place) -> Path:
    from hpa_hier.simulate.write import write_folder, write_pack

    settings, out = recipe.simulate, options.out
    if options.form == "pack":
        if options.masks:
            raise UserError("--masks: a pack holds images only; write files (--as files), or leave --masks out")
        intensity, kept = recipe.data.drawn_intensity, recipe.data.channels
        return write_pack(out, settings, workers=workers, taxonomy=recipe.taxonomy, intensity=intensity, channels=kept)
    try:
        return write_folder(out, settings, workers=workers, depth=options.depth, masks=options.masks)
    except KeyboardInterrupt:
        again = "the same command goes on behind the last picture; without labels.csv the set is not whole"
        print(f"\ninterrupted; {again}: {out}", file=sys.stderr)
        raise


def _open_place(options: argparse.Namespace) -> AbstractContextManager[Place | None]:
    """Open the place that --backend names; nothing where it names none."""
    name = _read_place(options)
    if name is None:
        return nullcontext()
    from hpa_hier.places.place import open_place

    return open_place(name, options.workers)


def _read_place(options: argparse.Namespace) -> str | None:
    """Return the place that --backend names, if any, where it can be opened from here."""
    if name := read_backend(options.backend, places=True).place:
        from hpa_hier.places.place import check_place

        check_place(name, options.workers)
    return name


COMMANDS = {"pack": pack, "split": split, "balance": balance, "audit": audit_pack, "simulate": simulate}


def _recipe(options: argparse.Namespace, flags: Mapping[str, tuple[str, str | None]] | None = None) -> Recipe:
    """Load the recipe with flags laid over it: flag → the setting that it changes, and the text given, None if none."""
    given = {flag: (key, text) for flag, (key, text) in (flags or {}).items() if text is not None}
    changes = {f"{key}={text}": f"{flag} {text.strip('[]')}" for flag, (key, text) in given.items()}
    recipe = load_recipe(options.config, options.sets, changes)
    stop_after_print(options, recipe)
    return recipe


def _print_pack(report: PackReport, taxonomy: Taxonomy, recipe: Recipe) -> None:
    packed, rejects = report.pack, report.rejects
    for reject in rejects[:LISTED]:
        line = f"left out {reject.id} {reject.file}: {reject.reason}".replace(" :", ":")
        print(show(line), file=sys.stderr)
    if len(rejects) > LISTED:
        print(f"… and {len(rejects) - LISTED:,} more", file=sys.stderr)
    print_notes((), report.notes, report.sample_notes, packed.kind)
    for channel, count in packed.filled.items():
        print(f"channel {channel} is missing in {count:,} of {len(packed):,} images and filled with zeros there")
    if report.reused_shards and not report.reused:
        print(f"{report.reused_shards} of {len(packed.shards)} shards were finished by an earlier run")
    left_out = f"; {len(rejects):,} left out, see {packed.path / REJECTED}" if rejects else ""
    what = f"{len(packed):,} {packed.kind} of {packed.describe()}, digest {packed.digest}{left_out}"
    print(f"{'finished already' if report.reused else 'wrote'} {packed.path}: {what}")
    present = packed.targets(taxonomy).present[:, [taxonomy.column[leaf] for leaf in taxonomy.leaves]]
    images = dict(zip(taxonomy.leaves, present.sum(axis=0).tolist(), strict=True))
    counts = ImageCounts(len(packed), images, images)
    if counts.scarce:
        print(describe_scarcity(counts)[0])
        if packed.kind == "images" and recipe.training.init == "none":
            print("  few: pack and train with --config few_images, which starts from the bundled networks")


def _describe_split(nodes: Sequence[Sequence[str]], kept: Split, fractions: Sequence[float]) -> str:
    """Return each label's images in each part as a table, then the deviations beside those of a random split."""
    present = split_file.annotation_matrix(nodes)
    names = sorted({name for annotation in nodes for name in annotation})
    part = np.array([PARTS.index(name) for name in kept.parts])
    inside, test = part != PARTS.index("test"), (part == PARTS.index("test")).astype(int)
    counts = pd.DataFrame(present, columns=names).groupby(part).sum().reindex(range(len(PARTS)), fill_value=0).T
    frame = counts.set_axis(PARTS, axis=1).assign(images=counts.sum(axis=1))
    frame = frame.sort_values("images", ascending=False, kind="stable")
    frame.loc["all images"] = [*np.bincount(part, minlength=len(PARTS)), len(part)]
    lines = [frame.to_string(columns=["images", *PARTS], float_format="{:,.0f}".format)]
    if (lacking := (counts == 0).any(axis=1)).any():
        lines.append(f"not in every part, because images or groups are too few: {', '.join(counts.index[lacking])}")
    units = number_units(kept.groups)
    if any(kept.groups):
        lines.append(f"{int(units.max()) + 1:,} groups, each in one part")
    shares = np.asarray(fractions[:-1]) / sum(fractions[:-1])
    rng = np.random.default_rng(0)
    drawn = [rng.choice(len(shares), size=int(units.max()) + 1, p=shares)[units][inside] for _ in range(5)]
    stratified, *random = (
        mean_of_worst_ten(deviation(present[inside], one, len(shares))) for one in (part[inside], *drawn)
    )
    spread = mean_of_worst_ten(deviation(present, test, 2))
    lines += [
        "mean deviation of the ten worst labels",
        f"  train and calibration, stratified: {stratified:.1%} (random splits: {np.mean(random):.1%})",
        f"  test, drawn at random: {spread:.1%}, as a new sample's would be",
    ]
    return "\n".join(lines)


def _findings(found: Audit, *, split_given: bool) -> list[str]:
    lines = [f"{file}: its bytes have changed since it was packed; pack the images again" for file in found.damaged]
    lines += [f"channel {c} missing, filled with zeros: {_some(ids)}" for c, ids in found.filled.items()]
    lines += [f"{flaw}: {_some(ids)}" for flaw, ids in found.flaws.items()]
    if found.dark:
        lines.append(
            f"nearly black, as 12 bits stored in 16 are; pack with --intensity percentile: {_some(found.dark)}"
        )
    lines += [f"identical images: {', '.join(ids)}" for ids in found.duplicates[:LISTED]]
    for pair in found.near[:LISTED]:
        likeness = f"similarity {pair.likeness:.2f}{', rotated or flipped' if pair.turn else ''}"
        lines.append(f"look the same: {pair.id}, {pair.other} ({pair.bits} bits apart, {likeness})")
    if len(found.near) > LISTED:
        lines.append(f"… and {len(found.near) - LISTED:,} more pairs of images that look the same; --pairs lists all")
    if split_given:
        lines.append(f"identical images in different parts of the split: {len(found.across_parts)}")
        lines.append(f"images that look the same in different parts of the split: {len(found.near_across_parts)} pairs")
    return lines or ["nothing stands out"]


def _some(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - LISTED:,} more" if len(ids) > LISTED else ""
    return f"{len(ids):,} images: {', '.join(ids[:LISTED])}{more}"
