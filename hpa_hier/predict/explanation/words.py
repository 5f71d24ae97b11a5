"""Words: what is in a picture, why, and what is doubtful about it, for those who took it."""

from __future__ import annotations

from hpa_hier.ensemble.decide.safe import UNSURE
from hpa_hier.predict.explanation.reasons import Reasons, say_percent


def explain_in_words(reasons: Reasons) -> str:
    """Describe what the answer for a sample is, what it rests on, and what is doubtful about it."""
    blocks = (_head(reasons), _list_likeliest(reasons), _explain_path(reasons), _doubts(reasons))
    return "\n\n".join("\n".join(block) for block in blocks)


def _head(reasons: Reasons) -> list[str]:
    lines = [f"image:        {reasons.sample}"]
    if reasons.place:
        lines.append(f"from:         {reasons.place}")
    members = f"{reasons.members} {'member' if reasons.members == 1 else 'members'}"
    lines += [f"answered by:  {members} of {reasons.source}", f"answer:       {_say_answer(reasons)}"]
    safe = {"": "none, see below", UNSURE: f"{UNSURE}: no place is certain enough"}
    lines.append(f"safe answer:  {safe.get(reasons.safe or '', reasons.safe)}")
    if reasons.annotated is not None:
        lines.append(f"annotated:    {', '.join(reasons.annotated) or 'nothing'}")
    return lines


def _say_answer(reasons: Reasons) -> str:
    if reasons.labels:
        return ", ".join(reasons.labels)
    nearest = f"; the nearest is {reasons.fallback}" if reasons.fallback else ""
    if reasons.groups:
        return f"{', '.join(reasons.groups)}, but none of its places reaches its threshold{nearest}"
    return f"{UNSURE}: no place reaches its threshold{nearest}"


def _list_likeliest(reasons: Reasons) -> list[str]:
    width = max(len(place.node) for place in reasons.places)
    lines = [f"The {len(reasons.places)} likeliest places"]
    for one in reasons.places:
        answer = ", in the answer" * one.present
        lines.append(f"  {one.node:<{width}}  {say_percent(one.prob):>10}  {one.likelihood}{answer}")
    return lines


def _explain_path(reasons: Reasons) -> list[str]:
    """Return the way to the likeliest place in a sentence, and the tree with each node's threshold."""
    way = ", there in ".join(f"{node} ({say_percent(reasons.prob(node))})" for node in reasons.path)
    return ["Why", f"  Most likely in {way}. Step by step:", *(f"    {line}" for line in reasons.why)]


def _doubts(reasons: Reasons) -> list[str]:
    found = (*reasons.warnings, *reasons.doubts, *reasons.notes)
    return ["What is doubtful", *(f"  - {line}" for line in found or ["nothing that is known of"])]
