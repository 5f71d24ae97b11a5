"""Arrays: every changed byte of an .npz file is noticed or changes nothing, and no file is run."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from hpa_hier.errors import UserError
from hpa_hier.files.faults.arrays import read_npz


def test_a_damaged_file_is_one_line_whatever_is_damaged(tmp_path: Path) -> None:
    path, rng = tmp_path / "scores.npz", random.Random(4)
    arrays = {"ids": np.array(["a", "b"]), "logits": np.arange(6.0).reshape(2, 3)}
    np.savez_compressed(path, **arrays)
    content, lines = path.read_bytes(), []
    for _ in range(150):
        changed = bytearray(content)
        changed[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        try:
            found = read_npz(path, "a score file", "train the member again")
        except UserError as error:
            lines.append(str(error))
            continue
        for name in {*found} & {*arrays}:
            assert found[name].tolist() == arrays[name].tolist()
    assert len(lines) > 50
    assert all(line.startswith(f"{path}: not a score file (") and "\n" not in line for line in lines)


def test_objects_are_not_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.array([{}], dtype=object))
    with pytest.raises(UserError, match="not a score file"):
        read_npz(tmp_path / "x.npz", "a score file", "train again")
