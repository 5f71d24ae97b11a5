"""Conversion: ONNX Runtime and OpenVINO give the logits that PyTorch gives, for every head and for gaps in vectors."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from hpa_hier.errors import UserError
from hpa_hier.members.engines.convert import convert_onnx, read_openvino
from hpa_hier.members.engines.sessions import LOGITS, SAMPLES, openvino_core
from hpa_hier.members.networks import add_head
from hpa_hier.models.backbones.create import build_backbone
from hpa_hier.models.heads.ancestry import Ancestry
from hpa_hier.models.heads.arcface import NeighbourVote
from hpa_hier.models.heads.build import HEADS, HeadData, build_head
from hpa_hier.models.heads.head import Flat, Head
from hpa_hier.models.network import Averaged, Normalise
from hpa_hier.models.normal_scores import WIDTHS, RankTable, normalise_vectors
from hpa_hier.settings.training import TrainingSettings

CHANNELS, SIZE, F = ("red", "green", "blue", "yellow"), 32, 7
TREE = Ancestry(((), (), (0,), (0, 1), (2, 3), (1,)))
DATA = HeadData(TREE, np.full(6, 0.3), antibodies=5, samples=40)


def _network(settings: TrainingSettings) -> Head:
    torch.manual_seed(0)
    backbone = build_backbone(settings, CHANNELS, SIZE, start=False)
    return add_head(settings, backbone, DATA, Normalise(np.full(4, 30.0), np.full(4, 50.0))).eval()


def _vector_network(rule: str) -> Head:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    settings = TrainingSettings(backbone="mlp", vectors=rule)
    backbone = build_backbone(settings, tuple("abcdefg"), 1, start=False)
    ranks = RankTable(np.sort(rng.normal(size=(F, 30))), np.sort(rng.normal(size=(F, 30))))
    bounds = np.full(F, -1.5), np.full(F, 1.5)
    return add_head(settings, backbone, DATA, normalise_vectors(rule, np.zeros(F), np.ones(F), ranks, *bounds)).eval()


def _check(network: Head, samples: np.ndarray) -> None:
    """Check that both runtimes give what the network gives, for more samples than it was traced with and for one."""
    onnx = convert_onnx(network, samples.shape[1:])
    session = onnxruntime.InferenceSession(onnx)
    model = read_openvino(onnx)
    assert [one.any_name for one in (*model.inputs, *model.outputs)] == [SAMPLES, LOGITS]
    for some in (samples, samples[:1]):
        with torch.inference_mode():
            wanted = network(torch.from_numpy(some)).numpy()
        (found,) = session.run([LOGITS], {SAMPLES: some})
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, wanted, atol=1e-5)
        compiled = openvino_core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        np.testing.assert_allclose(compiled(some)[0], wanted, atol=1e-5)


class _Together(Head):
    """The logits of several heads of the same features, or of several networks of the same vectors, side by side."""

    def __init__(self, heads: Iterable[Head]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(heads)

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        return torch.cat([head(features) for head in self.heads], dim=1)


def _fill_vote(head: nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    for module in head.modules():
        if isinstance(module, NeighbourVote):
            bank = nn.functional.normalize(torch.randn(module.bank.shape, generator=generator), dim=1)
            nodes = [torch.rand(module.known.shape, generator=generator) > share for share in (0.5, 0.1)]
            module.remember(bank, *nodes)


def test_every_head_is_converted_and_lifted_answers_too() -> None:
    torch.manual_seed(0)
    settings = [*(TrainingSettings(head=head) for head in HEADS), TrainingSettings(loss="max_constraint")]
    together = _Together(build_head(one, F, DATA) for one in settings).eval()
    _fill_vote(together)
    _check(together, np.random.default_rng(1).normal(size=(5, F)).astype(np.float32))


def test_vectors_with_gaps_and_with_outliers_are_normalised_within() -> None:
    vectors = np.random.default_rng(1).normal(size=(5, F)).astype(np.float32)
    vectors[0, :2], vectors[1, 0], vectors[2, 0] = np.nan, 1e9, -1e9
    _check(_Together(_vector_network(rule) for rule in WIDTHS), vectors)


def test_images_are_normalised_within_and_folds_averaged() -> None:
    images = np.random.default_rng(1).integers(0, 256, (5, 4, SIZE, SIZE), dtype=np.uint8)
    _check(Averaged([_network(TrainingSettings(width=width)) for width in (4, 8)]), images)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        *({"pooling": pooling} for pooling in ("average", "max", "gem", "attention", "spp")),
        *({"backbone": name} for name in ("tf_efficientnet_lite0", "resnet18", "convnext_atto", "two_conv_cnn")),
        {"backbone": "mobilenetv4_conv_small"},
        {"backbone": "vit_tiny_patch16_224"},
    ],
    ids=str,
)
def test_backbones_and_poolings_are_converted(change: dict[str, object]) -> None:
    network = _network(TrainingSettings.model_validate({"width": 8, **change}))
    _check(network, np.random.default_rng(1).integers(0, 256, (5, 4, SIZE, SIZE), dtype=np.uint8))


def test_a_conversion_repeats_and_tells_nothing_of_this_machine() -> None:
    torch.manual_seed(0)
    network = Flat(F, np.full(2, 0.5), 0.0)
    first, second = convert_onnx(network, (F,)), convert_onnx(network, (F,))
    assert first == second
    assert __file__.encode() not in first
    assert b"site-packages" not in first


def test_a_missing_converter_is_asked_for_by_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UserError, match=r"needs onnxscript; `pip install 'hpa-hier\[openvino\]'` adds it"):
        convert_onnx(_vector_network("standardise"), (F,), "openvino")
