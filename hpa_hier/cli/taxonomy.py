"""Command: check a taxonomy file and draw it, write one from a label table, list and copy those that are shipped."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hpa_hier.cli.command import (
    Parser,
    add_images_of_labels,
    add_on_problem,
    one_thread_a_process,
    path,
    read_label_table,
)

if TYPE_CHECKING:
    from hpa_hier.data.labels.classes import Classes
    from hpa_hier.taxonomy.draw import Counts, Style
    from hpa_hier.taxonomy.tree import Taxonomy

_EPILOG = """examples:
  %(prog)s check hpa28 --labels my_labels.csv
  %(prog)s new --labels my_labels.csv --out my_tree.yaml
  %(prog)s copy hpa28 --out my_tree.yaml"""
_NEW = """Write a flat taxonomy from the classes of a label table, to be grouped by indenting it.

Any table that is read elsewhere will do: cells of labels, 0/1 columns, a row a label, numbers, names. What the file
says can be edited; it is never overwritten."""
_COPY = "Copy a shipped taxonomy to where it can be edited; nothing is overwritten."


def main(arguments: Sequence[str]) -> int:
    """Run one of the sub-commands; 0 when the file is sound, whatever became stale."""
    options = parser().parse_args(arguments)
    one_thread_a_process()
    return {"check": _check, "new": _write_new, "copy": _copy, "list": _list}[options.command](options)


def parser() -> Parser:
    """Build the parser of the sub-commands."""
    whole = Parser("taxonomy", "Check, draw, write and copy taxonomies.", epilog=_EPILOG)
    summary = "Check a taxonomy file and draw its tree; with labels, also the number of images at each node."
    check = whole.add_command("check", summary)
    check.add_argument("file", metavar="FILE", help="the taxonomy, such as hierarchy/hpa28.yaml")
    table = "a label table, or folders, with --images: count its images at each node"
    check.add_argument("--labels", metavar="CSV", type=path, help=table)
    add_images_of_labels(check)
    add_on_problem(check)
    check.add_argument("--run", metavar="NAME|DIR", help="list this run's members that are stale under this file")
    new = whole.add_command("new", _NEW)
    new.add_argument(
        "--labels", metavar="CSV", type=path, required=True, help="the label table, or folders, with --images"
    )
    add_images_of_labels(new)
    new.add_argument("--out", metavar="FILE", type=path, help="file to write (default: NAME.yaml in this folder)")
    new.add_argument("--name", type=_name, help="of the taxonomy (default: the table's)")
    add_on_problem(new)
    copy = whole.add_command("copy", _COPY)
    copy.add_argument("name", metavar="NAME", help="of the taxonomy, such as hpa28")
    copy.add_argument("--out", metavar="FILE", type=path, help="file to write (default: NAME.yaml in this folder)")
    whole.add_command("list", "List the shipped taxonomies.")
    return whole


def _name(text: str) -> str:
    """Read a taxonomy's name."""
    if text != _make_name(text):
        raise argparse.ArgumentTypeError(
            f"must be of letters, digits, dots and dashes, as {_make_name(text)}, got {text!r}"
        )
    return text


def _check(options: argparse.Namespace) -> int:
    from hpa_hier.taxonomy.draw import draw, level_lines
    from hpa_hier.taxonomy.tree import Taxonomy

    taxonomy = Taxonomy.load(options.file)
    counts = _count_images(taxonomy, options) if options.labels else None
    style = _choose_style()
    if taxonomy.description:
        print(f"{taxonomy.description}\n")
    print(draw(taxonomy, counts, style))
    if any(node.open for node in taxonomy.entries.values()):
        print("\nopen: may be annotated without any node below it")
    print(f"\nlevels, top to bottom\n{level_lines(taxonomy, style)}\n")
    if taxonomy.exclusive:
        print("exclusive: each sample has exactly one leaf\n")
    if counts:
        print(_describe_counts(taxonomy, counts))
    if options.run:
        print(_describe_members(taxonomy, options.run))
    nodes, leaves = len(taxonomy.nodes), len(taxonomy.leaves)
    print(f"{taxonomy.source} is sound: {nodes} nodes, {leaves} leaves, digest {taxonomy.content_digest}")
    if counts:
        print(_judge_counts(taxonomy, counts))
    return 0


