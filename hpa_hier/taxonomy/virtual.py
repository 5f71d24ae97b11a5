"""Virtual nodes of a taxonomy file: further parents of leaves, such as `has_minority`, that are asked about only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from hpa_hier.files.spelling import did_you_mean
from hpa_hier.files.yaml_file import YamlDocument
from hpa_hier.taxonomy.fields import check_name, kind_of
from hpa_hier.taxonomy.graph import Entry
from hpa_hier.taxonomy.tree import Node

_FIELD = "virtual"


def virtual_block(nodes: Mapping[str, Sequence[str]]) -> str:
    """Return the lines of a taxonomy file that make these nodes, each above its leaves.

    >>> print(virtual_block({"has_minority": ["Rods & rings"]}), end="")
    virtual:
      has_minority: ["Rods & rings"]
    """
    lines = [f"  {name}: {json.dumps(list(leaves), ensure_ascii=False)}\n" for name, leaves in nodes.items()]
    return "".join([f"{_FIELD}:\n", *lines])


def with_virtual_nodes(document: YamlDocument, entries: list[Entry]) -> list[Entry]:
    """Return the entries with the nodes of the field `virtual` before them, and those among their leaves' parents."""
    assert isinstance(document.value, dict)
    fields = document.value.get(_FIELD)
    if fields is None:
        return entries
    if not isinstance(fields, dict) or not fields:
        raise document.error(
            f"'{_FIELD}' must be nodes with their leaves such as {{has_minority: [Lysosomes]}}, got {kind_of(fields)}",
            _FIELD,
        )
    above: dict[str, list[str]] = {}
    for name, leaves in fields.items():
        _check(document, name, leaves, entries)
        assert isinstance(leaves, list)
        for leaf in leaves:
            above.setdefault(str(leaf), []).append(name)
    made = [Entry(Node(name, (), 1, virtual=True), (_FIELD, name), len(leaves), ()) for name, leaves in fields.items()]  # type: ignore[arg-type]
    return made + [
        replace(entry, node=replace(entry.node, parents=(*entry.node.parents, *above.get(entry.node.name, ()))))
        for entry in entries
    ]


def _check(document: YamlDocument, name: str, leaves: object, entries: list[Entry]) -> None:
    check_name(document, (_FIELD, name))
    if name.casefold() in {entry.node.name.casefold() for entry in entries}:
        raise document.error(f"the virtual node '{name}' is called as a node of the tree; rename one", _FIELD, name)
    if not isinstance(leaves, list) or not leaves:
        raise document.error(f"'{name}' must list leaves, got {kind_of(leaves)}", _FIELD, name)
    known = {entry.node.name for entry in entries if not entry.children}
    for index, leaf in enumerate(leaves):
        if leaf not in known:
            raise document.error(
                f"'{leaf}' is no leaf of the tree{did_you_mean(str(leaf), known)}", _FIELD, name, index
            )
        if leaf in leaves[:index]:
            raise document.error(f"'{leaf}' stands below '{name}' twice; remove one", _FIELD, name, index)
