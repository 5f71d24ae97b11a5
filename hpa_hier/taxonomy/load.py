"""From a taxonomy file's YAML to checked nodes; every mistake is reported with its line and its cure."""

from __future__ import annotations

import difflib
import heapq
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from hpa_hier.errors import UserError
from hpa_hier.files.spelling import did_you_mean
from hpa_hier.files.yaml_file import Key, YamlDocument
from hpa_hier.taxonomy.fields import NODE_FIELDS, SEPARATORS, check_field, check_name, describe_value, quote
from hpa_hier.taxonomy.node import Node, build_graph, list_children

Path: TypeAlias = "tuple[Key, ...]"  # the keys and list places that lead to a node in the file

ALL = "all"  # as a level: every node of the tree
FILE_FIELDS = ("taxonomy", "description", "exclusive", "levels", "tree", "virtual")
_MISSING = {
    "taxonomy": "add a name such as 'taxonomy: hpa28'",
    "tree": "add the nodes below 'tree:'",
}
_MISNAMED = {**dict.fromkeys(("alias", "synonym", "synonyms", "names", "also_called"), "aliases"), "labels": "label"}
_OF_OTHER_FILES = frozenset({"name", "children", "nodes", "leaves"})  # how trees are written elsewhere
_LIKE_A_FIELD = 0.75  # likeness from which a word with nothing or a list behind it is a misspelt field and no node
LEAVES = "leaves"  # as a level's depth
_LEVELS: dict[str, int | None] = {"coarse": 1, "leaf": None}  # where the file says none
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # names that become flags and folders
_LOST_COLON = re.compile(r"([^{}]*[^{}:\s])(:?)\s*\{(.*)\}")  # `Golgi {label: 7}` is a key and a text to YAML
_MAX_NODES = 8192  # the closure is nodes × nodes, 64 MiB at this; the 4,100 of a whole GO data set stay below


def read_fields(document: YamlDocument) -> dict[str, Any]:
    """Return the fields of a taxonomy file, with the name and the description checked.

    Raises:
        UserError: with file, line and cure; so do `read_nodes` and `read_depths`.
    """
    fields: Any = document.value
    if fields is None:
        raise document.error("the file is empty; it needs 'taxonomy' and 'tree'")
    if not isinstance(fields, dict):
        cure = "; put it below 'tree:', and add a name such as 'taxonomy: mine'" if isinstance(fields, list) else ""
        raise document.error(f"a taxonomy file holds fields such as 'tree:', got {describe_value(fields)}{cure}")
    for key in fields:
        if key not in FILE_FIELDS:
            known = f"; the fields are {', '.join(FILE_FIELDS)}, and nodes belong below 'tree'"
            raise document.error(f"unknown field '{key}'{did_you_mean(key, FILE_FIELDS) or known}", key)
    for key, cure in _MISSING.items():
        if key not in fields:
            raise document.error(f"the field '{key}' is missing; {cure}")
    name = fields["taxonomy"]
    if isinstance(name, bool) or not isinstance(name, int | str) or not _WORD.fullmatch(str(name)):
        problem = f"'taxonomy' must be a name of letters, digits, dots and dashes, got {describe_value(name)}"
        raise document.error(problem, "taxonomy")
    check_field(document, "description", fields.get("description"))
    exclusive = fields.get("exclusive", False)
    if not isinstance(exclusive, bool):
        problem = (
            f"'exclusive' must be true (each sample has exactly one leaf) or false, got {describe_value(exclusive)}"
        )
        raise document.error(problem, "exclusive")
    return fields


