"""The matrix shows the classes of most mistakes, with their counts in the cells."""

from __future__ import annotations

import numpy as np

from hpa_hier.evaluate.figures.confusion_matrix import choose_classes, draw_confusion_matrix, format_count
from hpa_hier.evaluate.figures.figure import style
from hpa_hier.metrics.confusion import confuse

NAMES = ("Golgi", "Vesicles", "Cytosol", "Nobody")
ONE = np.eye(4, dtype=bool)


def planted():
    true, called = np.array([0] * 9 + [0] * 6 + [1] * 5 + [2]), np.array([1] * 9 + [0] * 6 + [1] * 5 + [2])
    return confuse(ONE[called], ONE[true], np.ones((21, 4), bool))


def draw(**changes: object):
    with style():
        return draw_confusion_matrix(planted(), NAMES, range(4), **changes)


def test_only_classes_that_occur_are_shown_those_of_most_mistakes_first():
    assert choose_classes(planted(), [3, 2, 1, 0]) == [2, 1, 0]
    assert choose_classes(planted(), range(4), most=2) == [0, 1]


def test_each_count_is_in_its_cell():
    axes = draw().axes[0]
    cells = {(text.get_position()[1] // 1, text.get_position()[0] // 1): text.get_text() for text in axes.texts}
    assert cells == {(0, 0): "6", (0, 1): "9", (1, 1): "5", (2, 2): "1"}
    rows = [label.get_text() for label in axes.get_yticklabels()]
    assert rows == ["Golgi  15", "Vesicles  5", "Cytosol  1", "nothing missed"]
    assert [label.get_text() for label in axes.get_xticklabels()][-1] == "nothing called"


def test_the_axes_say_what_is_annotated_and_what_is_called():
    axes = draw().axes[0]
    assert axes.get_xlabel() == "called"
    assert axes.get_ylabel() == "annotated, with the number of images"


def test_lines_part_the_groups_of_the_tree():
    lines = [
        len(one.get_segments()) for one in draw(groups=("Secretory", "Secretory", "Cytoplasm", "")).axes[0].collections
    ]
    assert lines == [2, 2]  # between the groups, and before what is nothing


def test_answers_without_any_label_give_no_figure():
    none = np.zeros((3, 4), bool)
    assert draw_confusion_matrix(confuse(none, none, ~none), NAMES, range(4)) is None


def test_a_count_is_short():
    assert [format_count(one) for one in (0.04, 1.0, 2.5, 999.96, 12345.0)] == ["0", "1", "2.5", "1000", "12k"]
