"""The table of heads: each keeps its promises to networks, and one more row is a head like any other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hpa_hier.models.backbones.small_cnn import SmallCnn
from hpa_hier.models.heads.ancestry import Ancestry
from hpa_hier.models.heads.build import HEADS, HeadData, build_head
from hpa_hier.models.heads.head import Head
from hpa_hier.models.network import Network, Normalise
from hpa_hier.settings.training import TrainingSettings

DATA = HeadData(Ancestry(((), (0,), (0,))), np.array([0.5, 0.3, 0.1]), antibodies=4, samples=5)


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("loss", ["bce", "max_constraint"])
def test_answers_are_those_of_the_logits_and_training_logits_fit_their_targets(name: str, loss: str) -> None:
    settings = TrainingSettings.model_construct(head=name, loss=loss)
    head, features = build_head(settings, 6, DATA).eval(), torch.randn(7, 6)
    logits = head.logits(features)
    assert torch.equal(head(features), head.answers(logits))
    present = (torch.rand(7, 3) < 0.5).float()
    for first_stage in (True, False):
        targets, known = head.training_targets(present, torch.ones(7, 3), first_stage=first_stage)
        assert targets.shape == known.shape == (7, 3)
        columns = 4 if name == "arcface" and loss == "bce" else 3
        assert head.training_logits(features, first_stage=first_stage).shape == (7, columns)
    if loss == "max_constraint":
        assert (head(features)[:, 0] >= head(features)[:, 1:].amax(dim=1)).all()


def test_a_new_head_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    class Constant(Head):
        def __init__(self, guess: np.ndarray) -> None:
            super().__init__()
            self.guess = nn.Parameter(torch.logit(torch.from_numpy(guess).float()))

        def logits(self, features: Tensor) -> Tensor:
            return self.guess.expand(len(features), -1)

    monkeypatch.setitem(HEADS, "constant", lambda settings, features, data: Constant(data.first_guess))
    head = build_head(TrainingSettings.model_construct(head="constant", loss="bce"), 128, DATA)
    network = Network(SmallCnn(2, 8), head, Normalise(np.zeros(2), np.ones(2)))
    probs = torch.sigmoid(network(torch.zeros(2, 2, 32, 32, dtype=torch.uint8)))
    np.testing.assert_allclose(probs.detach().numpy(), np.tile(DATA.first_guess, (2, 1)), rtol=1e-5)
