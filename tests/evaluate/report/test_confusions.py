"""What is mistaken for what, in words that count only what is certain."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from hpa_hier.evaluate.report.confusions import describe_mistakes, sort_mistakes, write_matrix
from hpa_hier.metrics.confusion import Confusion, confuse

NAMES = ("Golgi apparatus", "Vesicles", "Cytosol", "Nucleoli", "Aggresome")
GOLGI, VESICLES, CYTOSOL, NUCLEOLI, AGGRESOME = range(5)


def plant(*answers: tuple[int, set[int], set[int]]) -> Confusion:
    """Count answers given as (times, true, called)."""
    rows = [(true, called) for times, true, called in answers for _ in range(times)]
    targets, present = (np.array([[j in one[k] for j in range(5)] for one in rows]) for k in (0, 1))
    return confuse(present, targets, np.ones_like(present))


@pytest.fixture(scope="module")
def planted() -> Confusion:
    return plant(
        (9, {GOLGI}, {VESICLES}),
        (1, {GOLGI, NUCLEOLI}, {CYTOSOL, NUCLEOLI}),
        (3, {GOLGI}, set()),
        (2, {VESICLES}, {VESICLES, GOLGI}),
        (2, {GOLGI, AGGRESOME}, {VESICLES}),
    )


def test_a_class_is_mistaken_as_often_as_was_planted(planted):
    assert describe_mistakes(planted, NAMES, GOLGI) == (
        "Golgi apparatus is mistaken for Vesicles 9 times, Cytosol once.",
        "Golgi apparatus is missed 3 times with nothing called in its place.",
        "Golgi apparatus is added twice where nothing is missed.",
    )
    assert describe_mistakes(planted, NAMES, VESICLES) == ("Vesicles is called in place of Golgi apparatus 9 times.",)
    assert describe_mistakes(planted, NAMES, NUCLEOLI) == ()


def test_where_several_labels_are_wrong_the_words_say_perhaps(planted):
    assert describe_mistakes(planted, NAMES, AGGRESOME) == (
        "Aggresome is perhaps mistaken for Vesicles twice, where several labels are wrong.",
    )


def test_a_long_list_is_cut():
    (sentence,) = describe_mistakes(plant(*((5 - j, {GOLGI}, {j}) for j in range(1, 5))), NAMES, GOLGI)
    assert sentence == (
        "Golgi apparatus is mistaken for Vesicles 4 times, Cytosol 3 times, Nucleoli twice and 1 other more rarely."
    )


def test_the_table_begins_with_what_happens_most(planted):
    first, second, *_ = sort_mistakes(planted, NAMES)
    assert (first.true, first.called, first.certain, first.possible) == ("Golgi apparatus", "Vesicles", 9, 2)
    assert (first.count, first.positives) == (9 + 2 / 2, 15)
    assert second.count == 1
    assert len(sort_mistakes(planted, NAMES)) == 3


def test_the_file_has_the_whole_matrix(planted):
    rows = list(csv.reader(io.StringIO(write_matrix(planted, NAMES))))
    assert rows[0] == ["annotated \\ called", *NAMES, "(nothing called)"]
    assert rows[1] == ["Golgi apparatus", "0", "10", "1", "0", "0", "4"]
    assert rows[-1] == ["(nothing missed)", "2", "0", "0", "0", "0", "0"]
    assert [float(x) for x in rows[-1][1:]] == planted.matrix()[-1].tolist()


def test_a_name_with_a_comma_stays_one_cell():
    text = write_matrix(plant((1, {0}, {0})), ('Rods, "rings"', *NAMES[1:]))
    assert next(csv.reader(io.StringIO(text)))[1] == 'Rods, "rings"'
