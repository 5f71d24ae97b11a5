"""The nodes of a taxonomy file together: names and labels that differ, second parents, no cycles, parents first."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace
from itertools import pairwise

from hpa_hier.errors import UserError
from hpa_hier.files.spelling import did_you_mean
from hpa_hier.files.yaml_file import YamlDocument
from hpa_hier.taxonomy.tree import Node


@dataclass(frozen=True)
class Entry:
    """A node with where it stands in the file."""

    node: Node
    path: tuple[str, ...]
    children: int
    also_under: tuple[str, ...]


def check_names(document: YamlDocument, entries: list[Entry]) -> None:
    """Refuse names that are the same in any case: tables may write them in any."""
    seen: dict[str, Entry] = {}
    for entry in entries:
        first = seen.setdefault(entry.node.name.casefold(), entry)
        if first is not entry:
            spelled = "" if first.node.name == entry.node.name else f" (as '{first.node.name}')"
            raise document.error(
                f"the name '{entry.node.name}' stands on line {document.line(*first.path)} already{spelled}; "
                "rename one, or list its second parent in 'also_under'",
                *entry.path,
            )


def check_labels(document: YamlDocument, entries: list[Entry]) -> None:
    """Refuse a label that two nodes carry, or that is another node's name."""
    labelled: dict[str, Entry] = {}
    for entry in entries:
        if entry.node.label is None:
            continue
        first = labelled.setdefault(entry.node.label, entry)
        if first is not entry:
            line = document.line(*first.path, "label")
            raise document.error(
                f"label {entry.node.label} belongs to both '{first.node.name}' (line {line}) and "
                f"'{entry.node.name}'; give one of them another label",
                *entry.path,
                "label",
            )
    names = {entry.node.name.casefold(): entry for entry in entries}
    for label, entry in labelled.items():
        other = names.get(label.casefold(), entry)
        if other is not entry:
            raise document.error(
                f"the label {label} of '{entry.node.name}' is also the name of another node "
                f"(line {document.line(*other.path)}); change one, for a table could mean either",
                *entry.path,
                "label",
            )


def with_second_parents(document: YamlDocument, entries: list[Entry]) -> list[Entry]:
    """Return the entries with the parents that `also_under` names added after the file's own."""
    by_name = {entry.node.name: entry for entry in entries}
    for entry in entries:
        for index, parent in enumerate(entry.also_under):
            problem = _second_parent_problem(entry, parent, index, by_name)
            if problem:
                raise document.error(f"'{entry.node.name}' is also_under {problem}", *entry.path, "also_under", index)
    return [replace(e, node=replace(e.node, parents=(*e.node.parents, *e.also_under))) for e in entries]


def _second_parent_problem(entry: Entry, parent: str, index: int, by_name: dict[str, Entry]) -> str | None:
    if parent == entry.node.name:
        return "itself; remove that"
    if parent not in by_name:
        return (
            f"'{parent}', which is no node of the tree{did_you_mean(parent, by_name) or '; name a group of the tree'}"
        )
    if not by_name[parent].children and not by_name[parent].node.open:
        return f"'{parent}', which is a leaf; name a group"
    if parent in entry.node.parents:
        return f"'{parent}', below which it stands already; remove that"
    if parent in entry.also_under[:index]:
        return f"'{parent}' twice; remove one"
    return None


def check_open(document: YamlDocument, entries: list[Entry]) -> None:
    """Refuse an open node that nothing stands below, neither in the file nor by `also_under`."""
    above = {parent for entry in entries for parent in entry.node.parents}
    for entry in entries:
        if entry.node.open and entry.node.name not in above:
            raise document.error(
                f"'open' on the leaf '{entry.node.name}'; only groups can be open, so remove it or put nodes below",
                *entry.path,
                "open",
            )


def parents_first(document: YamlDocument, entries: list[Entry]) -> dict[str, Node]:
    """Return the nodes in the file's order, each moved down as far as its second parents ask for."""
    place = {entry.node.name: index for index, entry in enumerate(entries)}
    children: dict[str, list[str]] = {name: [] for name in place}
    waiting = {entry.node.name: len(entry.node.parents) for entry in entries}
    for entry in entries:
        for parent in entry.node.parents:
            children[parent].append(entry.node.name)
    ready = [index for index, entry in enumerate(entries) if not entry.node.parents]
    ordered: dict[str, Node] = {}
    while ready:
        node = entries[heapq.heappop(ready)].node
        ordered[node.name] = node
        for child in children[node.name]:
            waiting[child] -= 1
            if not waiting[child]:
                heapq.heappush(ready, place[child])
    if len(ordered) < len(entries):
        raise _cycle_error(document, entries, ordered)
    return ordered


def _cycle_error(document: YamlDocument, entries: list[Entry], ordered: dict[str, Node]) -> UserError:
    """Follow parents that never became ready until one comes again: that is a cycle."""
    stuck = {entry.node.name: entry for entry in entries if entry.node.name not in ordered}
    walk = [next(iter(stuck))]
    while True:
        above = next(parent for parent in stuck[walk[-1]].node.parents if parent in stuck)
        if above in walk:
            break
        walk.append(above)
    cycle = [*walk[walk.index(above) :], above]
    guilty = next(name for name, parent in pairwise(cycle) if parent in stuck[name].also_under)
    return document.error(
        f"a cycle: {' is under '.join(map(repr, cycle))}; take one of these out of 'also_under'",
        *stuck[guilty].path,
        "also_under",
    )
