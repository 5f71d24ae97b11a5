"""Each class has a part of the page with its curve, its mistakes and its pictures; the page stays small."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from evaluated_run import make_run

from hpa_hier.evaluate.compute import compute_results
from hpa_hier.evaluate.figures.figure import ReportData, draw_figures
from hpa_hier.evaluate.figures.table import FIGURES
from hpa_hier.evaluate.gallery.cards import Gallery, hang
from hpa_hier.evaluate.gallery.heat_maps import NoHeat
from hpa_hier.evaluate.report.classes import anchor, draw_curves, list_classes
from hpa_hier.evaluate.training_record import class_counts, read_records
from hpa_hier.runs.run import Run

WHY = NoHeat("a test")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return Run.open(make_run(tmp_path_factory.mktemp("classes"), count=300, size=24))


@pytest.fixture(scope="module")
def results(run):
    return compute_results(run.evaluation, run.recipe.report)


@pytest.fixture(scope="module")
def gallery(run):
    return hang(run.evaluation, run.pack, 3, WHY)


@pytest.fixture(scope="module")
def classes(run, results, gallery):
    return list_classes(run.evaluation, results, gallery, "")


def test_classes_are_in_order_of_their_images_and_none_that_occurs_is_left_out(classes, run):
    supports = [part.row.positives for part in classes.parts]
    assert supports == sorted(supports, reverse=True)
    named = {part.row.node for part in classes.parts} | set(classes.silent)
    assert named == set(run.evaluation.taxonomy.leaves)


def test_every_class_with_and_without_images_has_its_curve(classes):
    for part in classes.parts:
        assert bool(part.curve) == (part.row.positives > 0), part.row.node
        assert part.path.split(" › ")[0] in ("Nucleus", "Cytoplasm", "Secretory")


def test_no_image_is_on_two_cards_in_the_whole_page(gallery):
    ids = [card.id for card in gallery.cards]
    assert len(ids) == len(set(ids)) > 50


def test_cards_are_sorted_by_confidence(gallery):
    for shelves in gallery.shelves.values():
        for shelf in shelves:
            probs = [card.prob for card in shelf.cards]
            assert probs == sorted(probs, reverse=shelf.kind != "missed")


def test_a_card_names_all_labels_of_its_image_the_class_it_is_shown_for_first(gallery, run):
    evaluation, leaves = run.evaluation, run.evaluation.leaf_columns
    for card in gallery.cards:
        row = evaluation.ids.index(card.id)
        present, targets = evaluation.ensemble.present[row, leaves], evaluation.targets[row, leaves]
        assert card.labels[0].name == card.node
        assert card.labels[0].mark == card.kind
        assert {label.name for label in card.labels} == {
            evaluation.taxonomy.leaves[j] for j in np.flatnonzero(present | targets)
        }


def test_a_shelf_says_how_many_there_are_and_where_the_others_are(gallery, run):
    evaluation, shown = run.evaluation, {card.id: card.node for card in gallery.cards}
    for node, shelves in gallery.shelves.items():
        column = evaluation.taxonomy.column[node]
        missed = evaluation.targets[:, column] & ~evaluation.ensemble.present[:, column]
        shelf = next((one for one in shelves if one.kind == "missed"), None)
        assert (shelf.samples if shelf else 0) == missed.sum()
        if shelf:
            places = [shown[evaluation.ids[row]] for row in np.flatnonzero(missed) if evaluation.ids[row] in shown]
            assert shelf.elsewhere == {other: places.count(other) for other in set(places) - {node}}


def test_what_was_called_where_the_annotation_does_not_say_is_neither_right_nor_wrong(run):
    evaluation = run.evaluation
    row, leaf = 0, evaluation.leaf_columns[0]
    known, present, targets = evaluation.known.copy(), evaluation.ensemble.present.copy(), evaluation.targets.copy()
    known[row, leaf], present[row, leaf], targets[row, leaf] = False, True, False
    unknown = replace(evaluation, known=known, targets=targets, ensemble=replace(evaluation.ensemble, present=present))
    cards = hang(unknown, run.pack, 1000, WHY).cards
    (card,) = (card for card in cards if card.id == evaluation.ids[row])
    assert {label.name: label.mark for label in card.labels}[evaluation.taxonomy.nodes[leaf]] == "unknown"


def test_where_a_budget_is_small_there_are_fewer_cards_of_every_class_rather_than_of_some(run, gallery):
    few = hang(run.evaluation, run.pack, 3, WHY, budget=sum(map(len, gallery.cards[0].planes.values())) * 40)
    assert len(few.cards) < len(gallery.cards)
    shown = {shelf.kind for shelves in few.shelves.values() for shelf in shelves if shelf.cards}
    assert shown == {"missed", "wrong", "found"}
    assert few.shelves.keys() == gallery.shelves.keys()


def test_curves_stop_where_their_bytes_are_used_up(run, results):
    rows = [row for row in results.nodes if row.leaf]
    every = draw_curves(run.evaluation, rows)
    some = draw_curves(run.evaluation, rows, budget=sum(map(len, list(every.values())[:3])))
    assert list(some) == list(every)[:3]


def test_the_address_of_a_class_is_its_column(run):
    assert anchor(run.evaluation, run.evaluation.taxonomy.nodes[7]) == "class-7"


def test_without_pictures_the_classes_are_there_all_the_same(run, results):
    bare = list_classes(run.evaluation, results, Gallery(), "the samples are feature vectors")
    assert len(bare.parts) > 20
    assert not any(part.shelves for part in bare.parts)


def test_every_axis_of_every_figure_has_a_name(run, results):
    members = dict.fromkeys([*results.scope.members, *results.scope.baseline_members])
    data = ReportData(run.evaluation, results, read_records(run, members), class_counts(run, run.evaluation.taxonomy))
    drawn = draw_figures(FIGURES, data)
    assert len(drawn) == len(FIGURES)
    for one, figure in drawn.items():
        for axes in figure.axes:
            named = [axes, *axes.get_shared_x_axes().get_siblings(axes)]
            rows = [label.get_text() for label in axes.get_yticklabels()]
            assert any(other.get_xlabel() for other in named) or axes.get_label() == "<colorbar>", one.name
            assert axes.get_ylabel() or any(re.search("[a-z]{3}", row) for row in rows), one.name


@pytest.mark.slow
@pytest.mark.parametrize("size", [64, 512])
def test_pictures_of_ten_thousand_images_leave_room_for_a_page_of_five_megabytes(tmp_path, size):
    opened = Run.open(make_run(tmp_path, count=400, size=size))
    evaluation, times = opened.evaluation, 10_000 // len(opened.evaluation.ids) + 1

    def many(part):
        return None if part is None else np.tile(part, (times, 1))

    answers = replace(
        evaluation.ensemble, **{name: many(getattr(evaluation.ensemble, name)) for name in ("raw", "probs", "present")}
    )
    ids = evaluation.ids * times
    whole = replace(
        evaluation, ids=ids, targets=many(evaluation.targets), known=many(evaluation.known), ensemble=answers
    )
    cards = hang(whole, opened.pack, 100, WHY).cards
    assert sum(len(uri) for card in cards for uri in card.planes.values()) <= 3_000_000
    assert len(cards) > 60
