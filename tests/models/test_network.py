"""Backbones, heads and networks: sizes, channels, weights from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from hpa_hier.errors import UserError
from hpa_hier.models.backbones.create import build_backbone
from hpa_hier.models.backbones.pretrained import stem_filters
from hpa_hier.models.backbones.small_cnn import SmallCnn
from hpa_hier.models.heads.head import Flat
from hpa_hier.models.network import Averaged, Network, Normalise, Standardise
from hpa_hier.models.precision import precision_for
from hpa_hier.settings.training import TrainingSettings

RGBY = ("red", "green", "blue", "yellow")


def build(name: str, channels: tuple[str, ...], size: int, **settings: Any) -> tuple[Any, int]:
    built = build_backbone(TrainingSettings(backbone=name, **settings), channels, size)
    return built.module, built.features


def network(channels: int = 4, nodes: int = 3) -> Network:
    torch.manual_seed(0)
    backbone = SmallCnn(channels, 8)
    head = Flat(backbone.num_features, np.full(nodes, 0.3), dropout=0.0)
    return Network(backbone, head, Normalise(np.full(channels, 40.0), np.full(channels, 20.0))).eval()


@pytest.mark.parametrize("size", [32, 33, 47, 64, 128])
@pytest.mark.parametrize("channels", [1, 3, 4, 7])
def test_small_cnn_takes_any_size_from_32_and_any_number_of_channels(size: int, channels: int) -> None:
    images = torch.zeros(2, channels, size, size, dtype=torch.uint8)
    assert network(channels)(images).shape == (2, 3)


def test_small_cnn_refuses_images_that_it_would_pool_away() -> None:
    with pytest.raises(UserError, match="small_cnn: images of 31×64 pixels; it needs at least 32"):
        network()(torch.zeros(1, 4, 31, 64, dtype=torch.uint8))


def test_a_flat_head_starts_at_the_training_prevalence() -> None:
    head = Flat(5, np.array([0.5, 0.1, 0.0]), dropout=0.0)
    probs = torch.sigmoid(head(torch.zeros(1, 5)))[0].detach().numpy()
    np.testing.assert_allclose(probs, [0.5, 0.1, 1e-4], rtol=1e-5)


def test_the_normalisation_is_that_of_the_formula() -> None:
    images = torch.arange(4 * 32 * 32, dtype=torch.uint8).reshape(1, 4, 32, 32)
    gain = torch.tensor([[0.5, 1.0, 1.5, 2.0]])
    seen = []
    built = network()
    built.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    built.training_logits(images, gain)
    expected = (images.float() * gain[:, :, None, None] - 40) / 20
    torch.testing.assert_close(seen[0], expected)


def test_a_channel_that_is_the_same_everywhere_does_not_make_nan() -> None:
    built = Network(SmallCnn(1, 8), Flat(128, np.array([0.5]), 0.0), Normalise(np.zeros(1), np.zeros(1)))
    assert torch.isfinite(built(torch.zeros(2, 1, 32, 32, dtype=torch.uint8))).all()


@pytest.mark.parametrize("name", ["resnet10t", "mobilenetv4_conv_small", "vit_tiny_patch16_224"])
@pytest.mark.parametrize("channels", [RGBY, ("green",)])
def test_timm_models_take_any_number_of_channels_and_say_their_features(name: str, channels: tuple[str, ...]) -> None:
    backbone, features = build(name, channels, 64)
    assert backbone.eval()(torch.zeros(1, len(channels), 64, 64)).shape == (1, features)


def test_an_unknown_backbone_is_answered_with_the_nearest_names() -> None:
    with pytest.raises(UserError, match=r"training\.backbone: no model 'resnet1800'; did you mean 'resnet1"):
        build("resnet1800", RGBY, 64)


def test_stem_filters_follow_the_colours_and_not_the_order() -> None:
    filters = torch.randn(6, 3, 3, 3)
    turned = stem_filters(filters, ("yellow", "blue", "green", "red"))
    for place, expected in enumerate([filters.mean(1), filters[:, 2], filters[:, 1], filters[:, 0]]):
        torch.testing.assert_close(turned[:, place], expected * 3 / 4)


def test_a_grey_image_gives_four_channels_the_response_that_rgb_had() -> None:
    filters = torch.randn(6, 3, 3, 3)
    torch.testing.assert_close(stem_filters(filters, RGBY).sum(1), filters.sum(1))


def test_weights_of_a_three_channel_model_fill_a_four_channel_one(tmp_path: Path) -> None:
    source, _ = build("resnet10t", ("red", "green", "blue"), 64)
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    filled, _ = build("resnet10t", RGBY, 64, weights=str(tmp_path / "w.safetensors"))
    source.eval()
    filled.eval()
    image = torch.rand(1, 1, 64, 64)
    torch.testing.assert_close(filled(image.repeat(1, 4, 1, 1)), source(image.repeat(1, 3, 1, 1)))


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    save_file({"conv.weight": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(
        UserError, match=r"--weights .*w\.safetensors: no weights 'stem\..*'; the file holds another model"
    ):
        build("small_cnn", RGBY, 64, weights=str(tmp_path / "w.safetensors"))


def test_weights_that_could_hold_programs_are_not_opened(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"only \.safetensors files are read"):
        build("small_cnn", RGBY, 64, weights=str(tmp_path / "w.pt"))


def test_weights_that_are_damaged_are_refused(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0nonsense")
    with pytest.raises(UserError, match=r"--weights .*w\.safetensors: "):
        build("small_cnn", RGBY, 64, weights=str(tmp_path / "w.safetensors"))


def test_pretrained_weights_without_a_network_are_answered_with_the_flag_for_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import timm

    def unreachable(*_: object, **settings: object) -> object:
        if settings.get("pretrained"):
            raise ConnectionError("no route to host")
        return create(*_, **settings)

    create = timm.create_model
    monkeypatch.setattr("hpa_hier.models.backbones.pretrained._go_offline_where_the_hub_is_out_of_reach", lambda: None)
    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(
        UserError, match=r"weights of resnet18 could not be fetched \(ConnectionError\).*--weights FILE"
    ):
        build("resnet18", RGBY, 64, pretrained=True)


def test_small_cnn_has_nothing_on_the_hub() -> None:
    with pytest.raises(UserError, match="small_cnn has no pretrained weights on the hub; name --weights FILE"):
        build("small_cnn", RGBY, 64, pretrained=True)


@pytest.mark.parametrize(
    ("backbone", "has_bf16", "expected"),
    [
        ("small_cnn", True, "bf16-mixed"),
        ("resnet18", True, "bf16-mixed"),
        ("lcnet_050", True, "32-true"),
        ("small_cnn", False, "32-true"),
    ],
)
def test_processors_get_bf16_only_where_they_have_it_and_it_pays(
    backbone: str, has_bf16: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpa_hier.models.precision.processor_has_bf16", lambda: has_bf16)
    assert precision_for(torch.device("cpu"), backbone) == expected


def test_weights_have_the_names_that_members_were_kept_with() -> None:
    built = network(2)
    weights = built.state_dict()
    assert {"mean", "std", "head.linear.weight", "backbone.stem.0.weight"} <= weights.keys()
    assert not any(name.startswith("normalise") for name in weights)
    assert weights["mean"].shape == (1, 2, 1, 1)
    other = Network(SmallCnn(2, 8), Flat(128, np.full(3, 0.1), 0.0), Normalise(np.zeros(2), np.ones(2)))
    above = Network(nn.Identity(), other, Standardise(np.zeros(2), np.ones(2)))
    folds = Averaged([above, above])
    assert {"networks.1.mean", "networks.1.head.mean", "networks.1.head.std"} <= folds.state_dict().keys()
    other.load_state_dict(weights)
    assert all(torch.equal(value, weights[name]) for name, value in other.state_dict().items())
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "normalise.mean"'):
        other.load_state_dict({name: value for name, value in weights.items() if name != "mean"})
