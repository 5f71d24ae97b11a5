"""Pairs of labels are counted on the right side of the diagonal."""

from __future__ import annotations

import numpy as np

from hpa_hier.evaluate.figures.cooccurrence import Pair, count_pairs, draw_cooccurrence

TARGETS = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=bool)
PRESENT = np.array([[1, 0, 1], [1, 1, 0], [0, 0, 1]], dtype=bool)


def test_pairs_are_counted_in_the_annotation_and_in_the_decisions():
    pairs = count_pairs(("Cytosol", "Nucleoli", "Aggresome"), TARGETS, PRESENT)
    assert pairs.annotated.tolist() == [[2, 2, 0], [2, 2, 0], [0, 0, 1]]
    assert pairs.predicted.tolist() == [[2, 1, 1], [1, 1, 0], [1, 0, 2]]
    assert pairs.frequent_pairs() == [Pair("Cytosol", "Nucleoli", 2, 1)]


def test_only_pairs_that_occur_have_a_square():
    figure = draw_cooccurrence(count_pairs(("a", "b", "c"), TARGETS, PRESENT))
    squares = {tuple(one.get_path().vertices[0].round(2)) for one in figure.axes[0].patches}
    corners = {tuple(v.round(2)) for one in figure.axes[0].patches for v in one.get_path().vertices[::5]}
    assert squares <= corners
    assert corners == {(x + 0.05, y + 0.05) for y, x in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 2)]}


def test_labels_that_never_occur_give_an_empty_picture():
    nothing = np.zeros((2, 3), dtype=bool)
    pairs = count_pairs(("a", "b", "c"), nothing, nothing)
    assert pairs.frequent_pairs() == []
    assert list(draw_cooccurrence(pairs).axes[0].patches) == []


def test_each_pair_has_its_count_annotated_below_the_diagonal_and_predicted_above():
    axes = draw_cooccurrence(count_pairs(("a", "b", "c"), TARGETS, PRESENT)).axes[0]
    cells = {(text.get_position()[1] // 1, text.get_position()[0] // 1): text.get_text() for text in axes.texts}
    assert cells == {(0, 0): "2", (0, 1): "1", (0, 2): "1", (1, 0): "2", (1, 1): "2", (2, 2): "1"}


def test_labels_that_never_occur_and_the_rarest_of_many_are_left_out():
    pairs = count_pairs(
        ("a", "never", "b", "c"),
        TARGETS[:, [0, 0, 1, 2]] * [1, 0, 1, 1] > 0,
        PRESENT[:, [0, 0, 1, 2]] * [1, 0, 1, 1] > 0,
    )
    assert pairs.choose(9).names == ("a", "b", "c")
    assert pairs.choose(2).names == ("a", "b")
    assert pairs.choose(2).annotated.tolist() == [[2, 2], [2, 2]]
