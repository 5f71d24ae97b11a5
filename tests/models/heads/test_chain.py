"""Heads and the loss that know the tree: their guarantees on random graphs, and their equations against plain ones."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from hpa_hier.models.heads.ancestry import Ancestry
from hpa_hier.models.heads.build import HeadData, build_head
from hpa_hier.models.heads.chain import Chain, joint_logit
from hpa_hier.models.heads.head import Flat
from hpa_hier.models.heads.levels import LevelsRnn
from hpa_hier.models.heads.lift import Lift, Lifted
from hpa_hier.models.losses.elementwise import bce
from hpa_hier.models.losses.max_constraint import MaxConstraint
from hpa_hier.settings.training import TrainingSettings

CASES = examples(200)


@st.composite
def graphs(draw: st.DrawFn) -> Ancestry:
    """Draw a graph of 1 to 14 nodes, each below up to three earlier ones."""
    count = draw(st.integers(1, 14))
    parents = [()]
    for node in range(1, count):
        parents.append(tuple(sorted(draw(st.sets(st.integers(0, node - 1), max_size=3)))))
    return Ancestry(tuple(parents))


def below_or_self(ancestry: Ancestry) -> np.ndarray:
    """Return (n, n) bool: [v, u] is True where u is v or below it."""
    closure = np.eye(len(ancestry), dtype=bool)
    for node, above in enumerate(ancestry.parents):
        for parent in above:
            closure[node] |= closure[parent]
    return closure.T


def logits_of(ancestry: Ancestry, seed: int, size: float = 50.0) -> Tensor:
    """Draw (8, n) logits, half of them ±size."""
    generator = np.random.default_rng(seed)
    drawn = generator.normal(0, 3, (8, len(ancestry)))
    loud = generator.choice([-size, size], drawn.shape)
    return torch.from_numpy(np.where(generator.random(drawn.shape) < 0.5, loud, drawn).astype(np.float32))


def targets_of(ancestry: Ancestry, seed: int) -> tuple[Tensor, Tensor]:
    """Draw closed (8, n) targets, and what is known of them."""
    generator = np.random.default_rng(seed)
    on = generator.random((8, len(ancestry))) < 0.2
    present = (on.astype(int) @ below_or_self(ancestry).T.astype(int)) > 0
    known = generator.random(present.shape) < 0.8
    return torch.from_numpy(present.astype(np.float32)), torch.from_numpy(known.astype(np.float32))


def chain_of(ancestry: Ancestry, conditional: Tensor) -> tuple[Chain, Tensor]:
    """Make a chain head that answers with these conditional logits, and the features for which it does."""
    head = Chain(conditional.shape[1], ancestry, np.full(len(ancestry), 0.3), dropout=0.0)
    with torch.no_grad():
        head.linear.weight.copy_(torch.eye(len(ancestry)))
        head.linear.bias.zero_()
    return head, conditional.clone().requires_grad_()


@CASES
@given(graphs(), st.integers(0, 1000))
def test_no_node_of_a_chain_is_likelier_than_a_parent_and_gradients_are_finite(ancestry: Ancestry, seed: int) -> None:
    head, features = chain_of(ancestry, logits_of(ancestry, seed))
    logits = head(features)
    assert logits.dtype == torch.float32
    assert torch.isfinite(logits).all()
    for node, above in enumerate(ancestry.parents):
        for parent in above:
            assert (logits[:, node] <= logits[:, parent]).all()
    present, known = targets_of(ancestry, seed)
    for loss in (bce(logits, present, known), logits.sum()):
        gradient = torch.autograd.grad(loss, features, retain_graph=True)[0]
        assert torch.isfinite(gradient).all()


@CASES
@given(graphs(), st.integers(0, 1000))
def test_a_chain_is_the_product_down_the_tree_with_the_least_of_several_parents(ancestry: Ancestry, seed: int) -> None:
    conditional = logits_of(ancestry, seed, size=6.0)
    head, features = chain_of(ancestry, conditional)
    expected = torch.zeros_like(conditional, dtype=torch.float64)
    for node, above in enumerate(ancestry.parents):
        least = torch.stack([expected[:, j] for j in above]).amin(dim=0) if above else 0.0
        expected[:, node] = functional.logsigmoid(conditional[:, node].double()) + least
    probs = torch.sigmoid(head(features).double())
    torch.testing.assert_close(probs, expected.exp(), rtol=1e-5, atol=1e-9)


@CASES
@given(graphs(), st.integers(0, 1000))
def test_the_chains_second_stage_is_the_cross_entropy_of_unconditional_probabilities(
    ancestry: Ancestry, seed: int
) -> None:
    head, features = chain_of(ancestry, logits_of(ancestry, seed, size=6.0))
    logits = head(features)
    present, known = targets_of(ancestry, seed)
    log_probs = functional.logsigmoid(logits.double()).clamp(max=-1e-12)
    losses = -(present * log_probs + (1 - present) * torch.log(-torch.expm1(log_probs)))
    expected = (losses * known).sum() / known.sum().clamp(min=1)
    torch.testing.assert_close(bce(logits, present, known).double(), expected, rtol=1e-4, atol=1e-6)


def test_a_wrongly_sure_chain_still_has_a_gradient() -> None:
    u = torch.tensor([50.0], requires_grad=True)
    loss = functional.binary_cross_entropy_with_logits(joint_logit(u, torch.tensor([60.0])), torch.zeros(1))
    loss.backward()
    torch.testing.assert_close(u.grad, torch.ones(1), rtol=1e-3, atol=0)


def test_the_first_stage_asks_only_where_all_parents_are_present() -> None:
    ancestry = Ancestry(((), (), (0, 1), (0,), (2,)))
    present = torch.tensor([[1.0, 0, 0, 1, 0], [1, 1, 1, 0, 0], [0, 0, 0, 0, 0]])
    known = torch.ones(3, 5)
    known[1, 3] = 0
    conditional, told = ancestry.conditional_targets(present, known)
    assert told.tolist() == [[1, 1, 0, 1, 0], [1, 1, 1, 0, 1], [1, 1, 0, 0, 0]]
    assert torch.equal(conditional * told, present * told)


def test_of_mixed_images_the_first_stage_asks_for_the_share_of_the_parent() -> None:
    ancestry = Ancestry(((), (0,), (0,)))
    conditional, told = ancestry.conditional_targets(torch.tensor([[0.4, 0.4, 0.1]]), torch.ones(1, 3))
    torch.testing.assert_close(conditional, torch.tensor([[0.4, 1.0, 0.25]]))
    torch.testing.assert_close(told, torch.tensor([[1.0, 0.4, 0.4]]))


def test_the_max_constraint_of_a_mixed_image_is_between_those_of_its_two() -> None:
    ancestry = Ancestry(((), (0,), (0,)))
    logits, known = torch.tensor([[-1.0, 2.0, -3.0]]), torch.ones(1, 3)
    one, other = torch.tensor([[1.0, 1.0, 0.0]]), torch.tensor([[0.0, 0.0, 0.0]])
    loss = MaxConstraint(ancestry)
    mixed = loss(logits, 0.3 * one + 0.7 * other, known)
    torch.testing.assert_close(mixed, 0.3 * loss(logits, one, known) + 0.7 * loss(logits, other, known))


def test_an_untrained_chain_and_an_untrained_rnn_guess_the_prevalence() -> None:
    ancestry, prevalence = Ancestry(((), (0,), (1,), (0,))), np.array([0.5, 0.3, 0.1, 0.2])
    for name in ("chain", "levels", "flat"):
        head = build_head(TrainingSettings(head=name), 6, HeadData(ancestry, prevalence)).eval()
        probs = torch.sigmoid(head(torch.zeros(1, 6)))[0].detach().numpy()
        np.testing.assert_allclose(probs, prevalence, rtol=1e-4 if name != "levels" else 0.2)


@CASES
@given(graphs(), st.integers(0, 1000))
def test_the_max_constraint_is_that_of_the_dense_equations(ancestry: Ancestry, seed: int) -> None:
    logits = logits_of(ancestry, seed, size=8.0)
    logits += torch.linspace(0, 0.1, len(ancestry))  # where two are alike, either may have the gradient
    logits.requires_grad_()
    present, known = targets_of(ancestry, seed)
    below = torch.from_numpy(below_or_self(ancestry))
    probs = torch.sigmoid(logits.double())
    largest = torch.where(below, probs[:, None, :], 0.0).amax(dim=2)
    largest_true = torch.where(below, (present * probs)[:, None, :], 0.0).amax(dim=2)
    o = (1 - present) * largest + present * largest_true
    losses = functional.binary_cross_entropy(o, present.double(), reduction="none")
    expected = (losses * known).sum() / known.sum().clamp(min=1)
    found = MaxConstraint(ancestry)(logits, present, known)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-6)
    theirs, ours = (torch.autograd.grad(loss, logits)[0] for loss in (expected, found))
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-6)


@CASES
@given(graphs(), st.integers(0, 1000))
def test_the_lift_is_the_largest_below_and_changes_nothing_twice(ancestry: Ancestry, seed: int) -> None:
    logits, lift = logits_of(ancestry, seed), Lift(ancestry)
    below = torch.from_numpy(below_or_self(ancestry))
    expected = torch.where(below, logits[:, None, :], -torch.inf).amax(dim=2)
    assert torch.equal(lift(logits), expected)
    assert torch.equal(lift(expected), expected)


@CASES
@given(graphs(), st.integers(0, 1000))
def test_the_max_constraint_has_finite_gradients_at_loud_logits(ancestry: Ancestry, seed: int) -> None:
    logits = logits_of(ancestry, seed).requires_grad_()
    loss = MaxConstraint(ancestry)(logits, *targets_of(ancestry, seed))
    assert torch.isfinite(loss)
    assert torch.isfinite(torch.autograd.grad(loss, logits)[0]).all()


def test_a_lifted_head_leaves_training_to_its_loss() -> None:
    ancestry = Ancestry(((), (0,)))
    flat = Flat(3, np.array([0.2, 0.9]), 0.0)
    head, features = Lifted(flat, ancestry), torch.zeros(1, 3)
    logits = head.training_logits(features)
    assert torch.equal(logits, flat(features))
    assert logits[0, 0] < logits[0, 1]
    assert head(features).tolist() == [[logits[0, 1]] * 2]


@pytest.mark.parametrize("nodes", [pytest.param(600, marks=pytest.mark.slow), 4000])
def test_the_max_constraint_of_many_nodes_stays_under_one_gigabyte(nodes: int) -> None:
    code = (
        "import resource, numpy as np, torch\n"
        "from hpa_hier.models.heads.ancestry import Ancestry\n"
        "from hpa_hier.models.losses.max_constraint import MaxConstraint\n"
        "rng = np.random.default_rng(0)\n"
        f"n, B = {nodes}, 256\n"
        "parents = [() if v < 3 else tuple(sorted({int(p) for p in rng.integers(0, v, rng.integers(1, 4))}))\n"
        "           for v in range(n)]\n"
        "loss = MaxConstraint(Ancestry(tuple(parents)))\n"
        "logits = torch.randn(B, n, requires_grad=True)\n"
        "present, known = torch.zeros(B, n), torch.ones(B, n)\n"
        "present[:, :3] = 1\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "loss(logits, present, known).backward()\n"
        "assert torch.isfinite(logits.grad).all()\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 1024  # mebibytes beyond what importing took; dense, 4,000 nodes would take 16,000


@CASES
@given(graphs(), st.integers(0, 1000))
def test_levels_gives_every_column_its_own_place(ancestry: Ancestry, seed: int) -> None:
    torch.manual_seed(seed)
    rnn = LevelsRnn(4, ancestry.levels, hidden=5, node_dropout=0.5).eval()
    features = torch.randn(3, 4)
    logits = rnn(features)
    state, told = torch.tanh(rnn.start(features)), torch.zeros(3, 5)
    for depth, level in enumerate(ancestry.levels):
        state = rnn.cell(torch.cat([features, told], 1), state)
        here = rnn.answer[depth](state)
        torch.testing.assert_close(logits[:, list(level)], here)
        told = rnn.told[depth](torch.sigmoid(here)) if depth + 1 < len(ancestry.levels) else told


def test_levels_feeds_back_what_it_predicted_and_drops_some_of_it_in_training() -> None:
    torch.manual_seed(0)
    rnn = LevelsRnn(3, [(0, 1), (2,)], hidden=4, node_dropout=0.5)
    features = torch.randn(64, 3)
    whole = rnn.eval()(features)
    dropped = rnn.train()(features)
    assert torch.equal(whole[:, :2], dropped[:, :2])
    assert not torch.equal(whole[:, 2], dropped[:, 2])
    with torch.no_grad():
        rnn.answer[0].bias += 5
    assert not torch.allclose(rnn.eval()(features)[:, 2], whole[:, 2])


@CASES
@given(graphs())
def test_levels_of_a_graph_put_no_node_before_a_parent(ancestry: Ancestry) -> None:
    level_of = {column: depth for depth, level in enumerate(ancestry.levels) for column in level}
    assert sorted(level_of) == list(range(len(ancestry)))
    for node, above in enumerate(ancestry.parents):
        assert level_of[node] == 1 + max((level_of[parent] for parent in above), default=-1)
