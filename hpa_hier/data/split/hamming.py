"""Hamming search: all pairs of 64-bit codes that differ in a few bits, without comparing each with each."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np

MOST = 15  # bits; beyond, more is probed than comparing each with each would cost
# By hand: comparing each with each takes 2.8 to 16 times as long, and faiss would be one more dependency for this.
_BANDS, _WIDTH = 4, 16  # four bands of 16 bits
_AT_ONCE = 1 << 18  # candidates in memory


class ClosePairs(NamedTuple):
    """Pairs of codes."""

    query: np.ndarray  # (P,) places of the queries
    code: np.ndarray  # (P,) places of the codes
    bits: np.ndarray  # (P,) uint8, in which they differ


def find_close_pairs(
    queries: np.ndarray,
    codes: np.ndarray,
    distance: int,
    groups: np.ndarray | None = None,
    most: int | None = None,
) -> ClosePairs:
    """Return every query and code that differ in at most `distance` bits, where the query's place is the smaller one.

    Multi-index hashing: codes are looked up by each of four bands. Where two codes differ in k = 4 s + a bits, one of
    the first a + 1 bands differs in at most s, or one of the others in at most s - 1; so nothing is missed.

    Args:
        queries: (B,) uint64, such as the codes themselves, or those of the images turned.
        codes: (B,) uint64.
        distance: bits, 0 to 15.
        groups: (B,) numbers from 0; pairs within a group are left out, and cost next to nothing. None: there are none.
        most: codes of one band that a query is compared with, evenly spaced among those that have its bits there;
            None: all of them.

    Returns:
        The pairs, each once, sorted by place.

    Source: Norouzi, Punjani & Fleet, Fast search in Hamming space with multi-index hashing, CVPR 2012.

    >>> codes = np.array([0b0000, 0b0111, 0b0001], np.uint64)
    >>> find_close_pairs(codes, codes, 1)
    ClosePairs(query=array([0]), code=array([2]), bits=array([1], dtype=uint8))
    """
    if not 0 <= distance <= MOST:
        raise ValueError(f"distance must be 0 to {MOST} bits, got {distance}")
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for band in range(_BANDS):
        radius = distance // _BANDS - (band > distance % _BANDS)
        if radius >= 0:
            found += _close_by_band(queries, codes, band, radius, distance, groups, most)
    keys = np.unique(np.concatenate([np.zeros(0, np.int64), *(ask * len(codes) + answer for ask, answer in found)]))
    ask, answer = np.divmod(keys, max(len(codes), 1))
    return ClosePairs(ask, answer, np.bitwise_count(queries[ask] ^ codes[answer]))


def _close_by_band(
    queries: np.ndarray,
    codes: np.ndarray,
    band: int,
    radius: int,
    distance: int,
    groups: np.ndarray | None,
    most: int | None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    shift, mask = np.uint64(_WIDTH * band), np.uint64((1 << _WIDTH) - 1)
    values, asked = ((side >> shift & mask).astype(np.int64) for side in (codes, queries))
    grouped = np.zeros(len(codes), np.int64) if groups is None else groups
    order, places = np.lexsort((grouped, values)), np.argsort(asked, kind="stable")
    sorted_codes, sorted_queries, asked = codes[order], queries[places], asked[places]  # in memory as they are walked
    first = np.concatenate([[0], np.cumsum(np.bincount(values, minlength=1 << _WIDTH))])
    width = int(grouped.max(initial=0)) + 1
    ranks = values[order] * width + grouped[order]  # of the codes, which are in this order
    for probe in _probes(radius):
        key = asked ^ probe
        starts, ends = first[key], first[key + 1]
        spans = [(starts, ends)]
        if groups is not None:  # those of its own group are one run among the others
            crowded = np.flatnonzero(ends > starts)
            own, low, high = key[crowded] * width + grouped[places[crowded]], ends.copy(), ends.copy()
            low[crowded], high[crowded] = np.searchsorted(ranks, own), np.searchsorted(ranks, own, side="right")
            spans = [(starts, low), (high, ends)]
        for start, stop in spans:
            counts = stop - start if most is None else np.minimum(stop - start, most)
            for begin, end in _portions(counts):
                part, there = counts[begin:end], (stop - start)[begin:end]
                runs = np.cumsum(part)
                steps = np.arange(runs[-1]) - np.repeat(runs - part, part)
                if most is not None:
                    steps = steps * np.repeat(there, part) // np.repeat(part, part)
                at = steps + np.repeat(start[begin:end], part)
                differing = np.bitwise_count(sorted_codes[at] ^ np.repeat(sorted_queries[begin:end], part))
                hits = np.flatnonzero(differing <= distance)
                ask = places[begin + np.searchsorted(runs, hits, side="right")]
                answer = order[at[hits]]
                yield ask[ask < answer], answer[ask < answer]


def _probes(radius: int) -> list[int]:
    """Return every 16-bit mask of at most `radius` bits."""
    return [sum(1 << bit for bit in bits) for size in range(radius + 1) for bits in combinations(range(_WIDTH), size)]


def _portions(counts: np.ndarray) -> Iterator[tuple[int, int]]:
    """Divide queries so that each portion has at most `_AT_ONCE` candidates, or is one query."""
    ends = np.cumsum(counts)
    begin = 0
    while begin < len(counts):
        before = int(ends[begin - 1]) if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, before + _AT_ONCE, side="right")))
        yield begin, end
        begin = end
