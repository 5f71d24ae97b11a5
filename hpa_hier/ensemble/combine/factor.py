"""The missing factor: a member that saw one node's images only knows P(leaf | node); times P(node) that is P(leaf)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hpa_hier.ensemble.scores.scores import Scores
from hpa_hier.errors import UserError
from hpa_hier.metrics.arrays import Bools, Floats
from hpa_hier.taxonomy import Taxonomy


def product_logits(one: Floats, other: Floats) -> Floats:
    """Return the logit of the product of two probabilities, of their logits; finite however large these are.

    ab / (1 - ab) is 1 / (exp(-one) + exp(-other) + exp(-one - other)), so that nothing near to 1 is subtracted from it.

    >>> from hpa_hier.metrics.logistic import expit
    >>> float(expit(product_logits(np.array(0.0), np.array(0.0))).round(6))
    0.25
    """
    return np.asarray(-np.logaddexp(np.logaddexp(-one, -other), -one - other))


def apply_factors(logits: Sequence[Floats], covers: Bools, given: Sequence[int | None]) -> list[Floats]:
    """Multiply the answers of members that were trained on one node's images by that node's probability.

    Args:
        logits: E arrays (B, N), calibrated, 0 where a member does not answer.
        covers: (E, N) which member answers for which node.
        given: for each member, the column of that node; None for a member that was trained on all images.

    Returns:
        E arrays (B, N). The factor is the mean logit of the members that answer for the node and were trained on all
        images.

    >>> part, leaf = np.array([[0.0, 0.0]]), np.array([[0.0, 0.0]])
    >>> covers = np.array([[True, False], [False, True]])
    >>> apply_factors([part, leaf], covers, [None, 0])[1].round(3)
    array([[ 0.   , -1.099]])
    """
    result = list(logits)
    for e, node in enumerate(given):
        if node is not None:
            sources = [logits[s][:, node] for s in range(len(logits)) if covers[s, node] and given[s] is None]
            # One after another: np.mean adds a single row in another order than many.
            factor = (sum(sources[1:], start=sources[0]) / len(sources))[:, None]
            result[e] = np.where(covers[e], product_logits(logits[e], factor), 0.0)
    return result


def check_factors(members: Sequence[Scores], taxonomy: Taxonomy) -> None:
    """Refuse members that were trained on one node's images where nobody says how likely that node is.

    Raises:
        UserError: naming the member and what it lacks.
    """
    sources = {node for scores in members if not scores.given for node in scores.nodes}
    for scores in members:
        if scores.given and scores.given not in sources:
            virtual = scores.given not in taxonomy.column or scores.given in taxonomy.virtual
            how = "partition.virtual_nodes: true and a member with level: partition" if virtual else "one that does"
            raise UserError(
                f"member '{scores.name}' was trained on images of '{scores.given}' alone (images: own), and no member "
                f"says how likely that is; add {how}, train it on images: all, or set ensemble.aggregate: concat"
            )
