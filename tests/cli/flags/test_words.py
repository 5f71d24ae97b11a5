"""Words of a command line are left out with their values, however they are joined."""

from __future__ import annotations

from hpa_hier.cli.flags.words import leave_out


def test_flags_go_with_their_values_and_all_others_stay() -> None:
    words = ["predict", "images", "--backend", "ray", "--jobs=2", "--report", "--out", "x"]
    assert leave_out(words, ("--backend", "--jobs"), ("--report",)) == ["predict", "images", "--out", "x"]
