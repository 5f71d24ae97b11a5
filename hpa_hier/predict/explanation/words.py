"""Words: what is in a picture, why, and what is doubtful about it, for those who took it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from hpa_hier.ensemble.decide.safe import UNSURE
from hpa_hier.ensemble.decide.thresholds import HALF, NEVER
from hpa_hier.ensemble.novelty.words import NO_DISTANCES
from hpa_hier.predict.explanation.explained import Explained
from hpa_hier.taxonomy import Taxonomy

_SHOWN = 3  # likeliest places
_NEAREST = 2  # of the nodes that are not in the answer, named at each step
_FEW = 20  # images, fewer than which make a threshold a guess
_LIKELIHOOD = (  # the scale of Mastrandrea et al., IPCC guidance note on uncertainties, 2010
    (0.99, "virtually certain"),
    (0.90, "very likely"),
    (0.66, "likely"),
    (0.33, "about as likely as not"),
    (0.10, "unlikely"),
    (0.01, "very unlikely"),
    (0.00, "exceptionally unlikely"),
)


def explain_in_words(one: Explained) -> str:
    """Describe what the answer for a sample is, what it rests on, and what is doubtful about it."""
    likeliest = sorted(one.ensemble.taxonomy.leaves, key=lambda leaf: -one.prob(leaf))[:_SHOWN]
    blocks = (_head(one), _list_likeliest(one, likeliest), _reasons(one, likeliest[0]), _doubts(one, likeliest))
    return "\n\n".join("\n".join(block) for block in blocks)


def say_percent(share: float) -> str:
    """Return a share of 1 for people.

    >>> say_percent(0.931), say_percent(0.0004), say_percent(0.9999)
    ('93 %', 'below 1 %', 'above 99 %')
    """
    if share < 0.01:
        return "below 1 %"
    return "above 99 %" if share > 0.99 else f"{share:.0%}".replace("%", " %")


def _head(one: Explained) -> list[str]:
    lines = [f"image:        {one.prediction.ids[0]}"]
    if one.place:
        lines.append(f"from:         {one.place}")
    lines += [f"answered by:  {len(one.members)} networks of {one.source}", f"answer:       {_say_answer(one)}"]
    safe = {"": "none, see below", UNSURE: f"{UNSURE}: no place is certain enough"}.get(one.safe, one.safe)
    lines.append(f"safe answer:  {safe}")
    if one.annotated is not None:
        lines.append(f"annotated:    {', '.join(one.annotated) or 'nothing'}")
    return lines


def _say_answer(one: Explained) -> str:
    taxonomy = one.ensemble.taxonomy.without_virtual
    there = [node for node in taxonomy.nodes if one.is_present(node)]
    leaves = [node for node in there if taxonomy.is_leaf(node)]
    if leaves:
        return ", ".join(leaves)
    nearest = f"; the nearest is {one.fallback}" if one.fallback else ""
    if there:
        return f"{', '.join(there)}, but none of its places reaches its threshold{nearest}"
    return f"{UNSURE}: no place reaches its threshold{nearest}"


def _list_likeliest(one: Explained, leaves: Sequence[str]) -> list[str]:
    width = max(map(len, leaves))
    lines = [f"The {len(leaves)} likeliest places"]
    for leaf in leaves:
        prob = one.prob(leaf)
        word = next(word for least, word in _LIKELIHOOD if prob >= least)
        lines.append(f"  {leaf:<{width}}  {say_percent(prob):>10}  {word}{', in the answer' * one.is_present(leaf)}")
    return lines


def _reasons(one: Explained, likeliest: str) -> list[str]:
    """Return the way to the likeliest place in a sentence, and the tree with each node's threshold."""
    taxonomy = one.ensemble.taxonomy.without_virtual
    tops = [node for node in taxonomy.nodes if taxonomy.entries[node].depth == 1]
    path = [likeliest]
    while (home := taxonomy.entries[path[0]].home) is not None:
        path.insert(0, home)
    path = [node for node, below in pairwise((*path, "")) if not below or len(taxonomy.children(node)) > 1]
    way = ", there in ".join(f"{node} ({say_percent(one.prob(node))})" for node in path)
    return ["Why", f"  Most likely in {way}. Step by step:", *_walk(one, taxonomy, tops, "    ")]


def _walk(one: Explained, taxonomy: Taxonomy, nodes: Sequence[str], indent: str) -> Iterator[str]:
    """Yield a line for each of these nodes that is in the answer, those below it, and one for the rest."""
    for node in nodes:
        if one.is_present(node):
            below = [child for child in taxonomy.children(node) if taxonomy.entries[child].home == node]
            if len(below) == 1 and one.is_present(below[0]):
                yield from _walk(one, taxonomy, below, indent)  # an organelle with a single place is that place
                continue
            yield f"{indent}{node}: {_say_reached(one, taxonomy, node)}{_say_agreement(one, node)}"
            yield from _walk(one, taxonomy, below, indent + "  ")
    absent = sorted((node for node in nodes if not one.is_present(node)), key=lambda node: -one.prob(node))
    if absent:
        more = f", and {len(absent) - _NEAREST} more" if len(absent) > _NEAREST else ""
        named = ", ".join(f"{node}: {_say_missed(one, node)}" for node in absent[:_NEAREST])
        yield f"{indent}not {named}{more}"


