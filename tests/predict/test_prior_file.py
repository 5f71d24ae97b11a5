"""Priors as users name them, and what is said where one cannot be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hpa_hier.errors import UserError
from hpa_hier.predict.prior_file import read_prior
from hpa_hier.taxonomy import Taxonomy

HPA = Taxonomy.load("hpa28")
TREE = Taxonomy.from_text(
    "{taxonomy: t, levels: {leaf: leaves}, tree: {G: {A: {label: 1}, B: {label: 2}}, C: {label: 3}}}"
)


def share(name: str, node: str, taxonomy: Taxonomy) -> float:
    return float(read_prior(name, taxonomy).shares[taxonomy.column[node]])


def test_the_shipped_prior_counts_images_of_leaves_and_groups() -> None:
    assert share("hpa28", "Rods & rings", HPA) == pytest.approx(11.5 / 31073)
    assert share("hpa28", "Nucleus", HPA) == pytest.approx(19625.5 / 31073)
    other = Taxonomy.load("hpa28_organelle7")  # the same leaves under other groups
    assert share("hpa28", "Rods & rings", other) == pytest.approx(11.5 / 31073)
    with pytest.raises(UserError, match=r"--prior hpa28: .* has no node 'Nucleoplasm', which the competition's"):
        read_prior("hpa28", TREE)


def test_a_label_table_and_a_table_of_shares_give_priors(tmp_path: Path) -> None:
    labels, shares = tmp_path / "labels.csv", tmp_path / "shares.csv"
    labels.write_text("Id,Target\na,1\nb,1 3\nc,G\n")
    assert share(str(labels), "G", TREE) == pytest.approx(3.5 / 4)
    assert share(str(labels), "A", TREE) == pytest.approx(2.5 / 3)  # of c it is not known
    shares.write_text("frequency,class\n0.25,A\n0.5,2\n0,C\n")
    found = read_prior(str(shares), TREE).shares
    assert found[[TREE.column[node] for node in ("A", "B", "C")]].tolist() == [0.25, 0.5, 0.0]
    assert np.isnan(found[TREE.column["G"]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"^--prior x\.csv: no such file; give a label table, a table class,share, or hpa28$"),
        ("class,share\nA,0.5\n", r"^x\.csv: no share for 'B' and 1 more leaves; 0 is one$"),
        ("class,share\nAA,0.5\n", r"^x\.csv:2: .* has no node 'AA'"),
        ("class,share\nA,50\n", r"^x\.csv:2: the share of 'A' must be from 0 to 1, of all samples, got '50'; counts"),
        ("class,share\nA,half\n", r"^x\.csv:2: the share of 'A' must be from 0 to 1, of all samples, got 'half'"),
        ("class,share\nG,0.1\nA,0.5\nB,0\nC,0\n", r"^x\.csv: 'A' is in 0\.5 of the samples and 'G', which holds it"),
    ],
)
def test_what_cannot_be_used_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path("x.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        read_prior("x.csv", TREE)
