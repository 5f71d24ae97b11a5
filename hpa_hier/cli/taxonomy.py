"""Command: check a taxonomy file, draw it, and list the trained members that an edit has made stale."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hpa_hier.cli.command import Parser, add_on_problem, one_thread_a_process, path, read_label_table

if TYPE_CHECKING:
    from hpa_hier.taxonomy.draw import Counts, Style
    from hpa_hier.taxonomy.tree import Taxonomy


def main(arguments: Sequence[str]) -> int:
    """Run the command; 0 when the file is sound, whatever became stale."""
    options = parser().parse_args(arguments)
    one_thread_a_process()
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
    if counts:
        print(_describe_counts(taxonomy, counts))
    if options.run:
        print(_describe_members(taxonomy, options.run))
    nodes, leaves = len(taxonomy.nodes), len(taxonomy.leaves)
    print(f"{taxonomy.source} is sound: {nodes} nodes, {leaves} leaves, digest {taxonomy.content_digest}")
    return 0


def parser() -> Parser:
    """Build the parser of the sub-command."""
    whole = Parser("taxonomy", "Check a taxonomy file, and draw it.")
    summary = "Check a taxonomy file and draw its tree; with labels, also the number of images at each node."
    check = whole.add_command("check", summary)
    check.add_argument("file", metavar="FILE", help="the taxonomy, such as hierarchy/hpa28.yaml")
    check.add_argument("--labels", metavar="CSV", type=path, help="a label table: count its images at each node")
    add_on_problem(check)
    check.add_argument("--run", metavar="NAME|DIR", help="list this run's members that are stale under this file")
    return whole


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


def _describe_members(taxonomy: Taxonomy, name: str) -> str:
    """Return a line per finished member of a run: up to date, or stale, and then how to train it again."""
    from hpa_hier.runs.run import Run
    from hpa_hier.taxonomy.changes import missing_nodes, renamed_nodes, stale_nodes

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
        wanted = _selected_nodes(taxonomy, record.manifest.selector)
        missing = [node for node in missing_nodes(trained, taxonomy, nodes, wanted) if node not in changed]
        lines.append(f"  {record.name}: {state}" + (f"; does not know {', '.join(missing)}" if missing else ""))
    if len(lines) == 1:
        return f"{run.folder} has no finished member yet\n"
    if commands:
        lines.append("train these again, the others stay as they are:")
        lines += [f"  {command}" for command in dict.fromkeys(commands)]
    return "\n".join(lines) + "\n"


def _selected_nodes(taxonomy: Taxonomy, selector: dict[str, str]) -> tuple[str, ...]:
    """Return the nodes that a selector means by now; none where it names what is gone, or a partition."""
    level, group = selector.get("level", ""), selector.get("group", "")
    if level in taxonomy.levels:
        return taxonomy.level(level)
    return taxonomy.group(group) if group in taxonomy.nodes and not taxonomy.is_leaf(group) else ()
