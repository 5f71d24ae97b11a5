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
from hpa_hier.files.faults.leftovers import sweep
from hpa_hier.files.tables import write_table

if TYPE_CHECKING:
    import pandas as pd

DISTANCE = 11  # bits that two fingerprints may differ in
ALIKE = 0.8  # correlation of thumbnails from which a pair is one; different fields stay far below
MOST_OTHERS = 16  # that an image is compared with, where not all of them are needed to join those alike
MOST_TRIED = 64  # nearest fingerprints of an image, beyond which none is tried for joining it either
_CROWD = 64  # images that share sixteen bits of their fingerprints, from which one leads those like it
_LEADERS = 8  # of one crowd
_BANDS = 4  # of sixteen bits
_MOST_OF_A_BAND = 256  # images that share, or nearly share, sixteen bits, which one is compared with
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
    Of images that are like many others, as the frames of a film, some pairs are kept that join them: each is compared
    with one that leads its crowd, with the `MOST_OTHERS` nearest that this does not join, and, as long as groups are
    not joined, with one of each. Of these others, it is compared with the `MOST_TRIED` nearest fingerprints at most, so
    that time grows as the images do.

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
    search = _Search(pack, rows, codes, distance, TURNS if turns else 1)
    pairs = search.lead_crowds()
    if len(pairs):  # one of each crowd for all of it
        pairs = pd.concat([pairs, search.find(np.unique(search.join(pairs), return_index=True)[1], pairs)])
    pairs = pd.concat([pairs, search.find(np.arange(len(rows)), pairs)])
    pairs = pairs.sort_values(["query", "code", "bits", "turn"]).drop_duplicates(["query", "code"])
    ids = [pack.ids[row] for row in rows]
    return tuple(
        NearPair(ids[pair.query], ids[pair.code], int(pair.bits), int(pair.turn), float(pair.likeness))
        for pair in pairs.itertuples()
    )


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
    sweep(path.parent, path.stem)  # of a killed process that wrote the same
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


