"""Evidence: the training images that decided, beside an answer, where a member lets them vote."""

from __future__ import annotations

import numpy as np

from hpa_hier.ensemble.ensemble import Ensemble
from hpa_hier.runs.run import Run

_SHOWN = 5  # nearest training images


def evidence(run: Run, ensemble: Ensemble, images: np.ndarray, device: str) -> str:
    """Name the training images that members which vote found nearest to one image; "" where no member votes."""
    from hpa_hier.members.neighbours import find_neighbours, has_neighbours
    from hpa_hier.members.score import Member

    blocks = []
    for record in run.select_members([member.name for member in ensemble.members]):
        if record.manifest.head != "arcface" or not has_neighbours(member := Member.load(record.folder, device)):
            continue
        (found,) = find_neighbours(record.folder, member, images)
        lines = [f"nearest    training images, as '{record.name}' sees them"]
        lines += [f"  {one.similarity:6.3f}  {one.id}  {', '.join(one.annotated)}" for one in found[:_SHOWN]]
        blocks.append("\n".join(lines))
    return "".join(f"\n\n{block}" for block in blocks)
