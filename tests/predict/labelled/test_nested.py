"""Nested folds: what is said of a sample does not depend on its own label, and nothing gets worse by adapting."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ensemble_cases import draw_truth
from scipy.special import expit

from hpa_hier.ensemble.combine.reconcile import lift
from hpa_hier.ensemble.scores.scores import Truth
from hpa_hier.predict.labelled import nested
from hpa_hier.predict.labelled.nested import Given, adapt_nested, measure_loss
from hpa_hier.predict.labelled.retrain import MemberAnswers
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy

TREE = """taxonomy: small
levels: {coarse: 1, leaf: leaves}
tree:
  Inside: {Dots: {label: 0}, Rings: {label: 1}}
  Outside: {Blobs: {label: 2}, Smears: {label: 3}}
"""


def draw(samples: int, shift: float, noise: float = 1.0, seed: int = 0) -> Given:
    """A member whose logits follow the truth, moved by `shift`; two samples of each antibody."""
    rng, taxonomy = np.random.default_rng(seed), Taxonomy.from_text(TREE)
    drawn = draw_truth(rng, taxonomy, samples, unknown=0)
    truth = Truth(tuple(sorted(drawn.ids)), drawn.present, drawn.known)
    leaves = [taxonomy.column[leaf] for leaf in taxonomy.leaves]
    logits = np.where(truth.present[:, leaves], 2.0, -2.0) + rng.normal(size=(samples, 4)) * noise
    before = np.zeros(truth.present.shape)
    before[:, leaves] = expit(logits + shift)
    before = lift(before, taxonomy.bottom_up)
    ones = np.ones(len(taxonomy.nodes), bool)
    return Given(
        members=(
            MemberAnswers("leaf", taxonomy.leaves, logits + shift, np.ones(4, bool), logits @ rng.normal(size=(4, 8))),
        ),
        truth=truth,
        units=tuple(f"antibody {i // 2}" for i in range(samples)),
        taxonomy=taxonomy,
        settings=EnsembleSettings(aggregate="mean", refine=False, bootstrap=0),
        trusted=ones,
        learned=ones,
        answered=ones,
        before=before,
        before_present=taxonomy.close(before >= 0.5),
    )


def test_an_ensemble_that_is_shifted_is_put_right_out_of_fold() -> None:
    given = draw(40, shift=2.5)
    fitted = adapt_nested(given)
    assert fitted.unseen is not None
    assert given.before is not None
    assert measure_loss(given, fitted.unseen.probs) < 0.7 * measure_loss(given, given.before)
    assert fitted.adaptation.combiner is not None


def test_what_is_said_of_a_sample_does_not_depend_on_its_own_label(monkeypatch: pytest.MonkeyPatch) -> None:
    fixed = lambda present, units, number: np.arange(len(present)) // 2 % number  # noqa: E731
    monkeypatch.setattr(nested, "assign_folds", fixed)  # labels stratify the folds, and are turned here
    given = replace(draw(30, shift=1.5), before=None)
    first = adapt_nested(given).unseen
    assert first is not None
    mine = np.flatnonzero(first.fold == first.fold[7])
    leaves = [given.taxonomy.column[leaf] for leaf in given.taxonomy.leaves]
    turned = np.zeros_like(given.truth.present)
    turned[:, leaves] = ~given.truth.present[:, leaves]
    present = given.truth.present.copy()
    present[mine] = given.taxonomy.close(turned)[mine]  # other labels for a whole fold
    other = adapt_nested(replace(given, truth=replace(given.truth, present=present))).unseen
    assert other is not None
    np.testing.assert_allclose(first.probs[mine], other.probs[mine], atol=1e-9)
    np.testing.assert_array_equal(first.present[mine], other.present[mine])
    assert not np.allclose(first.probs, other.probs, atol=1e-3)


def test_antibodies_are_never_torn() -> None:
    unseen = adapt_nested(draw(24, shift=0.5)).unseen
    assert unseen is not None
    assert (unseen.fold[::2] == unseen.fold[1::2]).all()


def test_an_ensemble_that_cannot_be_bettered_stays_as_it_is() -> None:
    given = draw(40, shift=0.0, noise=0.01)
    leaves = [given.taxonomy.column[leaf] for leaf in given.taxonomy.leaves]
    before = np.zeros(given.truth.present.shape)
    before[:, leaves] = np.where(given.truth.present[:, leaves], 1 - 1e-6, 1e-6)
    before = lift(before, given.taxonomy.bottom_up)
    fitted = adapt_nested(replace(given, before=before))
    assert fitted.adaptation.combiner is None
    assert fitted.unseen is not None
    np.testing.assert_array_equal(fitted.unseen.probs, before)


def test_too_few_samples_are_adapted_to_with_caution_and_tell_nothing_out_of_fold() -> None:
    given = draw(60, shift=2.5)
    few = given.rows(np.arange(60) < 3)
    fitted = adapt_nested(few)
    assert fitted.unseen is None
    assert fitted.adaptation.strength is not None
    assert not fitted.adaptation.strength.retrains
