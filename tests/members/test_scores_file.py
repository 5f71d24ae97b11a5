"""scores.npz is read by part, and what is broken is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hpa_hier.errors import UserError
from hpa_hier.members.scores_file import load_scores


def test_a_file_is_read_by_part(tmp_path: Path) -> None:
    path = tmp_path / "scores.npz"
    np.savez(
        path,
        ids=np.array(["a", "b", "c"]),
        part=np.array(["test", "calibration", "test"]),
        nodes=np.array(["Nucleoli"]),
        logits=np.array([[1], [2], [3]], np.float32),
    )
    assert load_scores(path, "leaf", "test").ids == ("a", "c")
    assert load_scores(path, "leaf", "calibration").logits.tolist() == [[2.0]]
    assert load_scores(path, "leaf").ids == ("a", "b", "c")
    with pytest.raises(UserError, match=r"scores\.npz: holds no scores of the train part"):
        load_scores(path, "leaf", "train")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"not an archive"])
def test_a_broken_file_is_a_users_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "scores.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"scores\.npz: not a score file"):
        load_scores(path, "leaf")


def test_a_pickle_is_never_read(tmp_path: Path) -> None:
    path = tmp_path / "scores.npz"
    np.savez(path, ids=np.array([object()], dtype=object), part=[], nodes=[], logits=[])
    with pytest.raises(UserError, match="not a score file"):
        load_scores(path, "leaf")


def test_an_absent_file_is_a_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file; train the member again"):
        load_scores(tmp_path / "scores.npz", "leaf")
