"""Instruments: the file names that microscopes and plate readers write."""

from __future__ import annotations

import re
from typing import NamedTuple

from hpa_hier.data.images.names.stains import Word


class Shot(NamedTuple):
    """What an instrument's file name tells of its picture."""

    sample: str  # the name without channel, section and frame
    stain: str  # the channel, as it is written
    section: int | None  # along z
    frame: int | None  # along t


_GUID = r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}"
_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        # Operetta and Opera Phenix (Harmony): r01c02f03p04-ch1sk1fk1fl1
        r"(?P<sample>.*r\d+c\d+f\d+)p(?P<z>\d+)-(?P<stain>ch\d+)sk(?P<t>\d+)fk\d+fl\d+",
        # Yokogawa CellVoyager: Plate_A01_T0001F001L01A01Z01C01
        r"(?P<sample>.*)_?T(?P<t>\d{4})(?P<sample2>F\d{3}L\d{2})A\d{2}Z(?P<z>\d{2,3})(?P<stain>C\d{2})",
        # ArrayScan and CellInsight (Cellomics): Plate_A01f00d0
        r"(?P<sample>.*[A-P]\d{2}f\d{2,3})(?P<stain>d\d)",
        # ImageXpress (MetaXpress) with a GUID after the channel: Plate_A01_s1_w1A1B2C3D4-…
        rf"(?P<sample>.+)_(?P<stain>w\d)_?{_GUID}",
        # IN Cell Analyzer: A - 01(fld 1 wv DAPI - DAPI z 2)
        r"(?P<sample>.*\(fld \d+) wv (?:.+ - )?(?P<stain>[^()]+?)(?: z (?P<z>\d+))?(?P<sample2>\))",
        # Micro-Manager, a file a plane: img_000000000_DAPI_000, img_channel000_position000_time000000000_z000
        r"(?P<sample>img)_(?P<t>\d{9})_(?P<stain>.+)_(?P<z>\d{3})",
        r"(?P<sample>img)_(?P<stain>channel\d{3})(?P<sample2>_position\d{3})_time(?P<t>\d{9})_z(?P<z>\d{3})",
        # ZEN: name_c1_ORG, name_z1c2_ORG, name_t1z1c2m1_ORG
        r"(?P<sample>.+)_(?:s\d+)?(?:t(?P<t>\d+))?(?:z(?P<z>\d+))?(?P<stain>c\d+)(?:m\d+)?_ORG",
        # LAS X matrix screener: image--L0000--S00--…--T0000--Z00--C00
        r"(?P<sample>.+--Y\d+)--T(?P<t>\d+)--Z(?P<z>\d+)--(?P<stain>C\d+)",
    )
)
_CODES = re.compile(r"(?:[a-z]{1,2}\d+){2,}")
_CODE = re.compile(r"[a-z]{1,2}\d+")
_CHANNEL_CODE = re.compile(r"(?:c|ch|w|wv)\d{1,3}")


def read_instrument(name: str) -> Shot | None:
    """Read the file name of a known instrument; None where it is of none.

    >>> read_instrument("r02c03f01p02-ch3sk1fk1fl1")
    Shot(sample='r02c03f01', stain='ch3', section=2, frame=1)
    """
    for pattern in _PATTERNS:
        match = pattern.fullmatch(name)
        if match:
            groups = match.groupdict()
            sample = (groups["sample"] + (groups.get("sample2") or "")).strip("_")
            z, t = (int(groups[axis]) if groups.get(axis) else None for axis in "zt")
            return Shot(sample, groups["stain"].strip(), z, t)
    return None


def split_codes(words: list[Word]) -> list[Word]:
    """Split words that are codes without anything between them, one of which is a channel's: xy01c1, z1c2.

    A row before a column, r01c02, is a well.

    >>> [word.text for word in split_codes([Word("xy01c1", 0, 6), Word("r01c02", 7, 13)])]
    ['xy01', 'c1', 'r01c02']
    """
    split: list[Word] = []
    for word in words:
        codes = list(_CODE.finditer(word.text)) if _CODES.fullmatch(word.text) else []
        letters = "".join(re.findall(r"[a-z]+", word.text))
        if "rc" not in letters and any(_CHANNEL_CODE.fullmatch(code[0]) for code in codes):
            split += [Word(code[0], word.start + code.start(), word.start + code.end()) for code in codes]
        else:
            split.append(word)
    return split
