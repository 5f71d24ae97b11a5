"""Features of members: what their last layer sees, of length 1, the same in any batch."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from hpa_hier.members.estimators.fitted import Fitted
from hpa_hier.members.estimators.member import EstimatorMember, Trained
from hpa_hier.members.features import describe_samples, find_member
from hpa_hier.members.score import Member, prepare_for_scoring
from hpa_hier.members.tta import Tta, TtaMember
from hpa_hier.models.heads.head import Flat
from hpa_hier.models.network import Averaged, Network, Normalise, Standardise
from hpa_hier.runs.manifest import Manifest

MANIFEST = Manifest.model_construct(name="drawn", nodes=("A", "B"), channels=("x", "y", "z"))
CPU = torch.device("cpu")


def network(seed: int) -> Network:
    torch.manual_seed(seed)
    backbone = nn.Sequential(nn.Conv2d(2, 5, 3), nn.AdaptiveMaxPool2d(1), nn.Flatten())
    return Network(backbone, Flat(5, np.full(2, 0.5), 0.0), Normalise(np.full(2, 9.0), np.full(2, 3.0)))


def test_features_are_what_the_last_layer_sees_and_their_product_is_the_cosine() -> None:
    one = prepare_for_scoring(network(0), CPU)
    images = np.random.default_rng(0).integers(0, 256, (40, 2, 8, 8), dtype=np.uint8)
    found = describe_samples(Member(MANIFEST, one, CPU), images)
    with torch.inference_mode():
        seen = one.features(torch.from_numpy(images))
    cosines = nn.functional.cosine_similarity(seen[:, None], seen[None], dim=2)
    np.testing.assert_allclose(found @ found.T, cosines, atol=1e-5)
    np.testing.assert_array_equal(describe_samples(Member(MANIFEST, one, CPU), images[[33]]), found[[33]])
    averaged = prepare_for_scoring(Averaged([one, network(1)]), CPU)
    np.testing.assert_array_equal(describe_samples(Member(MANIFEST, averaged, CPU), images), found)


def test_of_estimators_they_are_the_vectors_as_these_see_them() -> None:
    normalise = Standardise(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 4.0]))
    member = EstimatorMember(MANIFEST, (Trained(normalise, Fitted(np.zeros(2), ())),))
    vectors = np.array([[2.0, 4.0, np.nan], [1.0, 2.0, 3.0]], np.float32)
    np.testing.assert_allclose(describe_samples(member, vectors), [[0.5**0.5, 0.5**0.5, 0], [0, 0, 0]], atol=1e-6)


def test_a_member_is_found_behind_its_augmentation() -> None:
    plain = Member(MANIFEST, network(0), CPU)
    assert find_member(TtaMember(plain, Tta("flips"))) is plain
    assert find_member(plain) is plain