def _say_reached(one: Explained, taxonomy: Taxonomy, node: str) -> str:
    prob, threshold = one.prob(node), _threshold(one, node)
    if taxonomy.exclusive:
        return f"{say_percent(prob)}, the likeliest"
    if prob >= threshold:
        return f"{say_percent(prob)}, where {say_percent(threshold)} is enough"
    below = next((child for child in taxonomy.children(node) if one.is_present(child)), "a place")
    return f"{say_percent(prob)}, in the answer because {below} is"


def _say_missed(one: Explained, node: str) -> str:
    if _rule(one, node) == NEVER:
        return f"{say_percent(one.prob(node))} (never in an answer: no image of it to learn from)"
    if one.ensemble.taxonomy.exclusive:
        return say_percent(one.prob(node))
    return f"{say_percent(one.prob(node))} (needs {say_percent(_threshold(one, node))})"


def _say_agreement(one: Explained, node: str) -> str:
    spread = _spread(one, node)
    if len(spread) < 2:
        return ""
    (lowest, _), (highest, _) = spread[0], spread[-1]
    if _disagree(one, node):
        return f"; {_say_spread(spread)}"
    who = "both" if len(spread) == 2 else f"all {len(spread)}"
    return f"; {who} networks agree ({say_percent(lowest)} to {say_percent(highest)})"


def _spread(one: Explained, node: str) -> list[tuple[float, str]]:
    """Return the members' own probabilities of a node with their names, lowest first."""
    j = one.ensemble.taxonomy.column[node]
    weights = one.ensemble.combiner.aggregate.weights
    used = np.isfinite(one.calibrated[:, j]) & (True if weights is None else np.asarray(weights)[:, j] != 0)
    return sorted((float(one.calibrated[row, j]), one.scored[row].name) for row in np.flatnonzero(used))


def _disagree(one: Explained, node: str) -> bool:
    """Tell whether some members are above a node's threshold, and others below."""
    spread = _spread(one, node)
    return bool(spread) and spread[0][0] < _threshold(one, node) <= spread[-1][0]


def _say_spread(spread: Sequence[tuple[float, str]]) -> str:
    (lowest, lower), (highest, higher) = spread[0], spread[-1]
    return f"the networks disagree: '{lower}' says {say_percent(lowest)}, '{higher}' {say_percent(highest)}"


def _doubts(one: Explained, likeliest: Sequence[str]) -> list[str]:
    missing = (f"there is no {channel} channel; zeros stand for it" for channel in one.filled)
    found = [*one.doubts, *missing, *_doubt_places(one, likeliest), *one.notes]
    if one.ensemble.novelty is None and "score_kind" not in one.ensemble.about:  # score tables have no samples
        found.append(f"whether it is like what was learned from is not known: {NO_DISTANCES}")
    return ["What is doubtful", *(f"  - {line}" for line in found or ["nothing that is known of"])]


def _doubt_places(one: Explained, likeliest: Sequence[str]) -> Iterator[str]:
    """Yield what is doubtful about the places in the answer and the likeliest ones."""
    ensemble = one.ensemble
    nodes = [leaf for leaf in ensemble.taxonomy.leaves if leaf in likeliest or one.is_present(leaf)]
    for leaf in nodes:
        j, rule = ensemble.taxonomy.column[leaf], _rule(one, leaf)
        low, high = ensemble.thresholds.low[j], ensemble.thresholds.high[j]
        images = int(ensemble.thresholds.positives[j])
        if rule == NEVER:
            yield f"{leaf} is never in an answer: there was no image of it to fit on"
        elif rule == HALF:
            yield f"{leaf}: the networks do not tell it apart from other places"
        elif ensemble.taxonomy.exclusive:
            pass
        elif images < _FEW:
            yield f"the threshold of {leaf} rests on {images} {'image' if images == 1 else 'images'} of it"
        elif low <= one.prob(leaf) <= high and low < high:
            shown = f"{say_percent(_threshold(one, leaf))} could as well be {say_percent(low)} to {say_percent(high)}"
            yield f"{leaf} is a close call: its threshold, {shown}"
        if one.is_present(leaf) and _disagree(one, leaf):
            yield f"{leaf}: {_say_spread(_spread(one, leaf))}"


def _threshold(one: Explained, node: str) -> float:
    return float(one.prediction.thresholds[one.ensemble.taxonomy.column[node]])


def _rule(one: Explained, node: str) -> str:
    return one.ensemble.thresholds.rules[one.ensemble.taxonomy.column[node]]
