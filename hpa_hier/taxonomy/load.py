"""From a taxonomy file's YAML to checked nodes; every mistake is reported with its line and its cure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from hpa_hier.errors import UserError
from hpa_hier.files.spelling import did_you_mean
from hpa_hier.files.yaml_file import Value, YamlDocument, parse_yaml, write_yaml
from hpa_hier.taxonomy.graph import (
    Entry,
    add_second_parents,
    add_virtual_nodes,
    check_labels,
    check_names,
    check_open,
    sort_parents_first,
)
from hpa_hier.taxonomy.node import Node

Path: TypeAlias = "tuple[str, ...]"  # the keys that lead to a node in the file
Fields: TypeAlias = "dict[str, Value]"

ALL = "all"  # as a level: every node of the tree
FILE_FIELDS = ("taxonomy", "description", "levels", "tree", "virtual")
NODE_FIELDS = ("label", "go", "description", "open", "also_under")
_MISSING = {
    "taxonomy": "add a name such as 'taxonomy: hpa28'",
    "levels": "add the levels of the tree such as 'levels: {coarse: 1, leaf: leaves}'",
    "tree": "add the nodes below 'tree:'",
}
_LEAVES = "leaves"  # as a level's depth
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # names that become flags and folders
_GO = re.compile(r"GO:[0-9]{7}")
_NAME_SIGNS = {"/": "slash", ",": "comma", "|": "'|'", ";": "semicolon", '"': "double quote", "\\": "backslash"}
_LABEL_SIGNS = re.compile(r"[\s,|;\"\\]")
_MAX_NAME = 100  # characters
_MAX_NODES = 8192  # the closure is nodes × nodes, 64 MiB at this; the 4,100 of a whole GO data set stay below


@dataclass(frozen=True)
class ParsedTaxonomy:
    """What a taxonomy file says.

    Attributes:
        name: of the taxonomy.
        description: "" where there is none.
        depths: level → its depth, top first; None: the leaves.
        nodes: name → node, every node after all of its parents.
    """

    name: str
    description: str
    depths: Mapping[str, int | None]
    nodes: Mapping[str, Node]


def parse_taxonomy(text: str, source: str) -> ParsedTaxonomy:
    """Read and check a taxonomy.

    Args:
        text: the file's content.
        source: what errors call it.

    Raises:
        UserError: with file, line and cure.
    """
    document = parse_yaml(text, source)
    fields = _file_fields(document)
    entries = _entries(document, fields["tree"])
    check_names(document, entries)
    check_labels(document, entries)
    entries = add_virtual_nodes(document, add_second_parents(document, entries), _virtual(document, fields))
    check_open(document, entries)
    return ParsedTaxonomy(
        name=_name(document, fields["taxonomy"]),
        description=_description(document, ("description",), fields.get("description")),
        depths=_depths(document, fields["levels"], max(entry.node.depth for entry in entries)),
        nodes=sort_parents_first(document, entries),
    )


def add_virtual_text(text: str, source: str, virtual: Mapping[str, Sequence[str]]) -> str:
    """Return a sound taxonomy file's content with further virtual nodes; comments are left out.

    >>> print(add_virtual_text("{taxonomy: t, levels: {leaf: leaves}, tree: {A: {label: 1}}}", "t", {"rare": ["A"]}))
    taxonomy: t
    levels: {leaf: leaves}
    tree:
      A: {label: 1}
    virtual:
      rare: [A]
    <BLANKLINE>
    """
    fields = parse_yaml(text, source).value
    assert isinstance(fields, dict)
    before = fields.get("virtual") or {}
    assert isinstance(before, dict)
    return write_yaml(fields | {"virtual": before | {name: list(leaves) for name, leaves in virtual.items()}})


def _file_fields(document: YamlDocument) -> Fields:
    fields = document.value
    if fields is None:
        raise document.error("the file is empty; it needs 'taxonomy', 'levels' and 'tree'")
    if not isinstance(fields, dict):
        raise document.error(f"a taxonomy file holds fields such as 'tree:', got {_kind(fields)}")
    for key in fields:
        if key not in FILE_FIELDS:
            known = ", ".join(FILE_FIELDS)
            hint = did_you_mean(key, FILE_FIELDS) or f"; the fields are {known}, and nodes belong below 'tree'"
            raise document.error(f"unknown field '{key}'{hint}", key)
    for key in ("taxonomy", "levels", "tree"):
        if key not in fields:
            raise document.error(f"the field '{key}' is missing; {_MISSING[key]}")
    return fields


def _name(document: YamlDocument, value: Value) -> str:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _WORD.fullmatch(text):
        raise document.error(
            f"'taxonomy' must be a name of letters, digits, dots and dashes, got {_kind(value)}", "taxonomy"
        )
    return text


def _depths(document: YamlDocument, levels: Value, deepest: int) -> dict[str, int | None]:
    if not isinstance(levels, dict) or not levels:
        raise document.error(f"'levels' must be such as {{coarse: 1, leaf: leaves}}, got {_kind(levels)}", "levels")
    depths: dict[str, int | None] = {}
    previous = 0
    for name, value in levels.items():
        where = ("levels", name)
        if not _WORD.fullmatch(name):
            raise document.error(f"the level name {_quoted(name)} must be of letters, digits, dots and dashes", *where)
        if name == ALL:
            raise document.error(f"a level cannot be called '{ALL}', which means every node; rename it", *where)
        if None in depths.values():
            raise document.error(f"level '{name}' comes after the leaves; order levels from top to bottom", *where)
        depths[name] = _depth(document, name, value, deepest)
        if depths[name] is not None and (depths[name] or 0) <= previous:
            raise document.error(
                f"level '{name}' at depth {value} is not below the level before it, at depth {previous}; "
                "order levels from top to bottom, each depth once",
                *where,
            )
        previous = depths[name] or previous
    return depths


def _depth(document: YamlDocument, name: str, value: Value, deepest: int) -> int | None:
    """Return a level's depth; None for the leaves."""
    if value == _LEAVES:
        return None
    where = ("levels", name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise document.error(f"level '{name}' must be a depth such as 1, or 'leaves', got {_kind(value)}", *where)
    if not 1 <= value <= deepest:
        raise document.error(
            f"level '{name}' is at depth {value}, which the tree does not have; give 1 to {deepest}, or 'leaves'",
            *where,
        )
    return value


def _virtual(document: YamlDocument, fields: Fields) -> dict[str, list[str]]:
    """Return the virtual nodes with what they list; whether these are leaves is checked with the other nodes."""
    virtual = fields.get("virtual")
    if virtual is None:
        return {}
    if not isinstance(virtual, dict) or not virtual:
        raise document.error(
            f"'virtual' must be nodes with their leaves such as {{has_minority: [Lysosomes]}}, got {_kind(virtual)}",
            "virtual",
        )
    listed: dict[str, list[str]] = {}
    for name, leaves in virtual.items():
        _check_name(document, ("virtual", name))
        if not isinstance(leaves, list) or not leaves:
            raise document.error(f"'{name}' must list leaves, got {_kind(leaves)}", "virtual", name)
        listed[name] = [str(leaf) for leaf in leaves]
    return listed


def _entries(document: YamlDocument, tree: Value) -> list[Entry]:
    """Return the nodes in the file's order, without their second parents."""
    if not isinstance(tree, dict):
        raise document.error(f"'tree' must hold named nodes, got {_kind(tree)}", "tree")
    if not tree:
        raise document.error("'tree' holds no node; add nodes such as 'Nucleoplasm: {label: 0}'", "tree")
    entries: list[Entry] = []
    for name, value in tree.items():
        _add_node(document, entries, ("tree", name), value)
    if len(entries) > _MAX_NODES:
        raise document.error(f"{len(entries):,} nodes, more than the {_MAX_NODES:,} that a taxonomy may have", "tree")
    return entries


def _add_node(document: YamlDocument, entries: list[Entry], path: Path, value: Value) -> None:
    """Append a node, and after it all that is below it."""
    name = path[-1]
    _check_name(document, path)
    if name in NODE_FIELDS:
        raise _reserved(document, path)
    if value is not None and not isinstance(value, dict):
        raise _not_a_node(document, path, value)
    fields = {key: item for key, item in (value or {}).items() if key in NODE_FIELDS}
    children = {key: item for key, item in (value or {}).items() if key not in NODE_FIELDS}
    for key, item in fields.items():
        if isinstance(item, dict):
            raise _reserved(document, (*path, key))
    label = _label(document, path, fields)
    node = Node(
        name=name,
        parents=path[-2:-1] if len(path) > 2 else (),
        depth=len(path) - 1,
        label=label,
        go=_go(document, path, fields),
        description=_description(document, (*path, "description"), fields.get("description")),
        open=_open(document, path, fields),
    )
    entry = Entry(node, path, len(children), _also_under(document, path, fields))
    entries.append(entry)
    for key, item in children.items():
        _add_node(document, entries, (*path, key), item)
    _check_leaf_or_group(document, entry)  # last, because a misspelt field looks like a node below


def _not_a_node(document: YamlDocument, path: Path, value: Value) -> UserError:
    """Return the error for what is neither a node nor a known field."""
    name = path[-1]
    if len(path) == 2:  # right below 'tree', where no field can be
        how = "a leaf is written such as 'Nucleoplasm: {label: 0}'"
        return document.error(f"the node '{name}' must hold fields or nodes, got {_kind(value)}; {how}", *path)
    how = f"; the fields are {', '.join(NODE_FIELDS)}, and a leaf is written '{name}: {{label: …}}'"
    return document.error(f"unknown field '{name}' in '{path[-2]}'{did_you_mean(name, NODE_FIELDS) or how}", *path)


def _reserved(document: YamlDocument, path: Path) -> UserError:
    return document.error(f"'{path[-1]}' is a field's name and cannot name a node; rename the node", *path)


def _check_leaf_or_group(document: YamlDocument, entry: Entry) -> None:
    node, path = entry.node, entry.path
    if not entry.children and node.open:
        return  # nodes may be below it by their `also_under`: `check_open` looks once these are known
    if not entry.children and node.label is None:
        raise document.error(
            f"'{node.name}' is an empty group: it has neither a label nor nodes below it; "
            "give it a label, put nodes below it, or remove it",
            *path,
        )
    if entry.children and node.label is not None and not node.open:
        raise document.error(
            f"'{node.name}' has both a label and nodes below it; move the label to a leaf below it, "
            "or add 'open: true' if the group itself is annotated",
            *path,
            "label",
        )


def _check_name(document: YamlDocument, path: Path) -> None:
    """Refuse a node name that could not be a table's column or could not be read."""
    name = path[-1]
    sign = next((word for sign, word in _NAME_SIGNS.items() if sign in name), None)
    problem = f"contains a {sign}" if sign else None
    if not name:
        problem = "is empty"
    elif name != name.strip():
        problem = "begins or ends with a space"
    elif "\n" in name or "\r" in name:
        problem = "contains a line end"
    elif not name.isprintable():
        problem = "contains a non-printing character"
    elif len(name) > _MAX_NAME:
        problem = f"has {len(name)} characters, more than {_MAX_NAME}"
    if problem:
        raise document.error(
            f"the node name {_quoted(name)} {problem}; names become table columns, so rename it", *path
        )


def _label(document: YamlDocument, path: Path, fields: Fields) -> str | None:
    """Return what the annotation file calls the node, as text: `label: 7` is "7", and `label: 07` is "07"."""
    if "label" not in fields:
        return None
    value, where = fields["label"], (*path, "label")
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise document.error(f"'label' must be a whole number or a text, got {_kind(value)}; quote a text", *where)
    label = str(value)
    if not label or not label.isprintable() or len(label) > _MAX_NAME or _LABEL_SIGNS.search(label):
        raise document.error(
            f"the label {_quoted(label)} must be a word without spaces, commas, '|', semicolons and quotes, "
            "which separate the labels of a table; node names are understood in tables too",
            *where,
        )
    return label


def _go(document: YamlDocument, path: Path, fields: Fields) -> str | None:
    """Return the Gene Ontology id."""
    value = fields.get("go")
    if "go" in fields and (not isinstance(value, str) or not _GO.fullmatch(value)):
        raise document.error(f"'go' must be such as GO:0005654, got {_kind(value)}", *path, "go")
    return value if isinstance(value, str) else None


def _open(document: YamlDocument, path: Path, fields: Fields) -> bool:
    """Return whether the group may be annotated without a known leaf below it."""
    value = fields.get("open", False)
    if not isinstance(value, bool):
        raise document.error(f"'open' must be true or false, got {_kind(value)}", *path, "open")
    return value


def _description(document: YamlDocument, path: Path, value: Value) -> str:
    """Return a description, or "" where there is none."""
    if value is not None and not isinstance(value, str):
        raise document.error(f"'description' must be a text, got {_kind(value)}; quote it", *path)
    return value or ""


def _also_under(document: YamlDocument, path: Path, fields: Fields) -> tuple[str, ...]:
    """Return the names of further parents; whether there are such nodes is checked once all nodes are known."""
    value = fields.get("also_under", [])
    names = value if isinstance(value, list) else None
    if names is None or not all(isinstance(name, str) for name in names):
        raise document.error(
            f"'also_under' must be a list of groups such as [Nucleus], got {_kind(value)}", *path, "also_under"
        )
    return tuple(str(name) for name in names)


def _quoted(text: str) -> str:
    """Return text in quotes on one line, cut where it is long."""
    return repr(text if len(text) <= _MAX_NAME else text[:_MAX_NAME] + "…")


def _kind(value: object) -> str:
    """Describe a value in a message."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return f"the list {_quoted(str(value))[1:-1]}" if value else "an empty list"
    if isinstance(value, bool):
        return str(value).lower()
    return _quoted(value) if isinstance(value, str) else str(value)
