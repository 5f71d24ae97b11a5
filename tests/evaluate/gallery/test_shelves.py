"""Every sample is shown once, where it tells most."""

from __future__ import annotations

import numpy as np
import pytest

from hpa_hier.evaluate.gallery.shelves import KINDS, Place, candidates, fill_shelves


@pytest.fixture(scope="module")
def answers() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    probs = rng.random((80, 6))
    return probs, probs > 0.6, rng.random((80, 6)) < 0.3, rng.random((80, 6)) < 0.9


def test_no_sample_is_on_two_shelves_and_no_shelf_has_more_than_asked_for(answers):
    places = list(fill_shelves(candidates(*answers), 4))
    rows = [place.row for place in places]
    assert len(rows) == len(set(rows)) > 40
    shelves = [(place.label, place.kind) for place in places]
    assert max(shelves.count(shelf) for shelf in shelves) == 4


def test_a_sample_is_on_a_shelf_that_it_belongs_to(answers):
    _, present, targets, known = answers
    for place in fill_shelves(candidates(*answers), 100):
        called, true = present[place.row, place.label], targets[place.row, place.label]
        assert known[place.row, place.label]
        assert place.kind == {(False, True): "missed", (True, False): "wrong", (True, True): "found"}[called, true]


def test_every_sample_that_belongs_to_a_shelf_gets_a_place_where_there_is_room(answers):
    found = candidates(*answers)
    there = {row for rows in found.values() for row in rows.tolist()}
    assert {place.row for place in fill_shelves(found, 1000)} == there


def test_the_surest_mistakes_come_first_and_of_the_found_those_without_any_mistake():
    probs = np.array([[0.1, 0.0], [0.3, 0.0], [0.9, 0.9], [0.8, 0.0], [0.7, 0.0]])
    targets = np.array([[1, 0], [1, 0], [1, 0], [1, 0], [0, 0]], bool)
    found = candidates(probs, probs > 0.5, targets, np.ones_like(targets))
    assert {key: rows.tolist() for key, rows in found.items()} == {
        (0, "missed"): [0, 1],
        (0, "wrong"): [4],
        (1, "wrong"): [2],
        (0, "found"): [3, 2],  # 2 has another label wrong
    }


def test_where_few_pictures_fit_every_class_has_its_most_telling_one_first():
    found = {(0, "missed"): np.arange(10), (0, "found"): np.arange(10, 30), (1, "missed"): np.array([0, 40])}
    places = list(fill_shelves(found, 2))
    assert places == [
        Place(1, "missed", 0),  # the class with the least to choose from
        Place(0, "missed", 1),
        Place(0, "found", 10),
        Place(1, "missed", 40),
        Place(0, "missed", 2),
        Place(0, "found", 11),
    ]
    assert [KINDS.index(place.kind) for place in places] == [0, 0, 2, 0, 0, 2]