class _Search:
    """The search for pairs among images, each of which is a place in `codes`."""

    def __init__(self, pack: ImagePack, rows: np.ndarray, codes: np.ndarray, distance: int, turns: int) -> None:
        self._pack, self._rows, self._codes, self._distance = pack, rows, codes, distance
        self._turned = turn_codes(codes)[:turns]
        self._small = np.zeros((0, 1, 1), np.float32)  # (S, 32, 32) thumbnails, each made once it is needed
        self._place = np.full(len(rows), -1)  # of each image's in it

    def lead_crowds(self) -> pd.DataFrame:
        """Return pairs of an image that leads and one that is like it, where many share sixteen bits.

        What comes of a search among all that are alike grows with their number squared; this does not.
        """
        import pandas as pd

        led = [self._table([], [], [], [])]
        for band in range(_BANDS):
            values = np.ascontiguousarray(self._codes).view(np.uint16).reshape(-1, _BANDS)[:, band]
            order, counts = np.argsort(values, kind="stable"), np.bincount(values, minlength=1 << 16)
            ends = np.cumsum(counts)
            groups = self.join(pd.concat(led)) if len(led) > 1 else np.arange(len(values))
            for value in np.flatnonzero(counts > _CROWD):
                waiting = order[ends[value] - counts[value] : ends[value]]
                for _ in range(_LEADERS):
                    if len(waiting) <= _CROWD:
                        break
                    leader, waiting = waiting[0], waiting[1:]
                    waiting = waiting[groups[waiting] != groups[leader]]
                    bits = np.bitwise_count(self._codes[leader] ^ self._codes[waiting])
                    near = np.flatnonzero(bits <= self._distance)
                    ones = np.full(len(near), leader)
                    likenesses = self._measure(ones, waiting[near], np.zeros(len(near), np.int64))
                    alike = likenesses >= ALIKE
                    led.append(self._table(ones[alike], waiting[near][alike], bits[near][alike], likenesses[alike]))
                    waiting = np.delete(waiting, near[alike])
        return pd.concat(led)

    def find(self, chosen: np.ndarray, known: pd.DataFrame) -> pd.DataFrame:
        """Return the pairs of some images that are alike, but for those that known pairs join.

        First each image's nearest are compared; then, as long as there are pairs between images that are not joined
        yet, one for each two groups of joined images.
        """
        import pandas as pd

        codes, groups = self._codes[chosen], self.join(known)[chosen] if len(known) else None
        found = [
            pd.DataFrame(
                find_close_pairs(asked[chosen], codes, self._distance, groups, _MOST_OF_A_BAND)._asdict()
            ).assign(turn=turn)
            for turn, asked in enumerate(self._turned)
        ]
        pairs = pd.concat(found).sort_values(["query", "code", "bits", "turn"]).drop_duplicates(["query", "code"])
        nearest = pairs.reset_index(drop=True).sort_values("bits", kind="stable")
        rank = np.minimum(nearest.groupby("query").cumcount(), nearest.groupby("code").cumcount())
        pairs = nearest[rank < max(MOST_TRIED, MOST_OTHERS)].assign(rank=rank).sort_values(["query", "code"])
        ones, others, turns = chosen[pairs["query"]], chosen[pairs["code"]], pairs["turn"].to_numpy()
        likenesses = np.full(len(pairs), np.nan, np.float32)  # of those that have been compared
        due = np.flatnonzero(pairs["rank"].to_numpy() < MOST_OTHERS)
        joined = (known["query"].to_numpy(np.int64), known["code"].to_numpy(np.int64))
        while len(due):
            likenesses[due] = self._measure(ones[due], others[due], turns[due])
            alike = likenesses >= ALIKE
            of = self._join(np.concatenate([joined[0], ones[alike]]), np.concatenate([joined[1], others[alike]]))
            open_pairs = np.flatnonzero(np.isnan(likenesses) & (of[ones] != of[others]))
            between = of[ones[open_pairs]] * len(of) + of[others[open_pairs]]
            due = open_pairs[np.unique(between, return_index=True)[1]]
        alike = likenesses >= ALIKE
        return self._table(ones[alike], others[alike], pairs["bits"].to_numpy()[alike], likenesses[alike], turns[alike])

    def join(self, pairs: pd.DataFrame) -> np.ndarray:
        """Return the number of the group of each image, joined by pairs that are alike."""
        return self._join(pairs["query"].to_numpy(np.int64), pairs["code"].to_numpy(np.int64))

    def _join(self, ones: np.ndarray, others: np.ndarray) -> np.ndarray:
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        count = len(self._rows)
        edges = (np.ones(len(ones), bool), (ones, others))
        return np.asarray(connected_components(coo_array(edges, (count, count)), directed=False)[1], np.int64)

    def _measure(self, ones: np.ndarray, others: np.ndarray, turns: np.ndarray) -> np.ndarray:
        """Return how alike images `ones`, each turned by its turn, and `others` are."""
        self._make(np.concatenate([ones, others]))
        measured = [np.zeros(0, np.float32)]
        for first in range(0, len(ones), _CHUNK):
            part = slice(first, first + _CHUNK)
            first_ones, second = self._small[self._place[ones[part]]], self._small[self._place[others[part]]]
            turned = [turn_images(one, int(turn)) for one, turn in zip(first_ones, turns[part], strict=True)]
            measured.append(likeness(np.stack(turned), second))
        return np.concatenate(measured)

    def _make(self, wanted: np.ndarray) -> None:
        """Make the thumbnails that are not there yet."""
        new = np.unique(wanted[self._place[wanted] < 0])
        if not len(new):
            return
        parts = [thumbnails(self._pack.images(self._rows[new[i : i + _CHUNK]])) for i in range(0, len(new), _CHUNK)]
        self._place[new] = len(self._small) + np.arange(len(new))
        self._small = np.concatenate([self._small, *parts] if len(self._small) else parts)

    def _table(
        self,
        ones: Sequence[int] | np.ndarray,
        others: Sequence[int] | np.ndarray,
        bits: Sequence[int] | np.ndarray,
        likenesses: Sequence[float] | np.ndarray,
        turns: Sequence[int] | np.ndarray | int = 0,
    ) -> pd.DataFrame:
        import pandas as pd

        columns = {"query": ones, "code": others, "bits": bits, "likeness": likenesses}
        table = pd.DataFrame({name: np.asarray(values) for name, values in columns.items()})
        whole = {"query": np.int64, "code": np.int64, "bits": np.int64, "turn": np.int64, "likeness": np.float32}
        return table.assign(turn=turns).astype(whole)


def _name(together: Sequence[Sample]) -> str:
    groups = sorted({sample.group for sample in together if sample.group})
    if groups:
        return "+".join(groups)
    return f"pixels-{together[0].pixels}" if len(together) > 1 else ""