def _write_new(options: argparse.Namespace) -> int:
    from hpa_hier.data.labels.classes import write_flat
    from hpa_hier.files.atomic import write_new
    from hpa_hier.files.shell import command
    from hpa_hier.taxonomy.tree import Taxonomy

    name = options.name or _make_name((options.images or options.labels).resolve().stem)
    out = options.out or Path(f"{name}.yaml")
    classes = _read_classes(options)
    flat = Taxonomy.from_text(write_flat(classes.labels, name), str(out))
    table = read_label_table(options, flat)
    images = {flat.label(leaf): sum(leaf in nodes for nodes in table.nodes) for leaf in flat.leaves}
    exclusive = len(classes.labels) > 1 and all(len(nodes) == 1 for nodes in table.nodes)
    check = command("taxonomy", "check", str(out), labels=options.labels, images=options.images)
    what = f"{len(classes.labels):,} classes of {len(table):,} image{'s' * (len(table) != 1)}"
    origin = f"Written from {Path(table.source).name}: {what}."
    text = write_flat(
        classes.labels,
        name,
        counts=images,
        exclusive=exclusive,
        notes=_note_images_of_none(sum(not nodes for nodes in table.nodes)),
        how=(origin, check),
    )
    Taxonomy.from_text(text, str(out))
    write_new(out, text)
    print(f"wrote {out}: {what}")
    for line in (*_describe_kind(classes, exclusive), *_name_shipped_that_fit(options, classes)):
        print(line)
    print(f"group the classes by indenting them, as the file tells; then look at the tree:\n{check}")
    return 0


def _read_classes(options: argparse.Namespace) -> Classes:
    from hpa_hier.data.images.scan import scan
    from hpa_hier.data.labels.class_folders import find_folder_classes, means_folders
    from hpa_hier.data.labels.classes import read_classes
    from hpa_hier.errors import UserError

    if not means_folders(options.labels):
        return read_classes(options.labels, options.ignore_columns)
    if not options.images:
        raise UserError("--labels folders: the classes are the folders of images; say which with --images DIR")
    folders = {one.id: one.folder for one in scan(options.images, options.channels, bool(options.follow_links)).sources}
    return find_folder_classes(folders, options.images)


