"""Head: what a network, and a training, ask of whatever turns features into logits of nodes."""

from __future__ import annotations

from torch import Tensor, nn


class Head(nn.Module):
    """Features in, logits of n nodes out; a head of its own kind overrides what differs.

    Called, it gives the answers: `answers(logits(features))`.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Turn (B, F) features into the answers, (B, n) logits."""
        return self.answers(self.logits(features))

    def logits(self, features: Tensor) -> Tensor:
        """Turn (B, F) features into (B, n) logits as losses take them."""
        raise NotImplementedError

    def answers(self, logits: Tensor) -> Tensor:
        """Turn (B, n) `logits` into those that are answered, such as lifted ones."""
        return logits

    def training_logits(self, features: Tensor, *, first_stage: bool = False) -> Tensor:
        """Turn (B, F) features into the logits that a training step's loss takes.

        Args:
            features: of the batch.
            first_stage: whether training is in the first of two stages; a head of one stage need not look at it.
        """
        return self.logits(features)

    def training_targets(self, present: Tensor, known: Tensor, *, first_stage: bool = False) -> tuple[Tensor, Tensor]:
        """Turn (B, n) closed targets, and what of them is known, into those of `training_logits`."""
        return present, known

    def final_features(self, features: Tensor) -> Tensor:
        """Return the features that the last head sees; these, where no network is in between."""
        return features
