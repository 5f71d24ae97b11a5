"""Simulated packs: images that come from a generator, not from a folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from hpa_hier.data.pack.pack_file import CLAIM, PACK, PackFacts, claim_folder, read_pack_file, write_pack
from hpa_hier.taxonomy import Taxonomy

_REQUEST = "request"  # key of the facts' sources


def write_simulated_pack(
    out: Path,
    images: Iterable[np.ndarray],
    ids: Sequence[str],
    nodes: Sequence[Sequence[str]],
    groups: Sequence[str],
    channels: Sequence[str],
    taxonomy: Taxonomy,
    note: str,
    intensity: str = "depth",
    request: str = "",
) -> None:
    """Write simulated images as a pack, in one pass over `images`.

    Args:
        out: folder to fill.
        images: (C, S, S) uint8 each, in the order of `ids`.
        ids: sample ids.
        nodes: annotated node names of each sample.
        groups: keys that must not cross a split; "" where there is none.
        channels: names along axis C.
        taxonomy: the words that `nodes` are in.
        note: what was simulated, kept in `pack.json`.
        intensity: rule by which `images` were converted to 8 bits, "depth" or "percentile".
        request: digest of all that the images follow from, which `is_written` asks for; "": it is not kept.

    Raises:
        UserError: `out` already holds a finished pack.
    """
    claim_folder(out, {"note": note})
    stream = iter(images)
    first = next(stream)
    facts = PackFacts(
        channels=tuple(channels),
        size=first.shape[-1],
        intensity=intensity,
        simulated=True,
        note=note,
        sources={_REQUEST: request} if request else {},
    )
    write_pack(out, chain([first], stream), ids, nodes, groups, facts, taxonomy)


def is_written(out: Path, request: str) -> bool:
    """Tell whether a folder holds the finished pack of a request, also of a process that was killed right after."""
    if not (out / PACK).is_file() or read_pack_file(out).facts.sources.get(_REQUEST) != request:
        return False
    (out / CLAIM).unlink(missing_ok=True)
    return True