def read_depths(document: YamlDocument, fields: Mapping[str, Any], deepest: int) -> dict[str, int | None]:
    """Return level → its depth, top first; None: the leaves.

    Args:
        document: for errors.
        fields: of the file; without `levels` there is one of the top nodes and one of the leaves, in a flat tree the
            latter alone.
        deepest: the largest depth of a node.
    """
    if "levels" not in fields:
        return dict(_LEVELS) if deepest > 1 else {"leaf": None}
    levels = fields["levels"]
    if not isinstance(levels, dict) or not levels:
        raise document.error(
            f"'levels' must be such as {{coarse: 1, leaf: leaves}}, got {describe_value(levels)}", "levels"
        )
    depths: dict[str, int | None] = {}
    for name, value in levels.items():
        problem = _level_problem(name, value, list(depths.values()), deepest)
        if problem:
            raise document.error(problem, "levels", name)
        depths[name] = None if value == LEAVES else value
    return depths


def _level_problem(name: str, value: object, above: list[int | None], deepest: int) -> str | None:
    if not _WORD.fullmatch(name):
        return f"the level name {quote(name)} must be of letters, digits, dots and dashes"
    if name == ALL:
        return f"a level cannot be called '{ALL}', which means every node; rename it"
    if None in above:
        return f"level '{name}' comes after the leaves; order levels from top to bottom"
    if value == LEAVES:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        return f"level '{name}' must be a depth such as 1, or 'leaves', got {describe_value(value)}"
    if not 1 <= value <= deepest:
        return f"level '{name}' is at depth {value}, which the tree does not have; give 1 to {deepest}, or 'leaves'"
    if above and value <= (above[-1] or 0):
        problem = f"level '{name}' at depth {value} is not below the level before it, at depth {above[-1]}"
        return f"{problem}; order levels from top to bottom, each depth once"
    return None


def read_nodes(document: YamlDocument, fields: Mapping[str, Any]) -> dict[str, Node]:
    """Return name → node in the file's order, each moved down as far as its second parents ask for.

    Virtual nodes come first; each is a further parent of its leaves.
    """
    reader = _NodeReader(document)
    reader.add_tree(fields["tree"])
    reader.check_labels()
    reader.check_aliases()
    reader.check_second_parents()
    reader.add_virtual(fields.get("virtual"))
    reader.check_open(exclusive=fields.get("exclusive", False))
    return reader.sort_parents_first()


