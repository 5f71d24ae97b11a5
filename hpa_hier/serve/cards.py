"""Cards: what the page and programs are told of one image's answer."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpa_hier.data.images.channels import STAINS
from hpa_hier.ensemble.decide.safe import UNSURE
from hpa_hier.predict.answers import Answers
from hpa_hier.serve.work.job import Job, Ready

_UNLIKE = "unlike what was learned from"  # how the warning begins


def make_row(one: Ready) -> dict[str, Any]:
    """Return the few facts that a table of many images shows."""
    answers = one.answers
    ((_, answer),) = answers
    doubts = answers.doubts[0] if answers.doubts else ()
    lacking = [f"no {channel} (zeros)" for channel in answers.filled[0]]
    reason = answers.unsafe or ("unsure" if answer.safe == UNSURE else None)
    return {
        "key": one.key,
        "id": one.id,
        "name": one.shown,
        "places": [{"node": node, "prob": prob} for node, prob in answers.places[0]],
        "labels": list(answer.labels),
        "groups": list(answer.groups),
        "fallback": answer.fallback or None,
        "safe": None if reason else answer.safe or None,
        "safe_reason": reason,
        "doubt": measure_doubt(answers),
        "doubtful": [*doubts, *lacking],
        "unlike": any(text.startswith(_UNLIKE) for text in doubts),
        "warning": answers.warning[0],
        "corrected": one.correction,
    }


def make_card(job: Job, one: Ready) -> dict[str, Any]:
    """Return all that is said of one image, but for its reasons."""
    answers, limits = one.answers, one.answers.ensemble.thresholds
    tree = answers.taxonomy
    nodes = []
    for j, node in enumerate(answers.nodes):
        column = tree.column[node]
        never = bool(limits.never[column])
        nodes.append(
            {
                "node": node,
                "prob": float(answers.probs[0, j]),
                "threshold": None if never or tree.exclusive else float(answers.prediction.thresholds[column]),
                "present": bool(answers.present[0, j]),
                "never": never,
            }
        )
    planes = one.source["planes"]
    files = list(dict.fromkeys(str(plane["file"]) for plane in planes.values()))
    return {
        **make_row(one),
        "caution": job.listed.caution,
        "nodes": nodes,
        "filled": list(answers.filled[0]),
        "channels": [{"name": name, "stain": STAINS.get(name, name)} for name in STAINS if name in planes],
        "source": [job.show(file) for file in files],
    }


def measure_doubt(answers: Answers) -> float:
    """Return how many leaves of the one image are expected to be called wrongly or missed, by the probabilities."""
    tree = answers.taxonomy
    leaves = [tree.column[leaf] for leaf in tree.leaves]
    probs, present = answers.prediction.probs[0, leaves], answers.prediction.present[0, leaves]
    return float(np.where(present, 1 - probs, probs).sum())
