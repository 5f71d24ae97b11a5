"""Numbers: one sample's way down the tree in tables: scores, calibration, reconciliation, thresholds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from hpa_hier.ensemble.decide.safe import UNSURE
from hpa_hier.ensemble.decide.thresholds import HALF, NEVER
from hpa_hier.ensemble.ensemble import Ensemble, Prediction
from hpa_hier.ensemble.scores.scores import Scores
from hpa_hier.metrics.arrays import Bools
from hpa_hier.metrics.logistic import expit
from hpa_hier.predict.explanation.explained import Explained
from hpa_hier.taxonomy import Taxonomy
from hpa_hier.taxonomy.draw import Branch, branches

_RUNNERS_UP = 3  # most likely leaves that are shown with each member's scores though they are not present


def explain_in_numbers(one: Explained, every_node: bool = False) -> str:
    """Describe in tables how a sample's labels came about.

    Args:
        one: the sample.
        every_node: show each member's scores of all nodes, not only of those present and the most likely leaves.

    Returns:
        Three blocks of lines: the answer; the tree with what reconciliation changed and what the thresholds ask for;
        and each member's scores.
    """
    ensemble, prediction = one.ensemble, one.prediction
    about = f"{one.source}: {len(one.members)} members, {ensemble.aggregate}, {ensemble.reconcile}"
    about += f", the odds of {ensemble.prior.new.source}" if ensemble.prior else ""
    source = "; ".join(filter(None, (about, one.place)))
    answer = [f"image      {prediction.ids[0]}", f"from       {source}", _describe_answer(ensemble, prediction)]
    if one.annotated is not None:
        answer.append(f"annotated  {', '.join(one.annotated) or 'nothing'}")
    if one.filled:
        answer.append(f"filled     {', '.join(one.filled)}: the image has no such channel, zeros stand for it")
    answer += [f"doubtful   {doubt}" for doubt in one.doubts]
    tree = _draw_tree(ensemble, prediction, one.answered)
    blocks = (answer, tree, _member_lines(ensemble, prediction, one.scored, one.answered, every_node))
    return "\n\n".join("\n".join(block) for block in blocks)


def _describe_answer(ensemble: Ensemble, prediction: Prediction) -> str:
    taxonomy, present = ensemble.taxonomy, prediction.present[0]
    answer = [leaf for leaf in taxonomy.leaves if present[taxonomy.column[leaf]]]
    if answer:
        return f"answer     {', '.join(answer)}"
    real = taxonomy.without_virtual.nodes
    groups = [node for node in real if present[taxonomy.column[node]] and not taxonomy.is_leaf(node)]
    if not groups:
        some = (prediction.probs[0] >= prediction.thresholds).any()
        what = "only nodes that are not told apart reach their thresholds" if some else "nothing reaches its threshold"
        return f"answer     {UNSURE}: {what}; nearest leaf: {_nearest_leaf(taxonomy, prediction)}"
    reached = f"no leaf reaches its threshold, but {', '.join(groups)} does"
    return f"answer     {reached}; nearest leaf: {_nearest_leaf(taxonomy, prediction)}"


def _nearest_leaf(taxonomy: Taxonomy, prediction: Prediction) -> str:
    return max(taxonomy.leaves, key=lambda leaf: prediction.probs[0, taxonomy.column[leaf]])


def _draw_tree(ensemble: Ensemble, prediction: Prediction, answered: Bools) -> list[str]:
    taxonomy = ensemble.taxonomy
    rows = []
    for top in taxonomy.nodes:
        if not _parents(taxonomy, top):
            rows += [Branch("", top), *branches(taxonomy, top, everywhere=False)]
    width = max(len(row.lines) + len(row.node) for row in rows) + 2
    head = f"{'the way down':<{width}}  {'together':>8}  {ensemble.reconcile:>8}    needs"
    lines = [head, "─" * (len(head) + 10)]
    for row in rows:
        node = row.node
        j = taxonomy.column[node]
        mark = "●" if prediction.present[0, j] else "○"
        low, high = ensemble.thresholds.low[j], ensemble.thresholds.high[j]
        interval = "" if np.isnan(low) or ensemble.thresholds.rules[j] == "fixed" else f" ({low:.3f}..{high:.3f})"
        numbers = f"{prediction.raw[0, j]:>8.3f}  {prediction.probs[0, j]:>8.3f}"
        needs = "likeliest leaf" if taxonomy.exclusive else f"≥ {prediction.thresholds[j]:.3f}{interval}"
        needs = NEVER if ensemble.thresholds.rules[j] == NEVER else needs
        notes = "; ".join(_describe_changes(ensemble, prediction, answered, node))
        lines.append(f"{row.lines + mark + ' ' + node:<{width}}  {numbers}    {needs:<23} {notes}".rstrip())
    lines.append(f"● present, ○ not; together: {ensemble.combiner.aggregate.summary}; needs: threshold (its interval)")
    return lines


def _describe_changes(ensemble: Ensemble, prediction: Prediction, answered: Bools, node: str) -> Iterator[str]:
    """Describe what reconciliation and closure changed at a node."""
    taxonomy, reconciler = ensemble.taxonomy, ensemble.combiner.reconciler
    j = taxonomy.column[node]
    raw, prob, present = prediction.raw[0], prediction.probs[0], prediction.present[0]
    if ensemble.thresholds.rules[j] == NEVER:
        yield "no positive to fit on"
    if ensemble.thresholds.rules[j] == HALF:
        yield "not told apart"
    if not answered[j]:
        yield f"no member answers: {reconciler.filling}"
    raising = [child for child in taxonomy.children(node) if prob[taxonomy.column[child]] == prob[j] > raw[j]]
    if raising:
        yield f"raised to {raising[0]}"
    yield from filter(None, [reconciler.describe(prediction.raw, answered, taxonomy, node)])
    if present[j] and prob[j] < prediction.thresholds[j]:
        below = [child for child in taxonomy.children(node) if present[taxonomy.column[child]]]
        yield f"on because {below[0]} is"
    others = [parent for parent in _parents(taxonomy, node) if parent != taxonomy.entries[node].home]
    if others:
        yield f"also under {', '.join(others)}"


def _member_lines(
    ensemble: Ensemble, prediction: Prediction, scored: Sequence[Scores], answered: Bools, every_node: bool
) -> list[str]:
    taxonomy = ensemble.taxonomy
    calibrated = ensemble.combiner.calibrate(scored)
    covers, weights = ensemble.combiner.layout.covers, ensemble.combiner.aggregate.weights
    width = max(len(member.name) for member in ensemble.members)
    lines = [f"{'what each member says':<{width + 5}}{'its logit':>15}   {'calibrated':>15}"]
    lines.append("─" * (len(lines[0]) + 14))
    for node in taxonomy.nodes if every_node else _nodes_of_interest(taxonomy, prediction):
        j = taxonomy.column[node]
        verdict = "present" if prediction.present[0, j] else "not present"
        rule, positives = ensemble.thresholds.rules[j], ensemble.thresholds.positives[j]
        needs = "never called" if rule == NEVER else f"needs {prediction.thresholds[j]:.3f}"
        fitted = f"({rule}, fitted on {positives:,} positives)"
        lines.append(f"{node}: {prediction.probs[0, j]:.3f}, {needs} {fitted}: {verdict}")
        if not answered[j]:
            lines.append(f"    no member answers; {ensemble.combiner.reconciler.filling}")
        for row in map(int, np.flatnonzero(covers[:, j])):
            scores = scored[row]
            logit, calibrated_logit = scores.logits[0, scores.nodes.index(node)], calibrated[row][0, j]
            weight = "" if weights is None else f"weight {weights[row, j]:.2f}" if weights[row, j] else "not used"
            line = f"    {scores.name:<{width}} {_pair(logit)}   {_pair(calibrated_logit)}   {weight}"
            lines.append(line.rstrip())
    return lines


def _pair(logit: float) -> str:
    return f"{logit:>+7.2f} → {expit(logit):.3f}"  # 15 wide


def _nodes_of_interest(taxonomy: Taxonomy, prediction: Prediction) -> list[str]:
    """Nodes that are present, and the most likely leaves, in the order of the tree."""
    likely = sorted(taxonomy.leaves, key=lambda leaf: -prediction.probs[0, taxonomy.column[leaf]])[:_RUNNERS_UP]
    chosen = {*likely, *(node for node in taxonomy.nodes if prediction.present[0, taxonomy.column[node]])}
    return [node for node in taxonomy.nodes if node in chosen]


def _parents(taxonomy: Taxonomy, node: str) -> list[str]:
    """Return the nodes right above that can be an answer."""
    return [above for above in taxonomy.parents(node) if above not in taxonomy.virtual]