class _NodeReader:
    """The nodes of one file, read and then checked together."""

    def __init__(self, document: YamlDocument) -> None:
        self._document = document
        self._nodes: dict[str, Node] = {}
        self._paths: dict[str, Path] = {}
        self._spelled: dict[str, str] = {}  # a name in lower case → as the file has it: tables may write it in any

    def _error(self, problem: str, name: str, *field: Key) -> UserError:
        return self._document.error(problem, *self._paths[name], *field)

    def add_tree(self, tree: object) -> None:
        if not isinstance(tree, dict | list):
            cure = "; write a list such as [Nucleoli, Golgi], or end each name with a colon" if tree else ""
            raise self._document.error(f"'tree' must hold named nodes, got {describe_value(tree)}{cure}", "tree")
        if not tree:
            raise self._document.error("'tree' holds no node; add nodes such as 'Nucleoplasm: {label: 0}'", "tree")
        for path, value in _list_entries(self._document, ("tree",), tree):
            self._add_node(path, value, ())
        if len(self._nodes) > _MAX_NODES:
            problem = f"{len(self._nodes):,} nodes, more than the {_MAX_NODES:,} that a taxonomy may have"
            raise self._document.error(problem, "tree")

    def _add_node(self, path: Path, value: object, above: tuple[str, ...]) -> None:
        """Add a node, and after it all that is below it.

        Args:
            path: to the node, or to the item of a list that is its name.
            value: its fields and nodes, a list of nodes, or nothing.
            above: the nodes above it in the file.
        """
        name = str(self._document.at(*path)) if isinstance(path[-1], int) else path[-1]
        check_name(self._document, path, name)
        if name in NODE_FIELDS:
            raise _reserved(self._document, path, name)
        if name in _OF_OTHER_FILES and (above or name == "name") and not (isinstance(value, dict) and "label" in value):
            example = "nodes stand right below their group, as in 'Nucleus: [Nucleoli, Envelope]'"
            raise self._document.error(f"'{name}' is no field; {example}", *path)
        if isinstance(value, dict | list | None) and above and (meant := _field_meant(name, value)):
            raise self._document.error(f"unknown field '{name}' in '{above[-1]}'; did you mean '{meant}'?", *path)
        if not isinstance(value, dict | list | None):
            raise _not_a_node(self._document, path, name, value, above)
        fields = {key: item for key, item in value.items() if key in NODE_FIELDS} if isinstance(value, dict) else {}
        for key, item in fields.items():
            if isinstance(item, dict):
                raise _reserved(self._document, (*path, key), key)
        for key in NODE_FIELDS:
            if key in fields:
                check_field(self._document, key, fields[key], *path)
        if value == []:
            raise self._document.error(f"'{name}' has an empty list below it; list nodes, or remove the '[]'", *path)
        entries = () if value is None else tuple(_list_entries(self._document, path, value))
        children = [(key, item) for key, item in entries if key[-1] not in fields]
        open_ = fields.get("open", False)
        default = None if children or open_ else name  # a leaf is called by its name
        node = Node(
            name=name,
            parents=(*above[-1:], *fields.get("also_under", ())),
            depth=len(above) + 1,
            label=str(fields["label"]) if "label" in fields else default,  # `label: 7` is "7", and `label: 07` is "07"
            go=fields.get("go"),
            description=fields.get("description") or "",
            open=open_,
            aliases=tuple(map(str, fields.get("aliases", ()))),
        )
        self._add_name(node, path)
        for key, item in children:
            self._add_node(key, item, (*above, name))
        if children and node.label is not None and not node.open:  # last: a misspelt field looks like a node below
            problem = f"'{node.name}' has both a label and nodes below it; move the label to a leaf below it"
            cure = "or add 'open: true' if the group itself is annotated"
            raise self._error(f"{problem}, {cure}", node.name, "label")

    def _add_name(self, node: Node, path: Path) -> None:
        first = self._spelled.setdefault(node.name.casefold(), node.name)
        if self._nodes.setdefault(first, node) is not node:
            line, spelled = self._document.line(*self._paths[first]), f" (as '{first}')" if first != node.name else ""
            problem = f"the name '{node.name}' is already on line {line}{spelled}"
            raise self._document.error(f"{problem}; rename one, or list its second parent in 'also_under'", *path)
        self._paths[node.name] = path

    def check_labels(self) -> None:
        """Refuse a label that two nodes carry, or that is another node's name."""
        labelled: dict[str, str] = {}
        for name, label in ((name, node.label) for name, node in self._nodes.items()):
            first = labelled.setdefault(label, name) if label is not None else name
            if first != name:
                line = self._document.line(*self._paths[first], "label")
                problem = f"label {label} belongs to both '{first}' (line {line}) and '{name}'"
                raise self._error(f"{problem}; give one of them another label", name, "label")
        for label, name in labelled.items():
            other = self._spelled.get(label.casefold(), name)
            if other != name:
                problem = f"the label {label} of '{name}' is also the name of another node"
                line = self._document.line(*self._paths[other])
                raise self._error(f"{problem} (line {line}); change one, for a table could mean either", name, "label")

    def check_aliases(self) -> None:
        """Refuse an alias that another node is called by, and labels and aliases that read as several labels."""
        called = {name.casefold(): (name, "name") for name in self._nodes}
        for name, node in self._nodes.items():
            if node.label is not None:
                called.setdefault(node.label.casefold(), (name, "label"))
        for name, node in self._nodes.items():
            for index, alias in enumerate(node.aliases):
                other, what = called.setdefault(alias.casefold(), (name, "alias"))
                if other != name:
                    line = self._document.line(*self._paths[other], "aliases" if what == "alias" else "label")
                    problem = f"the alias '{alias}' of '{name}' is also {_article(what)} of '{other}' (line {line})"
                    cure = "remove it from one of them, for a table could mean either"
                    raise self._error(f"{problem}; {cure}", name, "aliases", index)
        for name, node in self._nodes.items():
            words: list[tuple[str, str | None, Path]] = []
            words += [("label", node.label, ("label",))] if node.label != name else []
            words += [("alias", alias, ("aliases", index)) for index, alias in enumerate(node.aliases)]
            for what, word, field in words:
                parts = (word or "").split()
                if len(parts) > 1 and all(part.casefold() in called for part in parts):
                    problem = f"the {what} '{word}' of '{name}' is also a list of the labels {' and '.join(parts)}"
                    raise self._error(f"{problem}, with spaces between them; change it", name, *field)

    def check_second_parents(self) -> None:
        groups = {node.home for node in self._nodes.values()}
        for node in self._nodes.values():
            also_under = node.parents[node.depth > 1 :]
            for index, parent in enumerate(also_under):
                if parent == node.name:
                    problem = "itself; remove that"
                elif parent not in self._nodes:
                    hint = did_you_mean(parent, self._nodes) or "; name a group of the tree"
                    problem = f"'{parent}', which is no node of the tree{hint}"
                elif parent not in groups and not self._nodes[parent].open:
                    problem = f"'{parent}', which is a leaf; name a group"
                elif parent == node.home:
                    problem = f"'{parent}', which is already above it; remove that"
                elif parent in also_under[:index]:
                    problem = f"'{parent}' twice; remove one"
                else:
                    continue
                raise self._error(f"'{node.name}' is also_under {problem}", node.name, "also_under", index)

    def add_virtual(self, virtual: object) -> None:
        """Put virtual nodes before the others, each as the last parent of its leaves."""
        if virtual is None:
            return
        if not isinstance(virtual, dict) or not virtual:
            problem = "'virtual' must be nodes with their leaves such as {has_minority: [Lysosomes]}"
            raise self._document.error(f"{problem}, got {describe_value(virtual)}", "virtual")
        leaves = self._nodes.keys() - {node.home for node in self._nodes.values()}
        for name, below in virtual.items():
            check_name(self._document, ("virtual", name), name)
            if not isinstance(below, list) or not below:
                raise self._document.error(f"'{name}' must list leaves, got {describe_value(below)}", "virtual", name)
            if name.casefold() in self._spelled:
                problem = f"the virtual node '{name}' has the name of a node of the tree; rename one"
                raise self._document.error(problem, "virtual", name)
            for index, leaf in enumerate(map(str, below)):
                if leaf not in leaves or name in self._nodes[leaf].parents:
                    hint = f"is no leaf of the tree{did_you_mean(leaf, leaves)}"
                    problem = hint if leaf not in leaves else f"is listed twice in '{name}'; remove one"
                    raise self._document.error(f"'{leaf}' {problem}", "virtual", name, index)
                self._nodes[leaf] = replace(self._nodes[leaf], parents=(*self._nodes[leaf].parents, name))
        self._nodes = {name: Node(name, (), 1, virtual=True) for name in virtual} | self._nodes

    def check_open(self, exclusive: bool) -> None:
        """Refuse an open node with nothing below it, in the file or by `also_under`, or where a leaf is always known.

        Args:
            exclusive: each sample has exactly one leaf.
        """
        above = {parent for node in self._nodes.values() for parent in node.parents}
        for name, node in self._nodes.items():
            if node.open and name not in above:
                problem = f"'open' on the leaf '{name}'; only groups can be open, so remove it or put nodes below"
                raise self._error(problem, name, "open")
            if node.open and exclusive:
                problem = (
                    f"'{name}' is open, so a sample of it may have no leaf, but 'exclusive' gives each exactly one"
                )
                raise self._error(f"{problem}; remove one of the two", name, "open")

    def sort_parents_first(self) -> dict[str, Node]:
        """Return the nodes in their order, each after its parents; refuse nodes that are above each other."""
        names, children = list(self._nodes), list_children(self._nodes.values())
        place = {name: index for index, name in enumerate(names)}
        above = {name: len(set(node.parents)) for name, node in self._nodes.items()}  # parents yet to come
        ready = [place[name] for name in names if not above[name]]
        ordered: dict[str, Node] = {}
        while ready:
            name = names[heapq.heappop(ready)]
            ordered[name] = self._nodes[name]
            for child in children[name]:
                above[child] -= 1
                if not above[child]:
                    heapq.heappush(ready, place[child])
        if len(ordered) == len(names):
            return ordered
        import networkx as nx

        steps = nx.find_cycle(build_graph(self._nodes.values()).reverse())
        named = " is under ".join(repr(name) for name in (*(name for name, _ in steps), steps[0][0]))
        first = next(name for name, parent in steps if parent != self._nodes[name].home)
        raise self._error(f"a cycle: {named}; take one of these out of 'also_under'", first, "also_under")


