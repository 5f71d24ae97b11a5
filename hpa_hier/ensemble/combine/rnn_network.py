"""The network down the levels, as torch runs and trains it; imported only where the aggregate `rnn` is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hpa_hier.data.labels.table import Targets
from hpa_hier.ensemble.combine.aggregate import Levels, Tensors
from hpa_hier.metrics.arrays import Floats
from hpa_hier.models.heads.levels import LevelsRnn

_HIDDEN = 32  # width of the recurrent state
_NODE_DROPOUT = 0.2  # share of the fed-back probabilities left out in training
_SCORE_DROPOUT = 0.2  # share of the members' scores left out in training
_STEPS = 200  # of training
_AT_ONCE = 128  # samples a step
_LEARNING_RATE = 3e-3  # at the start; it falls to 0 along a half cosine
_WEIGHT_DECAY = 0.3
_PASS = 64  # samples a pass: always as many, filled up, for kernels are chosen by shape, and then a row rounds alike
_SEED = 0


class CorrectingRnn(LevelsRnn):
    """A GRU down the levels whose answers are added to logits that there are already.

    What is fed back from level to level is the probability of the sum, as it is then used.
    """

    def forward(self, features: Tensor, total: Tensor | None = None) -> Tensor:
        """Turn (B, F) features and (B, N) logits into (B, N) to be added to these."""
        assert total is not None
        state = torch.tanh(self.start(features))
        told = torch.zeros_like(state)  # nothing is above the first level
        answers = []
        for depth, answer in enumerate(self.answer):
            state = self.cell(torch.cat([features, told], dim=1), state)
            answers.append(answer(state))
            if depth < len(self.told):
                logits = answers[-1] + total[:, list(self.levels[depth])]
                told = self.told[depth](self.dropout(torch.sigmoid(logits)))
        return torch.cat(answers, dim=1)[:, self.back]


def correct(levels: Levels, parameters: Tensors, features: NDArray[np.float32], total: Floats) -> Floats:
    """Return what a trained network adds, (B, N); a row is the same to the last bit in any batch.

    Args:
        levels: columns of the nodes by depth, top first.
        parameters: of the network, by name.
        features: (B, F) from `rnn.features`.
        total: (B, N) the members' sum.
    """
    network = CorrectingRnn(features.shape[1], levels, _HIDDEN, _NODE_DROPOUT)
    network.load_state_dict({name: torch.from_numpy(values.copy()) for name, values in parameters.items()})
    network.eval()
    added = np.empty_like(total)
    with torch.inference_mode(), _one_thread():
        for first in range(0, len(total), _PASS):
            rows = slice(first, min(first + _PASS, len(total)))
            answers = network(_fill_up(features[rows]), _fill_up(total[rows]))
            added[rows] = answers.numpy()[: rows.stop - first]
    return added


def train(levels: Levels, features: NDArray[np.float32], total: Floats, targets: Targets) -> Tensors:
    """Train a network on held-out scores and return its parameters.

    Levels, features and total are those of `correct`; of targets (B, N), what is not known does not count.
    """
    with torch.random.fork_rng(devices=[]), _one_thread():
        torch.manual_seed(_SEED)
        network = CorrectingRnn(features.shape[1], levels, _HIDDEN, _NODE_DROPOUT)
        for answer in network.answer:  # it begins by adding nothing
            nn.init.zeros_(answer.weight)  # type: ignore[arg-type]
            nn.init.zeros_(answer.bias)  # type: ignore[arg-type]
        shown, sums = torch.from_numpy(features), torch.from_numpy(total.astype(np.float32))
        present = torch.from_numpy(targets.present.astype(np.float32))
        counted = torch.from_numpy(targets.known.astype(np.float32))
        optimiser = torch.optim.AdamW(network.parameters(), _LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, _STEPS)
        for _ in range(_STEPS):
            rows = torch.randint(len(shown), (min(_AT_ONCE, len(shown)),))
            kept = nn.functional.dropout(shown[rows], _SCORE_DROPOUT)
            logits = sums[rows] + network(kept, sums[rows])
            each = nn.functional.binary_cross_entropy_with_logits(logits, present[rows], reduction="none")
            loss = (each * counted[rows]).sum() / counted[rows].sum().clamp(min=1)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    return {name: values.detach().numpy().astype(np.float32) for name, values in network.state_dict().items()}


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep torch to one thread: so small a network gains nothing by more, and its sums then never depend on them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _fill_up(rows: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.pad(rows.astype(np.float32), ((0, _PASS - len(rows)), (0, 0))))
