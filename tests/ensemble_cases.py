"""Random label graphs, scores and truths that the ensemble's tests are run on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from hpa_hier.ensemble.scores.scores import Scores, Truth
from hpa_hier.taxonomy import Taxonomy

SEEDS = st.integers(0, 2**32 - 1)


@dataclass(frozen=True)
class Graph:
    """A random directed graph without cycles, as columns: children for each group, deepest first, and parents."""

    size: int
    parents: tuple[tuple[int, ...], ...]
    order: tuple[tuple[int, tuple[int, ...]], ...]

    @property
    def leaves(self) -> list[int]:
        groups = {group for group, _ in self.order}
        return [node for node in range(self.size) if node not in groups]

    def violations(self, values: np.ndarray) -> int:
        """How often a node's value is above that of a node right above it."""
        return sum(int((values[:, child] > values[:, list(above)].min(axis=1)).sum()) for child, above in self.edges())

    def edges(self) -> list[tuple[int, tuple[int, ...]]]:
        return [(child, above) for child, above in enumerate(self.parents) if above]


def random_graph(rng: np.random.Generator, most_parents: int = 3) -> Graph:
    size = int(rng.integers(1, 25))
    name = rng.permutation(size)  # columns in an order that has nothing to do with depth
    parents: list[tuple[int, ...]] = [()] * size
    depth = np.zeros(size, int)
    for i in range(1, size):
        above = rng.choice(i, size=min(i, int(rng.integers(0, most_parents + 1))), replace=False)
        parents[name[i]] = tuple(int(name[j]) for j in above)
        depth[name[i]] = 1 + max((depth[name[j]] for j in above), default=-1)
    children: dict[int, list[int]] = {}
    for child, above in enumerate(parents):
        for parent in above:
            children.setdefault(parent, []).append(child)
    order = tuple((g, tuple(children[g])) for g in sorted(children, key=lambda g: -depth[g]))
    return Graph(size, tuple(parents), order)


def taxonomy_text(rng: np.random.Generator, graph: bool = True) -> str:
    """Three depths: 1 to 4 groups, 1 to 3 organelles in each, 1 to 3 leaves in each; some second parents."""
    groups = [f"Group {g}" for g in range(int(rng.integers(1, 5)))]
    lines, label = ["taxonomy: drawn", "levels: {coarse: 1, middle: 2, leaf: leaves}", "tree:"], 0
    for group in groups:
        lines.append(f"  {group}:")
        for organelle in range(int(rng.integers(1, 4))):
            lines.append(f"    {group} organelle {organelle}:")
            others = [other for other in groups if other != group]
            for _ in range(int(rng.integers(1, 4))):
                second = f", also_under: [{rng.choice(others)}]" if graph and others and rng.random() < 0.3 else ""
                lines.append(f"      Leaf {label}: {{label: {label}{second}}}")
                label += 1
    return "\n".join(lines) + "\n"


def random_taxonomy(rng: np.random.Generator, graph: bool = True) -> Taxonomy:
    return Taxonomy.from_text(taxonomy_text(rng, graph))


def draw_truth(rng: np.random.Generator, taxonomy: Taxonomy, size: int, unknown: float = 0.05) -> Truth:
    """Leaves present by chance, closed; some answers unknown."""
    leaves = [taxonomy.column[leaf] for leaf in taxonomy.leaves]
    present = np.zeros((size, len(taxonomy.nodes)), bool)
    present[:, leaves] = rng.random((size, len(leaves))) < rng.uniform(0.02, 0.5, len(leaves))
    ids = tuple(f"sample-{i:05d}" for i in rng.permutation(size))
    return Truth(ids, taxonomy.close(present), rng.random(present.shape) >= unknown)


def draw_member(
    rng: np.random.Generator, name: str, nodes: tuple[str, ...], truth: Truth, taxonomy: Taxonomy
) -> Scores:
    """Logits that follow the truth with noise, float32 as networks give them."""
    columns = [taxonomy.column[node] for node in nodes]
    signal = np.where(truth.present[:, columns], 1.0, -1.0) * rng.uniform(0.3, 3)
    noise = rng.normal(size=signal.shape) * rng.uniform(0.3, 2) + rng.normal(size=len(nodes))
    return Scores(name, truth.ids, nodes, np.float32(signal + noise).astype(np.float64))


def draw_members(rng: np.random.Generator, truth: Truth, taxonomy: Taxonomy) -> list[Scores]:
    """A coarse member, two leaf members, and two that share the leaves between them."""
    leaves = taxonomy.leaves
    cut = len(leaves) // 2
    answers = {"coarse": taxonomy.level("coarse"), "leaf": leaves, "leaf-s1": leaves, "minority": leaves[cut:]}
    if cut:
        answers["majority"] = leaves[:cut]
    return [draw_member(rng, name, nodes, truth, taxonomy) for name, nodes in answers.items()]
