"""From a taxonomy file's YAML to a checked Taxonomy; everything wrong with it is said with its line and its cure."""

from __future__ import annotations

import re

from hpa_hier.errors import UserError
from hpa_hier.files.spelling import did_you_mean
from hpa_hier.files.yaml_file import Value, YamlDocument, parse_yaml
from hpa_hier.taxonomy.fields import (
    NODE_FIELDS,
    Path,
    also_under_of,
    check_name,
    description_of,
    go_of,
    kind_of,
    label_of,
    open_of,
    quoted,
)
from hpa_hier.taxonomy.graph import Entry, check_labels, check_names, check_open, parents_first, with_second_parents
from hpa_hier.taxonomy.tree import ALL, Node, Taxonomy
from hpa_hier.taxonomy.virtual import with_virtual_nodes

_FILE_FIELDS = ("taxonomy", "description", "levels", "tree", "virtual")
_MISSING = {
    "taxonomy": "add a name such as 'taxonomy: hpa28'",
    "levels": "add the cuts of the tree such as 'levels: {coarse: 1, leaf: leaves}'",
    "tree": "add the nodes below 'tree:'",
}
_LEAVES = "leaves"  # as a level's depth
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # names that become flags and folders
_MAX_NODES = 8192  # the closure is nodes × nodes, 64 MiB at this; the 4,100 of a whole GO data set stay below


def parse_taxonomy(text: str, source: str) -> Taxonomy:
    """Read and check a taxonomy.

    Args:
        text: the file's content.
        source: what errors call it.

    Raises:
        UserError: with file, line and cure.
    """
    document = parse_yaml(text, source)
    fields = _file_fields(document)
    entries = _entries(document)
    check_names(document, entries)
    check_labels(document, entries)
    entries = with_virtual_nodes(document, with_second_parents(document, entries))
    check_open(document, entries)
    return Taxonomy(
        name=_word(document, "taxonomy"),
        description=description_of(document, ("description",), fields.get("description")),
        source=source,
        text=text,
        depths=_levels(document, entries),
        entries=parents_first(document, entries),
    )


def _file_fields(document: YamlDocument) -> dict[str, Value]:
    fields = document.value
    if fields is None:
        raise document.error("the file is empty; it needs 'taxonomy', 'levels' and 'tree'")
    if not isinstance(fields, dict):
        raise document.error(f"a taxonomy file holds fields such as 'tree:', got {kind_of(fields)}")
    for key in fields:
        if key not in _FILE_FIELDS:
            known = ", ".join(_FILE_FIELDS)
            hint = did_you_mean(key, _FILE_FIELDS) or f"; the fields are {known}, and nodes stand below 'tree'"
            raise document.error(f"unknown field '{key}'{hint}", key)
    for key in ("taxonomy", "levels", "tree"):
        if key not in fields:
            raise document.error(f"the field '{key}' is missing; {_MISSING[key]}")
    return fields


def _word(document: YamlDocument, key: str) -> str:
    assert isinstance(document.value, dict)
    value = document.value[key]
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _WORD.fullmatch(text):
        raise document.error(f"'{key}' must be a name of letters, digits, dots and dashes, got {kind_of(value)}", key)
    return text


def _levels(document: YamlDocument, entries: list[Entry]) -> dict[str, int | None]:
    assert isinstance(document.value, dict)
    levels = document.value["levels"]
    if not isinstance(levels, dict) or not levels:
        raise document.error(f"'levels' must be such as {{coarse: 1, leaf: leaves}}, got {kind_of(levels)}", "levels")
    deepest = max(entry.node.depth for entry in entries)
    depths: dict[str, int | None] = {}
    previous = 0
    for name, value in levels.items():
        where = ("levels", name)
        if not _WORD.fullmatch(name):
            raise document.error(f"the level name {quoted(name)} must be of letters, digits, dots and dashes", *where)
        if name == ALL:
            raise document.error(f"a level cannot be called '{ALL}', which stands for every node; rename it", *where)
        if None in depths.values():
            raise document.error(f"level '{name}' stands after the leaves; order levels from top to bottom", *where)
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
    if not isinstance(value, int) or isinstance(value, bool):
        raise document.error(
            f"level '{name}' must be a depth such as 1, or 'leaves', got {kind_of(value)}", "levels", name
        )
    if not 1 <= value <= deepest:
        raise document.error(
            f"unknown level: '{name}' is at depth {value}, which the tree has not; give 1 to {deepest}, or 'leaves'",
            "levels",
            name,
        )
    return value


def _entries(document: YamlDocument) -> list[Entry]:
    """Return the nodes in the file's order, without their second parents."""
    assert isinstance(document.value, dict)
    tree = document.value["tree"]
    if not isinstance(tree, dict):
        raise document.error(f"'tree' must hold named nodes, got {kind_of(tree)}", "tree")
    if not tree:
        raise document.error("'tree' holds no node; add nodes such as 'Nucleoplasm: {label: 0}'", "tree")
    entries: list[Entry] = []
    for name, value in tree.items():
        _add_node(document, entries, ("tree", name), value)
    if len(entries) > _MAX_NODES:
        raise document.error(f"{len(entries):,} nodes, more than the {_MAX_NODES:,} that a taxonomy may have", "tree")
    return entries


def _add_node(document: YamlDocument, entries: list[Entry], path: Path, value: Value) -> None:
    """Append a node, and after it all that stands below it."""
    name = path[-1]
    check_name(document, path)
    if name in NODE_FIELDS:
        raise _reserved(document, path)
    if value is not None and not isinstance(value, dict):
        raise _no_node(document, path, value)
    fields = {key: item for key, item in (value or {}).items() if key in NODE_FIELDS}
    children = {key: item for key, item in (value or {}).items() if key not in NODE_FIELDS}
    for key, item in fields.items():
        if isinstance(item, dict):
            raise _reserved(document, (*path, key))
    label = label_of(document, path, fields)
    node = Node(
        name=name,
        parents=path[-2:-1] if len(path) > 2 else (),
        depth=len(path) - 1,
        label=label,
        go=go_of(document, path, fields),
        description=description_of(document, (*path, "description"), fields.get("description")),
        open=open_of(document, path, fields),
    )
    entry = Entry(node, path, len(children), also_under_of(document, path, fields))
    entries.append(entry)
    for key, item in children.items():
        _add_node(document, entries, (*path, key), item)
    _check_leaf_or_group(document, entry)  # last, because a misspelt field looks like a node below


def _no_node(document: YamlDocument, path: Path, value: Value) -> UserError:
    """Return the error for what is neither a node nor a known field."""
    name = path[-1]
    if len(path) == 2:  # right below 'tree', where no field can stand
        how = "a leaf is written such as 'Nucleoplasm: {label: 0}'"
        return document.error(f"the node '{name}' must hold fields or nodes, got {kind_of(value)}; {how}", *path)
    how = f"; the fields are {', '.join(NODE_FIELDS)}, and a leaf is written '{name}: {{label: …}}'"
    return document.error(f"unknown field '{name}' in '{path[-2]}'{did_you_mean(name, NODE_FIELDS) or how}", *path)


def _reserved(document: YamlDocument, path: Path) -> UserError:
    return document.error(f"'{path[-1]}' is a field's name and cannot name a node; rename the node", *path)


def _check_leaf_or_group(document: YamlDocument, entry: Entry) -> None:
    node, path = entry.node, entry.path
    if not entry.children and node.open:
        return  # nodes may stand below it by their `also_under`: `check_open` looks once these are known
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
