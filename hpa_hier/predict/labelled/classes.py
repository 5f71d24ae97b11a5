"""Classes: which node of an ensemble's tree a node of another tree is."""

from __future__ import annotations

from collections.abc import Iterable

from hpa_hier.taxonomy import Taxonomy


def match_nodes(tree: Taxonomy, base: Taxonomy) -> dict[str, str]:
    """Return the counterpart in `base` of each node of `tree` that has one.

    In order: a node of the same meaning in a tree of the same name; the same GO id; a name or alias of one that is a
    name or alias of the other, in any case, a leaf's before a group's; for a group, the group above just the
    counterparts of its leaves.

    >>> base = Taxonomy.load("hpa28")
    >>> mine = Taxonomy.from_text('''
    ... taxonomy: mine
    ... levels: {group: 1, leaf: leaves}
    ... tree:
    ...   Inside: {Golgi: {label: g, go: GO:0005794}, Mitochondria: {label: m}}
    ...   Outside: {Cilia: {label: c}}
    ... ''')
    >>> match_nodes(mine, base)
    {'Golgi': 'Golgi apparatus', 'Mitochondria': 'Mitochondria'}
    """
    found: dict[str, str] = {}
    by_meaning = {base.meaning(node): node for node in reversed(base.nodes)} if tree.name == base.name else {}
    by_go = _unique((base.node(node).go, node) for node in _leaves_last(base))
    by_name = {word.casefold(): node for node in _leaves_last(base) for word in _words(base, node)}
    for node in tree.nodes:
        if node in tree.virtual:
            continue
        same = by_meaning.get(tree.meaning(node)) or by_go.get(tree.node(node).go)
        named = (by_name[word.casefold()] for word in _words(tree, node) if word.casefold() in by_name)
        counterpart = same or next(named, None)
        if counterpart:
            found[node] = counterpart
    groups = {frozenset(base.leaves_below(node)): node for node in base.nodes if not base.is_leaf(node)}
    for node in tree.nodes:
        below = tree.leaves_below(node)
        if node not in found and not tree.is_leaf(node) and all(leaf in found for leaf in below):
            group = groups.get(frozenset(found[leaf] for leaf in below))
            if group:
                found[node] = group
    return {node: found[node] for node in tree.nodes if node in found}


def _leaves_last(tree: Taxonomy) -> list[str]:
    """Return the nodes with the leaves at the end, which then take the place of groups of the same name."""
    return sorted((node for node in tree.nodes if node not in tree.virtual), key=tree.is_leaf)


def _words(tree: Taxonomy, node: str) -> tuple[str, ...]:
    return (node, *tree.node(node).aliases)


def _unique(pairs: Iterable[tuple[str | None, str]]) -> dict[str | None, str]:
    return {key: node for key, node in pairs if key}
