"""Groups: no antibody is torn by a split, however the table tells of antibodies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hpa_hier.data.labels.table import read_labels
from hpa_hier.data.split.split import annotation_matrix, make_split
from hpa_hier.settings.recipe import SplitSettings
from hpa_hier.taxonomy import Taxonomy

ATLAS = [
    (f"{antibody}_{1000 + antibody % 7}_{'ABCDEF'[well]}{well + 1}_{field}", str(antibody))
    for antibody in range(10000, 10030)
    for well in range(2)
    for field in (1, 2)
]
TOLD = {  # the antibody's cell of image k; None: no such column
    "by the ids alone": None,
    "blank in some": lambda k, antibody: antibody if k % 8 else "",
    "nan in some, numbers as floats": lambda k, antibody: f"{antibody}.0" if k % 8 else "nan",
    "floats in some": lambda k, antibody: antibody + ".0" * (k % 2),
    "written in two ways": lambda k, antibody: ("HPA0" if k % 2 else "hpa0") + antibody,
    "with spaces": lambda k, antibody: f" HPA{antibody}" + " " * (k % 3),
    "unknown in some": lambda k, antibody: antibody if k % 5 else "unknown",
}


@pytest.mark.parametrize("tell", TOLD.values(), ids=TOLD)
@pytest.mark.parametrize("strangers", [0, 1, 40])
def test_no_antibody_is_in_two_parts(tmp_path: Path, tell, strangers: int) -> None:
    rng = np.random.default_rng(0)
    rows = [[one, str(rng.integers(6)), *([] if tell is None else [tell(k, ab)])] for k, (one, ab) in enumerate(ATLAS)]
    rows += [[f"{k:08x}-bbc3-11e8", str(rng.integers(6)), *([] if tell is None else [""])] for k in range(strangers)]
    header = ["Id", "Target", *([] if tell is None else ["antibody"])]
    path = tmp_path / "labels.csv"
    path.write_text("\n".join(",".join(row) for row in [header, *rows]) + "\n")
    table = read_labels(path, Taxonomy.load("hpa28"))
    split = make_split(table.ids, annotation_matrix(table.nodes), table.groups, SplitSettings())
    parts: dict[str, set[str]] = {}
    for one, part in zip(split.ids, split.parts, strict=True):
        if "-" not in one:
            parts.setdefault(one.partition("_")[0], set()).add(part)
    assert len(parts) == 30
    assert all(len(found) == 1 for found in parts.values())
    alone = {0: "", 1: "; the other sample stands alone"}.get(strangers, f"; the other {strangers} stand alone")
    assert f"120 of {120 + strangers} samples are grouped by" in table.notes[-1]
    assert table.notes[-1].endswith(f"30 groups that a split keeps whole{alone}")
