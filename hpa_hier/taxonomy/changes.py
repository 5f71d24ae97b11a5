"""What an edited taxonomy does to trained members: which columns changed their meaning or their name."""

from __future__ import annotations

from collections.abc import Iterable

from hpa_hier.taxonomy.tree import Taxonomy


def stale_nodes(trained: Taxonomy, current: Taxonomy, nodes: Iterable[str]) -> tuple[str, ...]:
    """Return the nodes of a trained member whose `Taxonomy.meaning` has changed, or that are gone.

    Names, order, comments, GO ids and descriptions may change without making anything stale.

    Args:
        trained: the taxonomy that was saved with the member.
        current: the taxonomy as it is now.
        nodes: the member's nodes, as `trained` names them.

    >>> trained = Taxonomy.load("hpa28")
    >>> edited = trained.text.replace("Lysosomes: {label: 10,", "Lysosome: {label: 30,")
    >>> stale_nodes(trained, Taxonomy.from_text(edited), ("Endosomes", "Lysosomes", "Vesicles"))
    ('Lysosomes', 'Vesicles')
    """
    known = _names_now(trained, current)
    return tuple(node for node in nodes if trained.node(node).name not in known)


def renamed_nodes(trained: Taxonomy, current: Taxonomy, nodes: Iterable[str]) -> dict[str, str]:
    """Return the member's nodes of which only the name has changed, each with its name now.

    >>> trained = Taxonomy.load("hpa28")
    >>> current = Taxonomy.from_text(trained.text.replace("Lysosomes:", "Lysosome:"))
    >>> renamed_nodes(trained, current, trained.leaves)
    {'Lysosomes': 'Lysosome'}
    """
    known = _names_now(trained, current)
    return {node: known[node] for node in nodes if known.get(node, node) != node}


def missing_nodes(trained: Taxonomy, current: Taxonomy, nodes: Iterable[str], wanted: Iterable[str]) -> tuple[str, ...]:
    """Return the nodes that a member should answer for now and does not, as after a leaf was added to its level.

    `nodes` are named as in `trained`, and `wanted`, those that its selector selects now, as in `current`.

    >>> current = Taxonomy.load("hpa28")
    >>> missing_nodes(current, current, current.leaves[:-1], current.level("leaf"))
    ('Cell junctions',)
    """
    known = _names_now(trained, current)
    answered = {known.get(node) for node in nodes}
    return tuple(node for node in wanted if node not in answered)


def _names_now(trained: Taxonomy, current: Taxonomy) -> dict[str, str]:
    """Return what each node of the old taxonomy is called now; those without a counterpart are left out.

    Counterparts have the same meaning. Where several nodes share one (a group whose only child is a group), those that
    kept their name go first and the others in order, so that no two nodes become one.
    """
    free: dict[str, list[str]] = {}
    for node in current.nodes:
        free.setdefault(current.meaning(node), []).append(node)
    now: dict[str, str] = {}
    for keep_name in (True, False):
        for node in trained.nodes:
            candidates = free.get(trained.meaning(node), [])
            if node not in now and (node in candidates if keep_name else candidates):
                name = node if keep_name else candidates[0]
                candidates.remove(name)
                now[node] = name
    return now
