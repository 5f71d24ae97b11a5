"""EfficientNet-Lite0 for scoring is timm's, to the last bit."""

from __future__ import annotations

import pytest
import timm
import torch

from hpa_hier.models.backbones.create import build_backbone
from hpa_hier.models.backbones.efficientnet_lite import EFFICIENTNET_LITE, EfficientNetLite
from hpa_hier.settings.training import TrainingSettings

CHANNELS = ("red", "green", "blue", "yellow")


@pytest.fixture(scope="module")
def theirs() -> torch.nn.Module:
    torch.manual_seed(0)
    model = timm.create_model(EFFICIENTNET_LITE, in_chans=len(CHANNELS), num_classes=0)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # as after some training, not the identity
            torch.nn.init.normal_(module.running_mean, 0, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            torch.nn.init.normal_(module.bias, 0, 0.2)
    return model


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("size", [64, 75, 96])
def test_it_answers_as_timms_with_the_same_weights(theirs: torch.nn.Module, size: int, training: bool) -> None:
    ours = EfficientNetLite(len(CHANNELS))
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(3, len(CHANNELS), size, size).to(memory_format=torch.channels_last)
    with torch.no_grad():
        found, wanted = (network.train(training)(images) for network in (ours, theirs))
    assert torch.equal(found, wanted)
    assert wanted.std() > 1e-3
    for name, tensor in theirs.state_dict().items():  # running statistics too
        assert torch.equal(ours.state_dict()[name], tensor), name


def test_it_is_built_for_scoring_and_timms_for_training() -> None:
    settings = TrainingSettings(backbone=EFFICIENTNET_LITE)
    scoring, training = (build_backbone(settings, CHANNELS, 64, start=start) for start in (False, True))
    assert isinstance(scoring.module, EfficientNetLite)
    assert type(training.module).__module__.startswith("timm.")
    assert scoring.features == training.features == 1280
    pooled = build_backbone(settings.model_copy(update={"pooling": "max"}), CHANNELS, 64, start=False)
    assert type(pooled.module.trunk).__module__.startswith("timm.")
