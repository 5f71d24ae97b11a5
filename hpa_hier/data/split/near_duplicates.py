"""Near-duplicates: images that show the same cells, though no pixel need be alike, and what they join to groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hpa_hier.data.pack.pack import ImagePack, Pack
from hpa_hier.data.pack.samples import Sample
from hpa_hier.data.split.fingerprint import TURNS, fingerprints, likeness, thumbnails, turn_codes, turn_images
from hpa_hier.data.split.hamming import find_close_pairs
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import refuse_foreign
from hpa_hier.files.tables import write_table

if TYPE_CHECKING:
    import pandas as pd

DISTANCE = 11  # bits that two fingerprints may differ in
ALIKE = 0.8  # correlation of thumbnails from which a pair is one; different fields stay far below
_CHUNK = 256  # images read at a time
_HEADER = ("id", "other", "bits", "turn", "likeness", "part", "part_of_other")


@dataclass(frozen=True)
class NearPair:
    """Two images that look the same."""

    id: str
    other: str
    bits: int  # in which their fingerprints differ
    turn: int  # 0: as they are; else in which of the other seven ways the first has to be turned and flipped
    likeness: float  # correlation of their thumbnails


def find_near_duplicates(pack: Pack, distance: int = DISTANCE, *, turns: bool = True) -> tuple[NearPair, ...]:
    """Find the pairs of images of a pack that look the same: copies that were scaled, compressed, brightened or turned.

    All pairs whose fingerprints differ in at most `distance` bits are found, and those whose thumbnails correlate by
    at least `ALIKE` are kept. Of images with identical pixels only the first takes part; images without contrast none.

    Args:
        pack: of images; one of vectors is a UserError.
        distance: bits, 0 to 15.
        turns: find turned and flipped copies too.
    """
    if not isinstance(pack, ImagePack):
        raise UserError(f"{pack.path}: holds vectors, and near-duplicates are images; leave split.near_duplicates out")
    import pandas as pd

    firsts = {sample.pixels: row for row, sample in reversed(list(enumerate(pack.samples)))}
    rows, codes = _codes(pack, np.array(sorted(firsts.values()), dtype=np.int64))
    turns_asked = enumerate(turn_codes(codes)[: TURNS if turns else 1])
    found = [pd.DataFrame(find_close_pairs(asked, codes, distance)._asdict() | {"turn": t}) for t, asked in turns_asked]
    pairs = pd.concat(found).sort_values(["query", "code", "bits", "turn"]).drop_duplicates(["query", "code"])
    return tuple(_keep_alike(pack, pairs.assign(query=rows[pairs["query"]], code=rows[pairs["code"]])))


def join_groups(samples: Sequence[Sample], alike: Sequence[NearPair] = ()) -> tuple[str, ...]:
    """Return (B,) groups, joined where they share an identical image, or hold two that look alike.

    Joined groups are named after all of them, as in "10580+20011"; identical images without a group after their
    pixels; a sample with neither group nor duplicate has "".

    >>> cells = [Sample("a", (), "1", "x", ()), Sample("b", (), "", "x", ()), Sample("c", (), "2", "y", ())]
    >>> join_groups(cells), join_groups(cells, [NearPair("b", "c", bits=3, turn=0, likeness=0.9)])
    (('1', '1', '2'), ('1+2', '1+2', '1+2'))
    """
    import networkx as nx  # a tenth of a second to import, and answering needs none of it

    row_of = {sample.id: row for row, sample in enumerate(samples)}
    graph = nx.Graph((row_of[pair.id], row_of[pair.other]) for pair in alike)
    for row, sample in enumerate(samples):  # joined through what they share
        graph.add_edge(row, ("pixels", sample.pixels))
        if sample.group:
            graph.add_edge(row, ("group", sample.group))
    groups = [""] * len(samples)
    for component in nx.connected_components(graph):
        rows = sorted(node for node in component if isinstance(node, int))
        for row in rows:
            groups[row] = _name([samples[row] for row in rows])
    return tuple(groups)


def pairs_across_parts(pairs: Iterable[NearPair], part: Mapping[str, str]) -> tuple[NearPair, ...]:
    """Return the pairs whose images are in different parts; `part` gives the part of each id."""
    return tuple(p for p in pairs if p.id in part and p.other in part and part[p.id] != part[p.other])


def refuse_foreign_pairs(path: Path) -> None:
    """Refuse to replace anything but an earlier table of pairs."""
    refuse_foreign(path, ",".join(_HEADER))


def write_pairs(path: Path, pairs: Sequence[NearPair], part: Mapping[str, str]) -> None:
    """Write pairs as CSV, with the part of each id that `part` knows."""
    import pandas as pd

    rows = [
        (p.id, p.other, p.bits, p.turn, f"{p.likeness:.3f}", part.get(p.id, ""), part.get(p.other, "")) for p in pairs
    ]
    write_table(path, pd.DataFrame(rows, columns=_HEADER))


def _codes(pack: ImagePack, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of images with contrast, and their fingerprints."""
    kept, codes = [], []
    for first in range(0, len(rows), _CHUNK):
        part = rows[first : first + _CHUNK]
        small = thumbnails(pack.images(part))
        seen = small.any(axis=(1, 2))
        kept.append(part[seen])
        codes.append(fingerprints(small[seen]))
    return np.concatenate([np.zeros(0, np.int64), *kept]), np.concatenate([np.zeros(0, np.uint64), *codes])


def _keep_alike(pack: ImagePack, pairs: pd.DataFrame) -> Iterable[NearPair]:
    """Keep the pairs of rows `query`, once it is turned by `turn`, and `code` whose thumbnails are alike."""
    for first in range(0, len(pairs), _CHUNK):
        part = pairs[first : first + _CHUNK]
        one, other = (thumbnails(pack.images(part[side].to_numpy())) for side in ("query", "code"))
        back = np.stack([turn_images(small, turn) for small, turn in zip(one, part["turn"], strict=True)])
        for pair, alike in zip(part.itertuples(), likeness(back, other).tolist(), strict=True):
            if alike >= ALIKE:
                yield NearPair(pack.ids[pair.query], pack.ids[pair.code], int(pair.bits), int(pair.turn), alike)


def _name(together: Sequence[Sample]) -> str:
    groups = sorted({sample.group for sample in together if sample.group})
    if groups:
        return "+".join(groups)
    return f"pixels-{together[0].pixels}" if len(together) > 1 else ""
