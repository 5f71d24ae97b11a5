"""Class graphs: the class attribute of a hierarchical data set turned into a taxonomy."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import networkx as nx

from hpa_hier.errors import UserError
from hpa_hier.files.spelling import did_you_mean
from hpa_hier.taxonomy import Taxonomy

ROOT = "root"  # the top of everything, in any case; it is no node, since every sample has it
_NO_NAME = re.compile(r"[^A-Za-z0-9_.:+-]+")  # characters that separate cells of tables, or cannot be in flags
_FIELDS = ("label", "go", "description", "open", "also_under")  # of taxonomy files, so that no node can be called so
_LONGEST = 80  # characters of a name


@dataclass(frozen=True)
class ClassGraph:
    """Classes with their parents.

    Attributes:
        parents: of each class, as written in the data; () at the top. Without the root.
        paths: whether a class is written as the whole way from the top, `01/01/03`.
        roots: written names that stand for the root.
    """

    parents: Mapping[str, tuple[str, ...]]
    paths: bool
    roots: tuple[str, ...]

    @classmethod
    def from_entries(cls, entries: Sequence[str], annotated: Sequence[str], source: str) -> ClassGraph:
        """Read the entries of a class attribute.

        They are whole paths (`01/01/03`: every beginning of a path is a class) or edges (`parent/child`, a child may
        have several parents). Edges are samples' classes by the child's name alone; where any sample is annotated with
        a path, or an entry has three steps, these are paths.

        Args:
            entries: as the attribute lists them.
            annotated: all classes that samples are annotated with.
            source: what errors call the file.

        Raises:
            UserError: a cycle, an edge from a class to itself, or nothing but the root.

        >>> ClassGraph.from_entries(["root/a", "root/b", "a/c", "b/c"], ["c", "a"], "x.arff").parents
        {'a': (), 'b': (), 'c': ('a', 'b')}
        """
        paths = any(entry.count("/") > 1 for entry in entries) or any("/" in name.strip("/") for name in annotated)
        above = _read_paths(entries) if paths else _read_edges(entries, source)
        roots = _roots(above, paths)
        parents = {
            name: tuple(one for one in over if one not in roots) for name, over in above.items() if name not in roots
        }
        if not parents:
            raise UserError(f"{source}: the class attribute holds nothing below the root")
        _refuse_cycles(parents, source)
        return cls(parents, paths, tuple(sorted(roots)))

    def find(self, name: str) -> str | None:
        """Return the class that a sample's annotation means, in any case where that is clear; None for the root.

        Raises:
            KeyError: there is none; the message names the nearest.
        """
        written = "/".join(_steps(name)) if self.paths else name
        if written in self.parents:
            return written
        if name in self.roots or not written or name.casefold() == ROOT:
            return None
        alike = self._in_any_case.get(written.casefold(), ())
        if len(alike) != 1:
            raise KeyError(f"{name!r} is not a class of the attribute{did_you_mean(written, self.parents)}")
        return alike[0]

    @cached_property
    def _in_any_case(self) -> dict[str, tuple[str, ...]]:
        alike: dict[str, tuple[str, ...]] = {}
        for name in self.parents:
            alike[name.casefold()] = (*alike.get(name.casefold(), ()), name)
        return alike

    @cached_property
    def names(self) -> dict[str, str]:
        """What the taxonomy calls each class: a word of letters, digits and a few signs, different in any case."""
        names: dict[str, str] = {}
        taken = set(_FIELDS)
        for written in self.parents:
            stem = _NO_NAME.sub("_", written.replace("/", ":"))[:_LONGEST] or "_"
            name, number = stem, 2
            while name.casefold() in taken:
                name, number = f"{stem}~{number}", number + 1
            taken.add(name.casefold())
            names[written] = name
        return names

    @cached_property
    def graph(self) -> nx.DiGraph:
        """Edges from each class to those right below it."""
        return _graph(self.parents)

    @cached_property
    def depths(self) -> dict[str, int]:
        """Each class's depth along its shortest way from the top, 1 at the top."""
        top = [name for name, over in self.parents.items() if not over]
        return {name: depth for depth, layer in enumerate(nx.bfs_layers(self.graph, top), 1) for name in layer}

    def taxonomy(self, name: str) -> Taxonomy:
        """Return the taxonomy, with a level for each depth, `all` its groups open: any class may be annotated."""
        names, depths, graph = self.names, self.depths, self.graph
        lines = [f"taxonomy: {name}", "levels:"]
        lines += [f"  depth{depth}: {depth}" for depth in range(1, max(depths.values()) + 1)]
        lines += ["  leaf: leaves", "tree:"]
        # Each class is written below the first of its highest parents, and names the others.
        home = {one: min(over, key=depths.__getitem__) for one, over in self.parents.items() if over}
        waiting = [one for one in reversed(list(self.parents)) if one not in home]
        while waiting:
            one = waiting.pop()
            indent = "  " * depths[one]
            lines.append(f"{indent}{json.dumps(names[one])}:")
            lines.append(
                f"{indent}  " + ("open: true" if graph.out_degree(one) else f"label: {json.dumps(names[one])}")
            )
            others = [names[parent] for parent in self.parents[one] if parent != home.get(one)]
            if others:
                lines.append(f"{indent}  also_under: {json.dumps(others)}")
            waiting.extend(low for low in reversed(list(graph.successors(one))) if home[low] == one)
        return Taxonomy.from_text("\n".join(lines) + "\n", f"classes of {name}")


def _steps(entry: str) -> list[str]:
    steps = [step.strip() for step in entry.split("/") if step.strip()]
    return steps[1:] if len(steps) > 1 and steps[0].casefold() == ROOT else steps


def _read_paths(entries: Sequence[str]) -> dict[str, tuple[str, ...]]:
    parents: dict[str, tuple[str, ...]] = {}
    for entry in entries:
        steps = _steps(entry)
        for depth in range(1, len(steps) + 1):
            parents["/".join(steps[:depth])] = ("/".join(steps[: depth - 1]),) if depth > 1 else ()
    return parents


def _read_edges(entries: Sequence[str], source: str) -> dict[str, tuple[str, ...]]:
    parents: dict[str, list[str]] = {}
    for entry in entries:
        parent, slash, child = (part.strip() for part in entry.partition("/"))
        if slash and parent and child:
            if parent == child:
                raise UserError(f"{source}: the class {child!r} is its own parent")
            parents.setdefault(parent, [])
            over = parents.setdefault(child, [])
            if parent not in over:
                over.append(parent)
        else:
            parents.setdefault(parent or child, [])
    return {name: tuple(over) for name, over in parents.items()}


def _roots(parents: Mapping[str, tuple[str, ...]], paths: bool) -> set[str]:
    """Return the names of the root: `root`, or of edges the one class that all others are below."""
    called = {name for name, over in parents.items() if name.casefold() == ROOT and not over}
    top = {name for name, over in parents.items() if not over}
    return called or (top if not paths and len(top) == 1 and len(parents) > 1 else set())


def _graph(parents: Mapping[str, tuple[str, ...]]) -> nx.DiGraph:
    graph = nx.DiGraph()
    graph.add_nodes_from(parents)
    graph.add_edges_from((parent, child) for child, over in parents.items() for parent in over)
    return graph


def _refuse_cycles(parents: Mapping[str, tuple[str, ...]], source: str) -> None:
    graph = _graph(parents)
    if not nx.is_directed_acyclic_graph(graph):
        cycle = [parent for parent, _ in nx.find_cycle(graph)]
        raise UserError(f"{source}: the classes {' → '.join([*cycle, cycle[0]])} form a cycle; remove an edge")
