"""Two runs compared: paired where both answered for the same samples, and told apart by more than chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from evaluated_run import make_run

from hpa_hier.errors import UserError
from hpa_hier.evaluate.against import compare_evaluations, match_trees, pair_samples
from hpa_hier.evaluate.compute import compute_results
from hpa_hier.metrics.bootstrap import resamples
from hpa_hier.metrics.groups import number_units
from hpa_hier.metrics.scores import count, f1
from hpa_hier.runs.evaluation import SystemAnswers, take_samples
from hpa_hier.runs.run import Run
from hpa_hier.taxonomy import Taxonomy


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return Run.open(make_run(tmp_path_factory.mktemp("against"), count=600, size=8))


@pytest.fixture(scope="module")
def one(run):
    return run.evaluation


def worse(evaluation, seed=0, share=0.15):
    """The same evaluation by an ensemble that forgets some labels and invents others."""
    rng, answers = np.random.default_rng(seed), evaluation.ensemble
    leaves = np.isin(np.arange(len(evaluation.taxonomy.nodes)), evaluation.leaf_columns)
    flipped = (
        (rng.random(answers.probs.shape) < share)
        & leaves
        & (answers.present | (rng.random(answers.probs.shape) < 0.05))
    )
    probs = np.where(flipped, 1 - answers.probs, answers.probs)
    present = evaluation.taxonomy.close((answers.present ^ flipped) & leaves)
    return replace(evaluation, ensemble=SystemAnswers(answers.raw, probs, present, answers.thresholds))


@pytest.fixture(scope="module")
def other(one):
    return worse(one)


@pytest.fixture(scope="module")
def compared(one, other):
    return compare_evaluations(one, other, 0.95)


def by_key(pairs):
    return {pair.name: pair for pair in pairs}


def test_differences_are_those_of_the_two_runs_own_metrics(one, other, compared):
    ours, theirs = compute_results(one), compute_results(other)
    for pair, first, second in zip(compared.headline, ours.headline, theirs.headline, strict=True):
        assert (pair.ours, pair.theirs) == (first.ensemble, second.ensemble)
        assert pair.difference.value == pytest.approx(first.ensemble.value - second.ensemble.value)


def test_paired_intervals_of_macro_f1_and_of_each_class_are_as_wide_as_a_paired_bootstraps(one, other, compared):
    leaves, units = one.leaf_columns, number_units(one.groups)
    weights = np.concatenate(list(resamples(units, 1000, np.random.default_rng(3))))
    ours, theirs = (
        f1(count(each.ensemble.present[:, leaves], one.targets[:, leaves], one.known[:, leaves], weights))
        for each in (one, other)
    )
    per_class = ours - theirs
    macro = np.nanmean(ours, axis=1) - np.nanmean(theirs, axis=1)
    found = by_key(compared.headline)["macro F1"].difference
    low, high = np.quantile(macro, [0.025, 0.975])
    assert found.high - found.low == pytest.approx(high - low, rel=0.3)
    rows = {row.node: row for row in compared.nodes}
    for column, leaf in enumerate(one.taxonomy.leaves):
        row = rows[leaf]
        if row.positives[0] >= 30:
            low, high = np.nanquantile(per_class[:, column], [0.025, 0.975])
            one_class = row.metrics["f1"].difference
            # wider where a few samples make most of the difference, since Student's t has few degrees of freedom there
            assert 0.85 * (high - low) < one_class.high - one_class.low < 1.8 * (high - low), leaf


def test_the_better_run_is_called_better_and_the_other_worse(one, other, compared):
    assert by_key(compared.headline)["sample F1"].verdict == "better"
    turned = compare_evaluations(other, one, 0.95)
    assert by_key(turned.headline)["sample F1"].verdict == "worse"
    first, second = (by_key(each.headline)["macro F1"].difference for each in (compared, turned))
    assert (first.value, first.low, first.high) == pytest.approx((-second.value, -second.high, -second.low))


def test_the_same_answers_are_called_that(one):
    same = compare_evaluations(one, one, 0.95)
    assert {pair.verdict for pair in same.headline} == {"same answers"}
    assert same.pairing.kind == "same"
    assert {row.metrics["f1"].verdict for row in same.nodes} <= {"same answers", "too few to tell"}


def test_a_class_of_a_handful_gets_no_verdict(compared):
    few = [row for row in compared.nodes if 0 < min(row.positives) < 10]
    assert few
    assert {row.metrics["f1"].verdict for row in few} == {"too few to tell"}


def test_agreement_counts_every_image_once(one, other, compared):
    for level in compared.agreement:
        assert level.both + level.ours + level.theirs + level.neither == len(one.ids)
    top = {pair.name: pair for pair in compared.top}
    first = compared.agreement[0]
    assert (first.both + first.ours) / len(one.ids) == pytest.approx(
        top[f"most likely right, {first.level} level"].ours.value
    )


def test_runs_that_share_some_images_are_compared_on_those_in_any_order(one, other):
    half, rest = one.ids[:120], one.ids[60:][::-1]
    ours = take_samples(one, half, one.taxonomy, one.taxonomy.nodes)
    theirs = take_samples(other, rest, one.taxonomy, one.taxonomy.nodes)
    found = compare_evaluations(ours, theirs, 0.95)
    assert found.pairing.kind == "common"
    assert found.pairing.words == (
        f"Compared on the 60 images that both answered for, of 120 and {len(rest)}; differences are paired."
    )
    both = sorted(one.ids[60:120])
    again = [take_samples(each, both, one.taxonomy, one.taxonomy.nodes) for each in (one, other)]
    assert found.headline == compare_evaluations(*again, 0.95).headline


def test_runs_without_a_common_image_are_compared_each_on_its_own_with_wider_intervals(one, other, compared):
    theirs = replace(other, ids=tuple(f"other-{name}" for name in other.ids))
    apart = compare_evaluations(one, theirs, 0.95)
    assert apart.pairing.kind == "apart"
    assert apart.pairing.words.startswith("The two share no image (")
    assert apart.agreement == ()
    for paired, single in zip(compared.headline, apart.headline, strict=True):
        assert single.difference.value == pytest.approx(paired.difference.value)
    wide, narrow = (by_key(each.headline)["macro F1"].difference for each in (apart, compared))
    assert wide.high - wide.low > narrow.high - narrow.low


def test_other_images_under_the_same_names_are_not_taken_for_the_same(one, other):
    theirs = replace(other, targets=other.targets[::-1], facts=other.facts.model_copy(update={"pack_digest": "f" * 16}))
    *_, pairing = pair_samples(one, theirs)
    assert pairing.kind == "apart"
    assert "are called alike but" in pairing.words


def test_the_same_images_packed_again_are_paired(one, other):
    theirs = replace(other, facts=other.facts.model_copy(update={"pack_digest": "f" * 16, "split_digest": "e" * 16}))
    *_, pairing = pair_samples(one, theirs)
    assert (pairing.kind, pairing.common) == ("same", len(one.ids))


def test_a_label_that_was_corrected_between_the_two_is_left_out_of_both(one, other):
    targets = other.targets.copy()
    targets[0, one.leaf_columns[0]] ^= True
    first, second, pairing = pair_samples(one, replace(other, targets=targets))
    row = first.ids.index(one.ids[0])
    assert not first.known[row, one.leaf_columns[0]]
    assert np.array_equal(first.known, second.known)
    assert "1 have other labels in the two, which are left out" in pairing.words


def test_nodes_that_were_renamed_are_the_same_nodes(one, other):
    text = one.taxonomy.text.replace("Lysosomes:", "Lysosome:")
    renamed = replace(other, taxonomy=Taxonomy.from_text(text))
    found = compare_evaluations(one, renamed, 0.95)
    assert "Lysosomes" in {row.node for row in found.nodes}
    assert found.headline == compare_evaluations(one, other, 0.95).headline


def test_another_tree_is_refused_with_commands_that_make_a_run_under_this_one(run, tmp_path):
    theirs = Run(tmp_path / "theirs", run.recipe)
    text = run.evaluation.taxonomy.text.replace("Lysosomes: {label: 10,", "Lysosomes: {label: 30,")
    theirs.__dict__["evaluation"] = replace(run.evaluation, taxonomy=Taxonomy.from_text(text))
    with pytest.raises(UserError, match=r"'Lysosomes' and \d+ other nodes cannot be compared; train its") as error:
        match_trees(run, theirs)
    lines = str(error.value).splitlines()
    assert lines[1] == (
        f"python -m hpa_hier.train --all --run {tmp_path}/theirs-again --taxonomy {run.folder}/taxonomy.yaml"
    )
    assert [line.split()[2:4] for line in lines[2:]] == [
        ["hpa_hier.ensemble", "fit"],
        ["hpa_hier.ensemble", "evaluate"],
    ]
