"""A taxonomy drawn as text: the tree with labels, GO ids and, where images are counted, how many there are of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hpa_hier.taxonomy.tree import Taxonomy

_BAR_CELLS = 16  # characters for all images
_EIGHTHS = " ▏▎▍▌▋▊▉"
_BOLD, _DIM, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"
_ASCII = str.maketrans(
    {"├": "|", "└": "`", "│": "|", "─": "-", "█": "#", "·": "-", "→": "->", **dict.fromkeys("▏▎▍▌▋▊▉", "")}
)


@dataclass(frozen=True)
class Counts:
    """How many images carry each node, or a node below it."""

    images: Mapping[str, int]
    total: int  # images in the table


@dataclass(frozen=True)
class Style:
    """What the terminal can show."""

    colour: bool = False
    unicode: bool = True


@dataclass(frozen=True)
class Branch:
    """A node in the drawing of a tree."""

    lines: str  # that lead to the node
    node: str
    elsewhere: str = ""  # the parent below which the node is drawn, where that is another one


def draw(taxonomy: Taxonomy, counts: Counts | None = None, style: Style = Style()) -> str:
    """Draw the tree, one node a line.

    Args:
        taxonomy: the tree; a node with several parents is drawn below the first, and named below the others.
        counts: adds columns with images, share and a bar.
        style: what the terminal can show.

    Returns:
        Lines of text, without a line end after the last.

    >>> print(draw(Taxonomy.from_text("{taxonomy: t, levels: {leaf: leaves}, tree: {A: {B: {label: 1}}}}")))
               label  GO
    t
    │
    └── A
        └── B      1
    """
    lines = list(_all_branches(taxonomy))
    width = max(len(taxonomy.name), *(len(one.lines) + len(one.node) + 2 * bool(one.elsewhere) for one in lines))
    labels = max([5, *(len(node.label or "") for node in taxonomy.entries.values())])
    head = f"{'':{width}}  {'label':>{labels}}  {'GO':10}" + ("  images    share" if counts else "")
    rendered = [_paint(head.rstrip(), _DIM, style), _paint(taxonomy.name, _BOLD, style)]
    rendered += [_render_line(taxonomy, one, width, labels, counts, style) if one.node else one.lines for one in lines]
    text = "\n".join(rendered)
    return text if style.unicode else text.translate(_ASCII)


def level_lines(taxonomy: Taxonomy, style: Style = Style()) -> str:
    """List the nodes of each level, the first and the last where they are many."""
    width, lines = max(map(len, taxonomy.levels)), []
    for level in taxonomy.levels:
        nodes = taxonomy.level(level)
        shown = ", ".join(nodes) if len(nodes) <= 8 else f"{', '.join(nodes[:3])}, … {nodes[-1]}"
        lines.append(f"  {level:{width}}  {len(nodes):3}  {shown}")
    text = "\n".join(lines)
    return text if style.unicode else text.replace("…", "...")


def branches(taxonomy: Taxonomy, parent: str, indent: str = "", everywhere: bool = True) -> Iterator[Branch]:
    """Yield the nodes below one, with the lines that lead to them, and `indent` before the lines.

    A node with several parents is named `everywhere`, below each of them, or only below the first.
    """
    homes = [(child, taxonomy.entries[child].home) for child in taxonomy.children(parent)]
    children = [(child, home) for child, home in homes if everywhere or home == parent]
    for index, (child, home) in enumerate(children):
        last = index == len(children) - 1
        elsewhere = "" if home == parent else home or "the top"
        yield Branch(indent + ("└── " if last else "├── "), child, elsewhere)
        if not elsewhere:
            yield from branches(taxonomy, child, indent + ("    " if last else "│   "), everywhere)


def _all_branches(taxonomy: Taxonomy) -> Iterator[Branch]:
    """Yield all nodes, the top ones set apart by an empty line each."""
    tops = [node.name for node in taxonomy.entries.values() if node.depth == 1]
    for top in tops:
        last = top == tops[-1]
        yield from (Branch("│", ""), Branch("└── " if last else "├── ", top))
        yield from branches(taxonomy, top, "    " if last else "│   ")


def _render_line(
    taxonomy: Taxonomy, line: Branch, width: int, label_width: int, counts: Counts | None, style: Style
) -> str:
    node = taxonomy.node(line.node)
    name = f"({node.name})" if line.elsewhere else node.name
    fill = " " * (width - len(line.lines) - len(name))
    if line.elsewhere:
        return f"{line.lines}{_paint(name, _DIM, style)}{fill}  {_paint(f'see {line.elsewhere}', _DIM, style)}"
    shown = name if taxonomy.is_leaf(node.name) else _paint(name, _BOLD, style)
    cells = [f"{node.label or '':>{label_width}}", _paint(f"{node.go or '':10}", _DIM, style)]
    if counts:
        images, share = counts.images[node.name], counts.images[node.name] / max(counts.total, 1)
        percent = "< 0.1 %" if 0 < share < 0.0005 else f"{100 * share:5.1f} %"  # what rounds to nothing is not nothing
        cells += [f"{images:>6,}", percent, f"{_bar(share):{_BAR_CELLS}}"]
    also = ", ".join(parent for parent in node.parents if parent != node.home)
    notes = ["open"] * node.open + [f"also under {also}"] * bool(also)
    cells += [f"[{'; '.join(notes)}]"] if notes else []
    return f"{line.lines}{shown}{fill}  {'  '.join(cells)}".rstrip()


def _bar(share: float) -> str:
    """Return a bar whose length is the share of `_BAR_CELLS`, in eighths of a character."""
    eighths = round(share * _BAR_CELLS * 8)
    full, rest = divmod(max(eighths, 1 if share > 0 else 0), 8)
    return "█" * full + (_EIGHTHS[rest] if rest else "")


def _paint(text: str, code: str, style: Style) -> str:
    return f"{code}{text}{_PLAIN}" if style.colour and text.strip() else text
