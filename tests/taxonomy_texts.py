"""Taxonomy texts for tests: a small one with every feature, and random ones from hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

SMALL = """\
taxonomy: small
description: a tree to break
levels: {coarse: 1, leaf: leaves}
tree:
  Nucleus:
    go: GO:0005634
    Nucleoplasm: {label: 0}
    Nucleoli: {label: 2}
  Cytoplasm:
    Cytosol: {label: 25}
    Centrosome: {label: 19}
  Secretory:
    Vesicles:
      open: true
      Lysosomes: {label: 10}
      Endosomes: {label: 9}
  Negative: {label: none}
"""


def with_line(number: int, line: str, text: str = SMALL) -> str:
    """Return the text with one line (1-based) replaced."""
    lines = text.splitlines()
    lines[number - 1] = line
    return "\n".join(lines) + "\n"


def tree_text(tree: dict, levels: str = "{leaf: leaves}") -> str:
    """Return a taxonomy's text for nested dicts; a leaf is a label, a key `open` or `also_under` is a field."""
    lines = ["taxonomy: random", f"levels: {levels}", "tree:"]

    def put(name: str, value: object, indent: str) -> None:
        if isinstance(value, dict):
            lines.append(f"{indent}{name}:")
            for key, item in value.items():
                put(key, item, indent + "  ")
        elif name in ("open", "also_under"):
            lines.append(f"{indent}{name}: {value}")
        else:
            lines.append(f'{indent}{name}: {{label: "{value}"}}')

    for name, value in tree.items():
        put(name, value, "  ")
    return "\n".join(lines) + "\n"


@st.composite
def trees(draw: st.DrawFn) -> dict:
    """Random trees of up to about forty nodes; names n0, n1, … and labels 0, 1, … in pre-order."""
    shape = draw(
        st.lists(
            st.recursive(st.none(), lambda below: st.lists(below, min_size=1, max_size=4).map(tuple), max_leaves=12),
            min_size=1,
            max_size=4,
        )
    )
    counter = {"name": 0, "label": 0}

    def build(value: object) -> object:
        if value is None:
            counter["label"] += 1
            return counter["label"] - 1
        node = {}
        if draw(st.integers(0, 4)) == 0:
            node["open"] = "true"
        for child in value:
            counter["name"] += 1
            name = f"n{counter['name']}"  # before what is below it gets its names
            node[name] = build(child)
        return node

    tree = {}
    for child in shape:
        counter["name"] += 1
        name = f"n{counter['name']}"
        tree[name] = build(child)
    return tree


@st.composite
def graphs(draw: st.DrawFn) -> dict:
    """Random trees in which some groups also stand below other groups, earlier or later in the file, without cycles."""
    tree = draw(trees())
    groups: dict[str, dict] = {}
    parents: dict[str, set[str]] = {}

    def walk(value: dict, above: set[str]) -> None:
        for name, item in value.items():
            if isinstance(item, dict):
                groups[name], parents[name] = item, set(above)
                walk(item, {name})

    def is_below(name: str, other: str) -> bool:
        return name == other or any(is_below(parent, other) for parent in parents[name])

    walk(tree, set())
    for name, item in groups.items():
        free = [other for other in groups if other not in parents[name] and not is_below(other, name)]
        if free and draw(st.booleans()):
            chosen = draw(st.sampled_from(free))
            parents[name].add(chosen)
            item["also_under"] = f"[{chosen}]"
    return tree
