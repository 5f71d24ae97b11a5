"""Score tables: what is read, what is refused with its line, and tables of several models over one list of samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.special import logit

from hpa_hier.ensemble.scores.score_table import NEAREST_TO_SURE, describe_coverage, join_tables, read_scores
from hpa_hier.ensemble.scores.scores import Scores
from hpa_hier.errors import UserError
from hpa_hier.taxonomy import Taxonomy

TREE = Taxonomy.from_text(
    "{taxonomy: t, tree: {Nucleus: {Nucleoli: {label: 2}, Speckles: {label: 4}}, Cytosol: {label: 25}}}", "t.yaml"
)


def table(folder: Path, text: str) -> Path:
    path = folder / "one.csv"
    path.write_text(text)
    return path


def test_a_table_is_read_with_its_columns_as_nodes_and_probabilities_as_logits(tmp_path: Path) -> None:
    path = table(tmp_path, "Id,25,speckles,Nucleus\nb,0.25,0.5,1\na.png,0,0.75,0.5\n")
    scores = read_scores("one", path, "probs", TREE)
    assert (scores.name, scores.ids, scores.nodes) == ("one", ("b", "a"), ("Cytosol", "Speckles", "Nucleus"))
    near = NEAREST_TO_SURE
    np.testing.assert_allclose(scores.logits, logit([[0.25, 0.5, 1 - near], [near, 0.75, 0.5]]))


def test_logits_are_taken_as_they_are(tmp_path: Path) -> None:
    scores = read_scores("one", table(tmp_path, "id,Cytosol\nx,-7.5\ny,12\n"), "logits", TREE)
    assert scores.logits.tolist() == [[-7.5], [12.0]]


@pytest.mark.parametrize("edge", ["0", "1"])
def test_a_probability_may_be_0_or_1_and_no_further_off(tmp_path: Path, edge: str) -> None:
    spaced = table(tmp_path, f'id,Cytosol\n"a b",{edge}\n')
    assert np.isfinite(read_scores("one", spaced, "probs", TREE).logits).all()
    with pytest.raises(
        UserError, match=r"one.csv:2: probability .* is outside \[0, 1\]; fix it, or fit with --score-k"
    ):
        read_scores("one", table(tmp_path, f"id,Cytosol\na,{'-0.001' if edge == '0' else '1.001'}\n"), "probs", TREE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,Cytosol\n", "one.csv: holds no scores, only a header; give one row a sample"),
        ("id\na\n", "one.csv:1: holds only the column 'id'; add one column a node"),
        (
            "id,Cytosol,2\na,0.5,0.5\nb,0.5,high\n",
            "one.csv:3: 'high' of '2' for 'b' is no finite number; fix it, or leave",
        ),
        ("id,Cytosol,2\na,inf,0.5\n", "one.csv:2: 'inf' of 'Cytosol' for 'a' is no finite number"),
        ("id,Cytosol\na,0.5\nb,0.5\na.tif,0.5\n", "one.csv:4: the id 'a' is in line 2 already; keep one"),
        ("id,Cytosol\n=a,0.5\n", "one.csv:2: '=a' is no id; an id is a file's name"),
        ("id,Cytosoll\na,0.5\n", "one.csv:1: column 'Cytosoll' is no node of t.yaml; did you mean 'Cytosol'?"),
        (
            "id,Mitochondria\na,0.5\n",
            "one.csv:1: column 'Mitochondria' is no node of t.yaml; nodes are Nucleus, Nucleoli, Speckles, Cytosol, …",
        ),
        ("id,25,Cytosol\na,0.5,0.5\n", "one.csv:1: columns '25' and 'Cytosol' are both 'Cytosol'; keep one"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        read_scores("one", table(tmp_path, text), "probs", TREE)
    assert str(caught.value).startswith(f"{tmp_path}/{message}")


def scores(name: str, ids: str, *nodes: str) -> Scores:
    drawn = np.arange(1.0, 1 + len(ids) * len(nodes)).reshape(len(ids), len(nodes))
    return Scores(name, tuple(ids), nodes, drawn)


def test_tables_are_laid_out_over_all_samples_that_have_an_answer_for_every_leaf() -> None:
    all_leaves = scores("one", "cab", "Nucleoli", "Speckles", "Cytosol")
    some = scores("two", "bd", "Cytosol")
    joined = join_tables([all_leaves, some], TREE)
    assert joined.ids == ("a", "b", "c")
    assert joined.unanswered == (("d", "Nucleoli"),)
    assert joined.available.tolist() == [[True, True, True], [False, True, False]]
    assert joined.members[0].logits.tolist() == [[4, 5, 6], [7, 8, 9], [1, 2, 3]]
    assert joined.members[1].logits.tolist() == [[0], [1], [0]]
    assert describe_coverage([all_leaves, some], 3, TREE, joined.available) == [
        "member 'two' answers for 1 of 3 leaves and 1 of 3 samples; elsewhere the others speak"
    ]


def test_only_the_samples_that_are_wanted_are_joined() -> None:
    one = scores("one", "abc", "Nucleoli", "Speckles", "Cytosol")
    joined = join_tables([one], TREE, ["c", "a", "z"])
    assert joined.ids == ("a", "c")
    assert joined.unanswered == (("z", "Nucleoli"),)
    assert describe_coverage([one], 2, TREE, joined.available) == []
    late = scores("late", "ab", "Nucleoli", "Speckles", "Cytosol")
    assert describe_coverage([late], 3, TREE, join_tables([late, one], TREE).available[:1]) == [
        "member 'late' answers for 2 of 3 samples; elsewhere the others speak"
    ]


def test_tables_that_leave_a_leaf_without_an_answer_are_refused() -> None:
    with pytest.raises(
        UserError, match=r"no sample is left .* in every leaf; no table answers for the leaf 'Speckles' of 'a'"
    ):
        join_tables([scores("one", "ab", "Nucleoli", "Cytosol")], TREE)
    with pytest.raises(UserError, match=r"no sample is left that the score tables answer for in every leaf$"):
        join_tables([scores("one", "ab", "Nucleoli", "Speckles", "Cytosol")], TREE, [])
