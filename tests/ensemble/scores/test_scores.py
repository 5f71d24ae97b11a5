"""Scores at the door: names, shapes, finiteness, and members brought into one order."""

from __future__ import annotations

import numpy as np
import pytest

from hpa_hier.ensemble.fit import fit
from hpa_hier.ensemble.scores.scores import Scores, Truth, align, join_scores
from hpa_hier.errors import UserError
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy

TAXONOMY = """taxonomy: small
levels: {coarse: 1, leaf: leaves}
tree:
  Nucleus:
    Nucleoli: {label: 2}
    Nuclear speckles: {label: 4}
"""


def scores(name: str = "leaf", ids=("a", "b"), nodes=("Nucleoli", "Nuclear speckles"), logits=None) -> Scores:
    drawn = np.arange(len(ids) * len(nodes), dtype=float).reshape(len(ids), len(nodes))
    return Scores(name, tuple(ids), tuple(nodes), drawn if logits is None else logits)


def test_a_wrong_shape_is_named():
    with pytest.raises(UserError, match=r"scores of 'leaf' have shape \(3, 2\), but 2 ids and 2 nodes"):
        scores(logits=np.zeros((3, 2)))


def test_a_duplicate_id_is_named():
    with pytest.raises(UserError, match="scores of 'leaf' name the id 'a' twice; keep one"):
        scores(ids=("a", "b", "a"))


def test_a_duplicate_node_is_named():
    with pytest.raises(UserError, match="name the node 'Nucleoli' twice"):
        scores(nodes=("Nucleoli", "Nucleoli"))


def test_a_score_that_is_not_finite_is_named_with_its_place():
    with pytest.raises(UserError, match="nan for 'Nuclear speckles' of 'b'; scores must be finite, 1 are not"):
        scores(logits=np.array([[0, 0], [0, np.nan]]))


def test_members_come_in_the_order_of_their_names_with_rows_in_one_order():
    one, other = align([scores("leaf"), scores("coarse", ids=("b", "a"), nodes=("Nucleus",))], ("a", "b"))
    assert (one.name, other.name) == ("coarse", "leaf")
    assert one.logits.tolist() == [[1.0], [0.0]]


def test_two_members_of_one_name_are_refused():
    with pytest.raises(UserError, match="two members are called 'leaf'"):
        align([scores(), scores()])


def test_members_of_different_samples_are_refused():
    with pytest.raises(UserError, match="member 'leaf' has no scores for 'b'"):
        align([scores("coarse"), scores("leaf", ids=("a",))])
    with pytest.raises(UserError, match="member 'leaf' also scores 'c', which others do not"):
        align([scores("coarse"), scores("leaf", ids=("a", "b", "c"))])


def test_an_unknown_node_is_named():
    taxonomy = Taxonomy.from_text(TAXONOMY)
    with pytest.raises(UserError, match="member 'leaf' answers for 'Golgi', which <text> does not have"):
        fit([scores(nodes=("Nucleoli", "Golgi"))], truth(taxonomy), taxonomy, EnsembleSettings())


def test_a_leaf_nobody_answers_for_is_named():
    taxonomy = Taxonomy.from_text(TAXONOMY)
    with pytest.raises(UserError, match="no member answers for the leaf 'Nuclear speckles'; add one that does"):
        fit([scores(nodes=("Nucleoli",))], truth(taxonomy), taxonomy, EnsembleSettings())


def test_prediction_asks_for_the_members_it_was_fitted_with():
    taxonomy = Taxonomy.from_text(TAXONOMY)
    ensemble = fit([scores("leaf"), scores("leaf-s1")], truth(taxonomy), taxonomy, EnsembleSettings(bootstrap=0))
    with pytest.raises(UserError, match="this ensemble combines leaf, leaf-s1; got scores of leaf"):
        ensemble.predict([scores("leaf")])
    message = r"member 'leaf-s1' scores other nodes than when the ensemble was fitted \(such as 'Nuclear speckles'\)"
    for nodes in (("Nucleoli",), ("Nuclear speckles", "Nucleoli")):  # one is missing; all are there in another order
        with pytest.raises(UserError, match=message):
            ensemble.predict([scores("leaf"), scores("leaf-s1", nodes=nodes)])


def truth(taxonomy: Taxonomy) -> Truth:
    present = np.array([[True, True, False], [True, False, True]])
    return Truth(("a", "b"), present, np.ones_like(present))


def test_scores_of_different_samples_are_joined_by_the_names_of_nodes():
    one = scores(ids=("a", "b"))
    other = scores(ids=("c",), nodes=("Nuclear speckles", "Nucleoli"))
    joined = join_scores([one, other])
    assert (joined.ids, joined.nodes) == (("a", "b", "c"), one.nodes)
    assert joined.logits.tolist() == [[0, 1], [2, 3], [1, 0]]
    assert join_scores([one]) is one


def test_rows_are_taken_in_the_order_asked_for_and_nodes_get_other_names():
    one = scores(ids=("a", "b", "c"))
    assert one.take(("c", "a")).logits.tolist() == [[4, 5], [0, 1]]
    assert one.renamed({"Nucleoli": "Nucleolus"}).nodes == ("Nucleolus", "Nuclear speckles")
    known = Truth(("a", "b"), np.array([[True], [False]]), np.array([[True], [False]]))
    assert known.take(("b", "a")).present.tolist() == known.take(("b", "a")).known.tolist() == [[False], [True]]


def test_of_many_samples_without_scores_three_are_named():
    four, five = (("a", "b", "c", "d"), ("a", "b", "c", "d", "e"))
    for ids, named in ((four, "'b', 'c', 'd'; all"), (five, "'b', 'c', 'd' and 1 more; all")):
        with pytest.raises(UserError, match=f"member 'leaf' has no scores for {named} members must score the same"):
            align([scores("coarse", ids=ids), scores("leaf", ids=("a",))])
    with pytest.raises(UserError, match="no member to combine; train at least one"):
        align([])
