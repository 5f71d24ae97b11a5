"""A shard's file is read back as it was written, or not at all."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from hpa_hier.predict.formats.rows import COLUMNS, Rows
from hpa_hier.predict.shards.shard_file import NO_ROWS, Shard, read_shard, write_shard
from hpa_hier.predict.tables import Rejected

TEXTS = {"id": "a", "place_1": "Nucleoli", "labels": "", "groups": "", "safe": "", "warning": "é,\n", "file": "a.png"}
ROWS = Rows({name: [TEXTS.get(name, "")] for name in COLUMNS} | {"prob_1": [1 / 3], "prob_2": [0.1]}, ("2",), np.eye(1))
WHOLE = Shard(
    ROWS,
    (Rejected("b", "b.png", "0 bytes"),),
    {"a": "a.png:1:2", "b": "b.png:0:3"},
    {"a": ("dark",)},
    Counter({"12 of 16": 1}),
    Counter({(3, 1): 1}),
)


@pytest.mark.parametrize("shard", [WHOLE, Shard(NO_ROWS, WHOLE.rejected, WHOLE.files)])
def test_a_shard_is_read_as_it_was_written(tmp_path: Path, shard: Shard) -> None:
    write_shard(tmp_path / "0.npz", shard)
    again = read_shard(tmp_path / "0.npz")
    assert again is not None
    assert again.rows.probs.tolist() == shard.rows.probs.tolist()
    assert {name: list(values) for name, values in shard.rows.columns.items()} == again.rows.columns
    assert (again.rejected, again.files, again.doubts) == (shard.rejected, shard.files, shard.doubts)
    assert (again.bits, again.stacks, again.rows.submitted) == (shard.bits, shard.stacks, shard.rows.submitted)


def test_no_flipped_bit_and_no_missing_end_is_taken_for_a_shard(tmp_path: Path) -> None:
    path = tmp_path / "0.npz"
    write_shard(path, WHOLE)
    content = path.read_bytes()
    for place in range(0, len(content), 17):
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        again = read_shard(path)
        assert again is None or again.files == WHOLE.files  # names and times in the archive say nothing
        path.write_bytes(content[:place])
        assert read_shard(path) is None
    assert read_shard(tmp_path / "absent.npz") is None