def _make_name(stem: str) -> str:
    """Return a taxonomy's name made of a file's."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("._-")[:64] or "mine"


def _note_images_of_none(count: int) -> list[str]:
    if not count:
        return []
    those = f"{count:,} images show" if count > 1 else "1 image shows"
    return [f"{those} none of the places; to make that a class, add `Negative: {{label: WORD}}`"]


def _describe_kind(classes: Classes, exclusive: bool) -> list[str]:
    """Say what was decided, and what numbers need."""
    lines = []
    if exclusive:
        lines.append("each image has exactly one class, so the tree says `exclusive: true`: one answer an image")
    if classes.from_headers:
        lines.append("each 0/1 column is a class; --ignore-columns leaves out those that are none")
    if all(label.isdecimal() for label in classes.labels):
        first = classes.labels[0]
        lines.append(f"the labels are numbers: change names such as `class {first}` to those of the places")
    return lines


def _name_shipped_that_fit(options: argparse.Namespace, classes: Classes) -> list[str]:
    """Name the shipped taxonomies that have all these classes by name, with the commands that look at them."""
    from hpa_hier.files.shell import command
    from hpa_hier.files.shipped import shipped_names
    from hpa_hier.taxonomy.tree import Taxonomy

    names = [Path(name).stem for name in shipped_names() if name.startswith("hierarchy/")]
    fit = [name for name in names if all(map(Taxonomy.load(name).find_node, classes.labels))]
    given = {"labels": options.labels, "images": options.images}
    checks = [command("taxonomy", "check", name, **given) for name in fit]
    if not checks:
        return []
    if all(label.isdecimal() for label in classes.labels):
        return ["if the numbers are those of a shipped tree, no file of your own is needed:", *checks]
    return ["a shipped tree has all these classes, so no file of your own is needed:", *checks]


def _copy(options: argparse.Namespace) -> int:
    from hpa_hier.files.shell import command
    from hpa_hier.files.shipped import copy_shipped

    written = copy_shipped(options.name, "hierarchy", options.out)
    print(f"wrote {written}; edit it, and look at the tree:")
    print(command("taxonomy", "check", str(written)))
    return 0


def _list(options: argparse.Namespace) -> int:
    from hpa_hier.files.shipped import shipped_names
    from hpa_hier.taxonomy.tree import Taxonomy

    names = [Path(name).stem for name in shipped_names() if name.startswith("hierarchy/")]
    for name in names:
        taxonomy = Taxonomy.load(name)
        print(f"{name:{max(map(len, names))}}  {len(taxonomy.leaves):3} leaves  {taxonomy.description}")
    return 0


def _choose_style() -> Style:
    from hpa_hier.taxonomy.draw import Style

    try:
        "├└│█▏→…·".encode(sys.stdout.encoding or "ascii")
        unicode = True
    except (UnicodeEncodeError, LookupError):
        unicode = False
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    return Style(colour=colour, unicode=unicode)


def _count_images(taxonomy: Taxonomy, options: argparse.Namespace) -> Counts:
    from hpa_hier.data.labels.table import targets
    from hpa_hier.taxonomy.draw import Counts

    table = read_label_table(options, taxonomy)
    images = targets(table.nodes, taxonomy).present.sum(axis=0)
    return Counts(dict(zip(taxonomy.nodes, map(int, images), strict=True)), len(table.ids))


def _describe_counts(taxonomy: Taxonomy, counts: Counts) -> str:
    text = f"{counts.total:,} images; an image counts once for each of its nodes and for those above (true-path rule)\n"
    absent = [leaf for leaf in taxonomy.leaves if not counts.images[leaf]]
    return text + (f"no image shows: {', '.join(absent)}\n" if absent else "")


def _judge_counts(taxonomy: Taxonomy, counts: Counts) -> str:
    """Say what the number of images of each class lets one expect."""
    from hpa_hier.data.labels.partition import FEWEST
    from hpa_hier.data.labels.scarcity import ImageCounts, describe_scarcity

    images = {leaf: counts.images[leaf] for leaf in taxonomy.leaves}
    scarce = describe_scarcity(ImageCounts(counts.total, images, images))
    if scarce:
        return "\n".join(["its images are few:", *scarce])
    few = [leaf for leaf in taxonomy.leaves if 0 < images[leaf] < FEWEST]
    if not few:
        return f"each class that occurs has {FEWEST} images or more"
    return f"fewer than {FEWEST} images, too few to rely on: {', '.join(few)}"


def _describe_members(taxonomy: Taxonomy, name: str) -> str:
    """Return a line per finished member of a run: up to date, or stale, and then how to train it again."""
    from hpa_hier.runs.run import Run
    from hpa_hier.taxonomy.changes import renamed_nodes, stale_nodes

    run = Run.open(name)
    lines, commands = [f"members of {run.folder}"], []
    for record in run.members:
        trained, nodes = record.taxonomy, record.manifest.nodes
        plain = [node for node in nodes if node not in trained.virtual]  # those are the run's, not the file's
        changed = stale_nodes(trained, taxonomy, plain)
        new_names = renamed_nodes(trained, taxonomy, plain)
        state = "up to date"
        if changed:
            state = f"stale: other meaning now of {', '.join(changed)}"
            commands.append(run.train_command(record, taxonomy))
        elif new_names:
            state = "up to date; " + ", ".join(f"'{old}' is now '{new}'" for old, new in new_names.items())
        missing = [node for node in record.lacking(taxonomy) if node not in changed]
        lines.append(f"  {record.name}: {state}" + (f"; does not know {', '.join(missing)}" if missing else ""))
    if len(lines) == 1:
        return f"{run.folder} has no finished member yet\n"
    lost, able = run.find_lost_leaves(run.members, taxonomy)
    if lost and able:
        lines.append(f"no member answers for {', '.join(lost)}: that needs one of them again, such as {able.name}")
        commands.append(run.train_command(able, taxonomy))
    if commands:
        lines.append("train these again, the others stay as they are:")
        lines += [f"  {command}" for command in dict.fromkeys(commands)]
    return "\n".join(lines) + "\n"
