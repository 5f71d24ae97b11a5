"""The trivial baseline: the labels and probabilities that its definition says, from the samples given alone."""

from __future__ import annotations

import numpy as np
import pytest

from hpa_hier.data.labels.table import Targets
from hpa_hier.ensemble.trivial import TrivialBaseline
from hpa_hier.metrics.scores import sample_f1
from hpa_hier.taxonomy import Taxonomy

TREE = """taxonomy: small
levels: {coarse: 1, leaf: leaves}
tree:
  Nucleus:
    Nucleoplasm: {label: 0}
    Nucleoli: {label: 1}
  Cytoplasm:
    Cytosol: {label: 2}
    Centrosome: {label: 3}
"""
TAXONOMY = Taxonomy.from_text(TREE)


def targets(*label_sets: str) -> Targets:
    """Closed targets of samples, each with the leaves of these initials: p, i, y, e."""
    names = {"p": "Nucleoplasm", "i": "Nucleoli", "y": "Cytosol", "e": "Centrosome"}
    present = np.zeros((len(label_sets), len(TAXONOMY.nodes)), bool)
    for row, letters in enumerate(label_sets):
        present[row, [TAXONOMY.column[names[letter]] for letter in letters]] = True
    return Targets(TAXONOMY.close(present), np.ones_like(present))


def labels(trivial: TrivialBaseline) -> set[str]:
    return {node for node, present in zip(TAXONOMY.nodes, trivial.present, strict=True) if present}


def test_the_labels_are_the_most_frequent_ones_with_the_best_sample_f1_as_computed_by_hand():
    # k = 1, Nucleoplasm: (2/3 + 2/3 + 1 + 0) / 4 = 0.583; k = 2, with Cytosol: (1 + 1 + 2/3 + 2/3) / 4 = 0.833;
    # k = 3, with Nucleoli: (4/5 + 4/5 + 1/2 + 1/2) / 4 = 0.65
    trivial = TrivialBaseline.fit(targets("py", "py", "p", "y"), TAXONOMY)
    assert labels(trivial) == {"Nucleus", "Nucleoplasm", "Cytoplasm", "Cytosol"}


def test_one_label_is_answered_where_samples_have_one():
    assert labels(TrivialBaseline.fit(targets("p", "p", "p", "y", "i"), TAXONOMY)) == {"Nucleus", "Nucleoplasm"}


def test_a_probability_is_the_prevalence_and_never_nothing():
    trivial = TrivialBaseline.fit(targets("p", "p", "y", "p"), TAXONOMY)
    column = TAXONOMY.column
    assert trivial.probs[column["Nucleoplasm"]] == pytest.approx(3.5 / 5)
    assert trivial.probs[column["Nucleus"]] == pytest.approx(3.5 / 5)
    assert trivial.probs[column["Centrosome"]] == pytest.approx(0.5 / 5)


def test_the_answer_is_coherent_also_where_annotations_are_open():
    given = targets("p", "p", "y", "")
    known = given.known.copy()
    known[1:, TAXONOMY.column["Nucleoplasm"]] = False  # its prevalence among known is 1, the group's is 1/2
    trivial = TrivialBaseline.fit(Targets(given.present & known, known), TAXONOMY)
    for node in TAXONOMY.nodes:
        for parent in TAXONOMY.parents(node):
            assert trivial.probs[TAXONOMY.column[node]] <= trivial.probs[TAXONOMY.column[parent]]
    np.testing.assert_array_equal(TAXONOMY.close(trivial.present[None])[0], trivial.present)


def test_no_other_number_of_most_frequent_labels_has_a_larger_sample_f1():
    rng = np.random.default_rng(0)
    leaves = np.array([TAXONOMY.column[leaf] for leaf in TAXONOMY.leaves])
    for _ in range(40):
        present = np.zeros((12, len(TAXONOMY.nodes)), bool)
        present[:, leaves] = rng.random((12, 4)) < rng.random(4)
        given = Targets(TAXONOMY.close(present), np.ones_like(present) & (rng.random(present.shape) < 0.9))
        trivial = TrivialBaseline.fit(given, TAXONOMY)
        truth = given.present[:, leaves], given.known[:, leaves]
        order = np.argsort(-trivial.probs[leaves], kind="stable")
        reached = [sample_f1(np.tile(np.isin(np.arange(4), order[:k]), (12, 1)), *truth).mean() for k in range(1, 5)]
        chosen = trivial.present[leaves]
        assert sample_f1(np.tile(chosen, (12, 1)), *truth).mean() == pytest.approx(max(reached))


def test_out_of_fold_each_sample_gets_the_answer_of_the_other_folds():
    told = targets("p", "p", "py", "y", "y", "i")
    fold = np.array([0, 0, 0, 1, 1, 1])
    found = TrivialBaseline.fit_out_of_fold(told, fold, TAXONOMY)
    for k in (0, 1):
        rows = fold != k
        one = TrivialBaseline.fit(Targets(told.present[rows], told.known[rows]), TAXONOMY)
        assert (found.probs[fold == k] == one.probs).all()
        assert (found.present[fold == k] == one.present).all()
    first = TrivialBaseline.fit(targets("e"), TAXONOMY)
    joined = first.join(2, found)
    assert joined.probs.tolist() == [first.probs.tolist()] * 2 + found.probs.tolist()
    assert joined.present.tolist() == [first.present.tolist()] * 2 + found.present.tolist()


def test_what_is_not_known_counts_neither_as_found_nor_as_missed():
    told = targets("p", "p", "y", "y", "y")
    known = np.ones_like(told.known)
    known[2:4, TAXONOMY.column["Cytosol"]] = False  # one Cytosol of three is known to be
    found = TrivialBaseline.fit(Targets(told.present, known), TAXONOMY)
    assert found.probs[TAXONOMY.column["Cytosol"]] == pytest.approx(1.5 / 4)
    assert found.probs[TAXONOMY.column["Nucleoplasm"]] == pytest.approx(2.5 / 6)
