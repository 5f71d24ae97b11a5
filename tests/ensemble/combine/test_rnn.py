"""The aggregate rnn: a network down the levels, trained on held-out scores and added to their refined mean."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from ensemble_cases import SEEDS, draw_members, draw_truth, random_graph, random_taxonomy
from hypothesis import given, settings

from hpa_hier.data.labels.table import Targets
from hpa_hier.ensemble import ensemble_file as keep
from hpa_hier.ensemble.accept import fit_accepted
from hpa_hier.ensemble.combine.rnn import columns_by_depth
from hpa_hier.ensemble.fit import fit
from hpa_hier.ensemble.scores.fit_data import fit_data
from hpa_hier.ensemble.scores.scores import Scores, Truth
from hpa_hier.errors import UserError
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy

RNN = EnsembleSettings(aggregate="rnn", bootstrap=0, folds=0)


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    taxonomy = random_taxonomy(rng)
    truth = draw_truth(rng, taxonomy, 150)
    members = draw_members(rng, truth, taxonomy)
    return taxonomy, truth, members, fit(members, truth, taxonomy, RNN)


def test_steps_are_the_smaller_the_nearer_the_end_is(monkeypatch):
    from hpa_hier.ensemble.combine import rnn_network

    made = []

    class Kept(rnn_network.torch.optim.AdamW):
        def step(self, *arguments):
            made.append(self.param_groups[0]["lr"])
            return super().step(*arguments)

    monkeypatch.setattr(rnn_network, "_STEPS", 20)
    monkeypatch.setattr(rnn_network.torch.optim, "AdamW", Kept)
    rng = np.random.default_rng(0)
    targets = Targets(rng.random((30, 3)) < 0.5, np.ones((30, 3), bool))
    rnn_network.train(((0,), (1, 2)), rng.normal(size=(30, 4)).astype(np.float32), rng.normal(size=(30, 3)), targets)
    np.testing.assert_allclose(made, made[0] * (1 + np.cos(np.pi * np.arange(20) / 20)) / 2)


def test_a_training_begins_by_adding_nothing_and_leaves_torchs_threads_as_they_were(monkeypatch):
    from hpa_hier.ensemble.combine import rnn_network

    monkeypatch.setattr(rnn_network, "_STEPS", 0)
    rng, levels, before = np.random.default_rng(0), ((0,), (1, 2)), rnn_network.torch.get_num_threads()
    features, total = rng.normal(size=(30, 4)).astype(np.float32), rng.normal(size=(30, 3))
    targets = Targets(rng.random((30, 3)) < 0.5, np.ones((30, 3), bool))
    try:
        rnn_network.torch.set_num_threads(2)
        begun = rnn_network.train(levels, features, total, targets)
        assert rnn_network.torch.get_num_threads() == 2
    finally:
        rnn_network.torch.set_num_threads(before)
    assert (rnn_network.correct(levels, begun, features, total) == 0).all()


@settings(max_examples=200)
@given(SEEDS)
def test_invariants_levels_hold_every_node_once_and_below_all_its_parents(seed):
    graph = random_graph(np.random.default_rng(seed))
    levels = columns_by_depth(graph.size, graph.order)
    level = {node: depth for depth, nodes in enumerate(levels) for node in nodes}
    assert sorted(node for nodes in levels for node in nodes) == list(range(graph.size))
    assert all(level[parent] < level[child] for child, above in graph.edges() for parent in above)


def test_the_same_scores_give_the_same_network_whatever_their_order(fitted):
    taxonomy, truth, members, ensemble = fitted
    again = fit(list(reversed(members)), truth, taxonomy, RNN)
    one, other = ensemble.combiner.aggregate.tensors, again.combiner.aggregate.tensors
    assert one.keys() == other.keys()
    for name, values in one.items():
        assert values.tobytes() == other[name].tobytes()


def test_a_row_is_the_same_in_any_batch_and_coherent(fitted):
    taxonomy, _, members, ensemble = fitted
    whole = ensemble.predict(members)
    for rows in (slice(3, 4), slice(10, 75), slice(0, 64)):
        part = [Scores(one.name, one.ids[rows], one.nodes, one.logits[rows]) for one in members]
        assert ensemble.predict(part).probs.tobytes() == whole.probs[rows].tobytes()
    for node in range(len(taxonomy.nodes)):
        assert (whole.probs[:, [node]] <= whole.probs[:, taxonomy.closure[node]]).all()


def test_a_kept_network_is_checked_and_predicts_the_same(fitted, tmp_path):
    taxonomy, truth, members, ensemble = fitted
    keep.save(ensemble, tmp_path)
    assert keep.load(tmp_path).predict(members).probs.tobytes() == ensemble.predict(members).probs.tobytes()
    content = bytearray((tmp_path / "rnn.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "rnn.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=r"rnn.safetensors: does not match the checksum in ensemble.json; fit it again"):
        keep.load(tmp_path)
    (tmp_path / "rnn.safetensors").unlink()
    with pytest.raises(UserError, match=r"rnn.safetensors: missing, and needed by ensemble.json; fit it again"):
        keep.load(tmp_path)
    keep.save(ensemble, tmp_path)
    keep.save(fit(members, truth, taxonomy, RNN.model_copy(update={"aggregate": "mean"})), tmp_path)
    assert not (tmp_path / "rnn.safetensors").exists()


def test_members_that_know_some_nodes_and_some_samples_are_enough(fitted):
    taxonomy, truth, members, _ = fitted
    available = np.ones((len(members), len(truth.ids)), bool)
    available[1, ::3] = False
    accepted = fit_accepted(fit_data(members, truth, available), None, taxonomy, RNN.model_copy(update={"folds": 2}))
    assert accepted.verdict.comparison is not None
    assert np.isfinite(accepted.ensemble.predict(members, None).probs).all()


def test_what_only_the_level_above_tells_is_learned():
    """The leaf member cannot tell B from C, but another member knows their groups: one is passed down to the other."""
    rng = np.random.default_rng(0)
    text = "taxonomy: t\nlevels: {coarse: 1, leaf: leaves}\ntree:\n  P: {B: {label: b}}\n  Q: {C: {label: c}}\n"
    taxonomy = Taxonomy.from_text(text)
    present = np.zeros((1200, 4), bool)
    present[np.arange(1200), np.where(rng.random(1200) < 0.5, 1, 3)] = True
    ids = tuple(f"s{i:04d}" for i in range(1200))
    truth = Truth(ids, taxonomy.close(present), np.ones_like(present))
    groups = Scores("coarse", ids, ("P", "Q"), 4.0 * truth.present[:, [0, 2]] - 2 + rng.normal(size=(1200, 2)))
    leaves = Scores("leaf", ids, ("B", "C"), 0.3 * rng.normal(size=(1200, 2)))
    half = [Scores(one.name, ids[:900], one.nodes, one.logits[:900]) for one in (groups, leaves)]
    rest = [Scores(one.name, ids[900:], one.nodes, one.logits[900:]) for one in (groups, leaves)]
    right = {}
    for aggregate in ("mean", "rnn"):
        ensemble = fit(half, truth, taxonomy, RNN.model_copy(update={"aggregate": aggregate}))
        raw = ensemble.predict(rest).raw[:, [1, 3]]
        right[aggregate] = (raw.argmax(axis=1) == truth.present[900:, [1, 3]].argmax(axis=1)).mean()
    assert right["rnn"] > 0.95 > 0.7 > right["mean"]


def test_torch_is_imported_only_where_the_network_is():
    code = (
        "import sys, hpa_hier.predict.predictor, hpa_hier.ensemble.ensemble, hpa_hier.ensemble.ensemble_file;"
        "print('torch' in sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "False"
