"""Features: what the head of a trained member sees of samples, to tell which samples are alike for it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from hpa_hier.members.engines.member import RuntimeMember
from hpa_hier.members.estimators.member import EstimatorMember, see_vectors
from hpa_hier.members.score import Member, score
from hpa_hier.members.scorer import Scorer
from hpa_hier.members.tta import TtaMember
from hpa_hier.models.heads.head import Head
from hpa_hier.models.network import Averaged


def find_member(scorer: Scorer) -> Member | EstimatorMember | None:
    """Return the member that a scorer scores with, in torch, without augmentation; None: it is none of these."""
    plain = scorer.member if isinstance(scorer, TtaMember) else scorer
    plain = plain.in_torch if isinstance(plain, RuntimeMember) else plain
    return plain if isinstance(plain, (Member, EstimatorMember)) else None


def describe_samples(member: Member | EstimatorMember, samples: np.ndarray) -> np.ndarray:
    """Describe samples by the features that a member's last layer sees.

    Of networks that are averaged they are those of the first; of estimators, the vectors as these see them.

    Args:
        member: loaded.
        samples: (B, C, S, S) uint8 images, or (B, F) float32 vectors.

    Returns:
        (B, G) float32 of length 1, so that a product of two is their cosine; of length 0 where all features are 0.
    """
    found = _features(member)(samples)
    return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12), np.float32)


def _features(member: Member | EstimatorMember) -> Callable[[np.ndarray], np.ndarray]:
    if isinstance(member, EstimatorMember):
        return lambda vectors: see_vectors(member.trained[0].normalise, vectors)
    network = member.network.networks[0] if isinstance(member.network, Averaged) else member.network
    assert isinstance(network, Head)

    def see(samples: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            one = network.final_features(torch.from_numpy(np.ascontiguousarray(samples[:1])).to(member.device))
        return score(network.final_features, samples, one.shape[1], member.device)

    return see
