"""Labels in every form are read as the same annotations, and answers are written in the form that was given."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array, issparse

from hpa_hier.classifier.labels import learn_form, sort_labels
from hpa_hier.errors import UserError
from hpa_hier.taxonomy import Taxonomy

TREE = {"Animal": {"Mammal": ["Cat", "Dog"], "Bird": ["Owl", "Hen"]}, "Plant": ["Oak", "Fern"]}
PATHS = [["Animal", "Mammal", "Cat"], ["Animal", "Bird", "Hen"], ["Plant", "Oak", ""], ["Plant", "Fern", ""]]


def _learn(Y, given=None, form: str = "auto"):
    written = sort_labels(Y, form, given)
    learned = learn_form(written, given)
    return learned, learned.read(written.rows)


def _answer(form, *nodes: tuple[str, ...]):
    """Write answers: of each sample these nodes and all above; its likeliest leaf is the first of them."""
    taxonomy: Taxonomy = form.tree.taxonomy
    present = np.zeros((len(nodes), len(taxonomy.nodes)), bool)
    for i, names in enumerate(nodes):
        present[i, [taxonomy.column[name] for name in names]] = True
    best = np.array([taxonomy.column[names[0]] if names else 0 for names in nodes])
    return form.write(taxonomy.close(present), best, None)


@pytest.mark.parametrize(
    "Y", [["b", "a", "b"], np.array(["b", "a", "b"]), np.array([7, 3, 7]), [1.0, 0.0, 1.0], [True, False, True]]
)
def test_single_labels_make_a_flat_tree_and_come_back_in_their_type(Y) -> None:
    form, nodes = _learn(Y)
    assert form.tree.taxonomy.exclusive
    assert form.classes.tolist() == sorted(set(np.asarray(Y).tolist()))
    written = _answer(form, *nodes)
    assert written.dtype == np.asarray(Y).dtype
    assert written.tolist() == np.asarray(Y).tolist()


def test_a_series_comes_back_as_one() -> None:
    form, nodes = _learn(pd.Series(["b", "a"], name="place"))
    answer = _answer(form, *nodes)
    assert isinstance(answer, pd.Series)
    assert (answer.name, answer.tolist()) == ("place", ["b", "a"])


def test_single_labels_may_be_the_taxonomys_numbers_and_unseen_ones_are_numbers_too() -> None:
    form, nodes = _learn(np.array([0, 2, 25]), "hpa28")
    assert nodes == [("Nucleoplasm",), ("Nucleoli",), ("Cytosol",)]
    assert form.classes.tolist() == list(range(28))
    assert form.classes.dtype == np.int64


def test_single_labels_may_be_groups_of_the_tree() -> None:
    form, nodes = _learn(["Cat", "Bird"], TREE)
    assert nodes == [("Cat",), ("Bird",)]
    assert form.classes.tolist() == ["Cat", "Dog", "Fern", "Hen", "Oak", "Owl"]


HOT = np.array([[1, 0, 0], [0, 1, 1], [0, 0, 0]])


@pytest.mark.parametrize(
    "Y", [HOT, HOT.astype(bool), HOT.astype(np.float32), HOT.tolist()], ids=["int", "bool", "float", "list"]
)
def test_columns_of_zeros_and_ones_come_back_in_their_type(Y) -> None:
    form, nodes = _learn(Y)
    assert nodes == [("0",), ("1", "2"), ()]
    answer = _answer(form, *nodes)
    assert answer.dtype == np.asarray(Y).dtype
    assert np.array_equal(answer, Y)
    assert form.classes.tolist() == [0, 1, 2]


def test_a_sparse_array_comes_back_as_one() -> None:
    form, nodes = _learn(csr_array(HOT))
    answer = _answer(form, *nodes)
    assert issparse(answer)
    assert np.array_equal(answer.toarray(), HOT)


def test_columns_are_the_leaves_or_all_nodes_of_a_tree() -> None:
    leaves, nodes = np.eye(6, dtype=int)[:2], np.eye(10, dtype=int)[:2]
    assert _learn(leaves, TREE)[1] == [("Cat",), ("Dog",)]
    form, read = _learn(nodes, TREE)
    assert read == [("Animal",), ("Mammal",)]
    assert _answer(form, ("Cat",), ()).sum(axis=1).tolist() == [3, 0]
    with pytest.raises(UserError, match="has 7 columns, and the tree 'labels' has 6 leaves and 10 nodes"):
        _learn(np.eye(7, dtype=int), TREE)


def test_a_data_frame_names_its_columns_and_may_have_some_of_the_nodes() -> None:
    Y = pd.DataFrame({"Owl": [1, 0], "Plant": [0, 1]})
    form, nodes = _learn(Y, TREE)
    assert nodes == [("Owl",), ("Plant",)]
    pd.testing.assert_frame_equal(_answer(form, *nodes), Y)
    assert _learn(Y)[0].classes.tolist() == ["Owl", "Plant"]


@pytest.mark.parametrize(
    "Y", [[["Cat", "Oak"], [], ["Bird"]], [("Cat", "Oak"), (), {"Bird"}], pd.Series([["Cat", "Oak"], None, ["Bird"]])]
)
def test_lists_of_names_come_back_as_the_most_specific_ones(Y) -> None:
    form, nodes = _learn(Y, TREE)
    assert nodes == [("Cat", "Oak"), (), ("Bird",)]
    assert _answer(form, *nodes) == [["Cat", "Oak"], [], ["Bird"]]
    assert set(form.classes) == set(form.tree.taxonomy.nodes)


def test_sets_without_a_tree_make_a_flat_one() -> None:
    form, nodes = _learn([{"b", "a"}, {"c"}, set()], form="sets")
    assert form.tree.taxonomy.leaves == ("a", "b", "c")
    assert nodes == [("a", "b"), ("c",), ()]


@pytest.mark.parametrize(
    "Y", [np.array(PATHS), np.array(PATHS, dtype=object), pd.DataFrame(PATHS, columns=["realm", "class", "kind"])]
)
def test_rows_of_paths_tell_the_tree_and_come_back_as_paths(Y) -> None:
    form, nodes = _learn(Y)
    taxonomy = form.tree.taxonomy
    assert taxonomy.exclusive
    assert taxonomy.ancestors("Hen") == ("Animal", "Bird")
    assert nodes == [("Cat",), ("Hen",), ("Oak",), ("Fern",)]
    answer = _answer(form, *nodes)
    assert type(answer) is type(Y)
    assert np.asarray(answer).tolist() == PATHS
    assert taxonomy.levels == (
        ("realm", "class", "kind") if isinstance(Y, pd.DataFrame) else ("depth1", "depth2", "leaf")
    )


def test_gaps_of_paths_may_be_none_and_a_path_may_end_early() -> None:
    rows = np.array([["Animal", "Mammal", "Cat"], ["Animal", "Mammal", None], ["Plant", np.nan, None]], dtype=object)
    assert _learn(rows)[1] == [("Cat",), ("Mammal",), ("Plant",)]


def test_a_label_below_two_others_is_two_nodes() -> None:
    form, nodes = _learn(np.array([["A", "other"], ["B", "other"], ["B", "one"]]))
    assert len(set(nodes)) == 3
    assert _answer(form, *nodes).tolist() == [["A", "other"], ["B", "other"], ["B", "one"]]


def test_paths_of_numbers_come_back_as_numbers() -> None:
    Y = np.array([[1, 2], [1, 3], [4, 5]])
    form, nodes = _learn(Y)
    answer = _answer(form, *nodes)
    assert answer.dtype == Y.dtype
    assert np.array_equal(answer, Y)


@pytest.mark.parametrize(
    "Y", [np.array([[PATHS[0], PATHS[2]], [PATHS[1], ["", "", ""]]]), [[PATHS[0], PATHS[2][:2]], [PATHS[1]]]]
)
def test_several_paths_a_sample(Y) -> None:
    form, nodes = _learn(Y)
    assert nodes == [("Cat", "Oak"), ("Hen",)]
    assert not form.tree.taxonomy.exclusive
    assert _answer(form, *nodes).tolist() == [[PATHS[0], PATHS[2]], [PATHS[1], ["", "", ""]]]


@pytest.mark.parametrize(
    ("Y", "kind"),
    [
        ([["Animal", "Cat"], ["Animal", "Dog"], ["Plant", "Oak"]], "paths"),  # HiClass's first example
        ([["Animal"], ["Animal", "Dog"]], "paths"),
        ([["ER", "Golgi"], ["Golgi"]], "sets"),
        ([["A", "other"], ["B", "other"]], "sets"),
    ],
)
def test_lists_of_lists_are_told_apart_aloud(Y, kind: str) -> None:
    with pytest.warns(UserWarning, match=f"is read as {kind}, since "):
        assert sort_labels(Y).kind == kind
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert {form: sort_labels(Y, form).kind for form in ("paths", "sets")} == {"paths": "paths", "sets": "sets"}


def test_words_that_can_be_no_names_come_back_as_they_are() -> None:
    Y = ["ER/Golgi", "a,b;c", "open", "Open"]
    form, nodes = _learn(Y)
    assert _answer(form, *nodes).tolist() == Y


@pytest.mark.parametrize(
    ("Y", "given", "message"),
    [
        (None, None, "requires y to be passed, but the target y is None"),
        (["Cat", "Elk"], TREE, "the tree 'labels' has no node 'Elk'"),
        ([["Cat", "Elk"]], TREE, r"has no node 'Elk'"),
        (np.array([["Plant", "Cat"]]), TREE, r"Y\[0\]: 'Plant' is not above 'Cat'"),
        (np.array([["a", "b"], ["", ""]]), None, r"Y\[1\]: has no label"),
        (["a", None], None, r"Y\[1\]: has no label"),
        ([[], []], None, "no sample has a label"),
        (np.zeros((2, 2, 2, 2)), None, "got shape"),
        (pd.DataFrame({"a": [1, 2], "b": [0, 1]}), None, "must hold 0 and 1"),
        (pd.DataFrame({"Cat": [1, 0], "cat": [0, 1]}), TREE, "two columns mean the node 'Cat'"),
    ],
)
def test_labels_that_cannot_be_used_are_refused(Y, given, message: str) -> None:
    with pytest.raises(UserError, match=message):
        _learn(Y, given)


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(UserError, match="form: there is no 'path'; give auto, paths or sets"):
        sort_labels(["a"], "path")
