"""Groups: which images show the same antibody, and so must not be torn across a split."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

_ATLAS_ID = re.compile(r"(\d+)_[A-Za-z0-9]+_[A-P]\d{1,2}_\d+(_[A-Za-z0-9]+)?")  # antibody_plate_well_field[_crop]
_NOTHING = frozenset({"", "nan", "na", "n/a", "none", "null", "-", "?", "unknown"})
_WHOLE = re.compile(r"(\d+)\.0+")


def parse_antibody(sample_id: str) -> str:
    """Return the antibody of an atlas id, or "".

    >>> parse_antibody("10580_1610_C1_1"), parse_antibody("800_A6_1")
    ('10580', '')
    """
    match = _ATLAS_ID.fullmatch(sample_id)
    return match.group(1) if match else ""


def find_groups(ids: Sequence[str], cells: Sequence[str] | None) -> tuple[str, ...]:
    """Find each sample's group: a column's cell, else the antibody that its id tells; "" where neither does.

    A column's spellings of one antibody are one group, called as it is spelled first: `HPA01` and `hpa01`, `10005` and
    the `10005.0` that pandas writes. Where a cell is empty, or says nan or unknown, the id's antibody leads to the
    group of other samples with that antibody.

    >>> find_groups(["10580_1_C1_1", "10580_1_C1_2", "x"], ["HPA7", "nan", "hpa7"])
    ('HPA7', 'HPA7', 'HPA7')
    >>> find_groups(["10580_1_C1_1", "other"], None)
    ('10580', '')
    """
    antibodies = [parse_antibody(sample_id) for sample_id in ids]
    if cells is None:
        return tuple(antibodies)
    spelled: dict[str, str] = {}
    groups = []
    for cell in cells:
        plain = _WHOLE.sub(r"\1", cell.strip()) if _WHOLE.fullmatch(cell.strip()) else cell.strip()
        known = plain.casefold() not in _NOTHING
        groups.append(spelled.setdefault(plain.casefold(), plain) if known else "")
    known_of: dict[str, Counter[str]] = {}
    for antibody, group in zip(antibodies, groups, strict=True):
        if antibody and group:
            known_of.setdefault(antibody, Counter())[group] += 1
    return tuple(
        group or (known_of[antibody].most_common(1)[0][0] if antibody in known_of else antibody)
        for antibody, group in zip(antibodies, groups, strict=True)
    )


def describe_groups(groups: Sequence[str], column: str | None) -> str:
    """Say how many samples are grouped and by what; "" where none is.

    >>> describe_groups(["a", "a", ""], None)
    '2 of 3 samples are grouped by ids, 1 group that a split keeps whole; the other sample stands alone'
    """
    grouped = sum(map(bool, groups))
    if not grouped:
        return ""
    many = len(set(filter(None, groups)))
    where = f"column '{column}'" if column else "ids"
    whole = f"{many:,} group{'s' if many > 1 else ''} that a split keeps whole"
    alone = len(groups) - grouped
    rest = {0: "", 1: "; the other sample stands alone"}.get(alone, f"; the other {alone:,} stand alone")
    return f"{grouped:,} of {len(groups):,} samples are grouped by {where}, {whole}{rest}"