def _list_entries(document: YamlDocument, path: Path, value: object) -> Iterator[tuple[Path, object]]:
    """Yield what is below a node, each with its path: of a mapping its keys; of a list names, or mappings of nodes."""
    if isinstance(value, dict):
        yield from (((*path, key), item) for key, item in value.items())
        return
    for index, item in enumerate(value if isinstance(value, list) else ()):
        if isinstance(item, dict):
            yield from (((*path, index, key), below) for key, below in item.items())
        elif isinstance(item, str | int) and not isinstance(item, bool):
            yield (*path, index), None
        else:
            problem = f"a list of nodes holds names, got {describe_value(item)}; quote it where it is a name"
            raise document.error(problem, *path, index)


def _field_meant(name: str, value: object) -> str:
    """Return the field that a word with nothing or a list behind it was probably meant to be, or ""."""
    if isinstance(value, dict):
        return ""
    near = difflib.get_close_matches(name.casefold(), NODE_FIELDS, n=1, cutoff=_LIKE_A_FIELD)
    return _MISNAMED.get(name.casefold(), near[0] if near else "")


def _not_a_node(document: YamlDocument, path: Path, name: str, value: object, above: tuple[str, ...]) -> UserError:
    """Return the error for what is neither a node nor a known field."""
    lost = _LOST_COLON.fullmatch(f"{name}: {value}")
    if lost:
        written = f"{lost[1].strip()}: {{{lost[3].strip()}}}"
        sign = "a space behind the colon" if lost[2] else "a colon behind the name"
        return document.error(f"'{name}: {value}' lacks {sign}; write '{written}'", *path)
    leaf = f"a leaf is written '{name}: {{label: {value}}}'"
    if isinstance(value, str):
        leaf = f"a leaf is written '{name}: {{label: {value}}}', a group '{name}: [{value}]'"
        leaf = f"a group is written '{name}: [{value}]'" if SEPARATORS.search(value) else leaf
    if not above:  # right below 'tree', where no field can be
        return document.error(
            f"the node '{name}' must hold fields or nodes, got {describe_value(value)}; {leaf}", *path
        )
    near = _MISNAMED.get(name.casefold())
    near = f"; did you mean '{near}'?" if near else did_you_mean(name, NODE_FIELDS)
    how = near or f"; the fields are {', '.join(NODE_FIELDS)}, and {leaf}"
    return document.error(f"unknown field '{name}' in '{above[-1]}'{how}", *path)


def _reserved(document: YamlDocument, path: Path, name: str) -> UserError:
    return document.error(f"'{name}' is a field's name and cannot name a node; rename the node", *path)


def _article(what: str) -> str:
    return "an alias" if what == "alias" else f"the {what}"
