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
MOST_OTHERS = 16  # that an image is compared with, where not all of them are needed to join those alike
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
    Of an image that is like more than `MOST_OTHERS` others, as a frame of a film, those with the nearest fingerprints
    are kept, and pairs without which two images would no longer be joined through others.

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
    return _keep_alike(pack, pairs.assign(query=rows[pairs["query"]], code=rows[pairs["code"]]).reset_index(drop=True))


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


def _keep_alike(pack: ImagePack, pairs: pd.DataFrame) -> tuple[NearPair, ...]:
    """Keep the pairs of rows `query`, once it is turned by `turn`, and `code` whose thumbnails are alike.

    First each image's nearest are compared; then, as long as there are pairs between images that are not joined yet,
    one for each two groups of joined images. Every pair that is left out is of two that others join.
    """
    nearest = pairs.sort_values("bits", kind="stable")
    rank = np.minimum(nearest.groupby("query").cumcount(), nearest.groupby("code").cumcount()).sort_index()
    compare = _Comparison.of(pack, pairs)
    due = np.flatnonzero(rank.to_numpy() < MOST_OTHERS)
    likenesses = np.full(len(pairs), np.nan, np.float32)  # of those that have been compared
    while len(due):
        likenesses[due] = compare.measure(due)
        groups = compare.join(likenesses >= ALIKE)
        open_pairs = np.flatnonzero(np.isnan(likenesses) & (groups[compare.ones] != groups[compare.others]))
        between = groups[compare.ones[open_pairs]] * len(groups) + groups[compare.others[open_pairs]]
        due = open_pairs[np.unique(between, return_index=True)[1]]
    return tuple(
        NearPair(
            pack.ids[pair.query], pack.ids[pair.code], int(pair.bits), int(pair.turn), float(likenesses[pair.Index])
        )
        for pair in pairs[likenesses >= ALIKE].itertuples()
    )


@dataclass(frozen=True)
class _Comparison:
    """The thumbnails of the images that pairs are of, each made once."""

    small: np.ndarray  # (B, 32, 32) of the images that are in pairs
    ones: np.ndarray  # (P,) places in it of each pair's first image
    others: np.ndarray  # (P,) and of its second
    turns: np.ndarray  # (P,) by which the first is turned

    @classmethod
    def of(cls, pack: ImagePack, pairs: pd.DataFrame) -> _Comparison:
        """Make the thumbnails."""
        rows = np.unique(pairs[["query", "code"]].to_numpy())
        parts = [thumbnails(pack.images(rows[first : first + _CHUNK])) for first in range(0, len(rows), _CHUNK)]
        small = np.concatenate(parts) if parts else np.zeros((0, 1, 1), np.float32)
        ones, others = (np.searchsorted(rows, pairs[side].to_numpy()) for side in ("query", "code"))
        return cls(small, ones, others, pairs["turn"].to_numpy())

    def measure(self, due: np.ndarray) -> np.ndarray:
        """Return how alike the pairs at the places `due` are."""
        measured = []
        for first in range(0, len(due), _CHUNK):
            part = due[first : first + _CHUNK]
            turned = [
                turn_images(self.small[one], turn) for one, turn in zip(self.ones[part], self.turns[part], strict=True)
            ]
            measured.append(likeness(np.stack(turned), self.small[self.others[part]]))
        return np.concatenate(measured)

    def join(self, alike: np.ndarray) -> np.ndarray:
        """Return the number of the group of each image, joined by the pairs that are alike."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        count = len(self.small)
        edges = (np.ones(int(alike.sum()), bool), (self.ones[alike], self.others[alike]))
        return np.asarray(connected_components(coo_array(edges, (count, count)), directed=False)[1], np.int64)


def _name(together: Sequence[Sample]) -> str:
    groups = sorted({sample.group for sample in together if sample.group})
    if groups:
        return "+".join(groups)
    return f"pixels-{together[0].pixels}" if len(together) > 1 else ""
