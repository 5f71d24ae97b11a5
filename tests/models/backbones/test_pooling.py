"""Poolings and the networks they stand in: formulas, any size, and clear words where something does not fit."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from hpa_hier.errors import UserError
from hpa_hier.models.backbones.create import build_backbone
from hpa_hier.models.backbones.pooling import POOLINGS, Attention, GeneralizedMean, SpatialPyramid
from hpa_hier.settings.training import TrainingSettings

RGBY = ("red", "green", "blue", "yellow")


def build(name: str, channels: tuple[str, ...], size: int, **settings: Any) -> tuple[Any, int]:
    built = build_backbone(TrainingSettings(backbone=name, **settings), channels, size)
    return built.module, built.features


def maps(seed: int = 0, height: int = 7, width: int = 9) -> torch.Tensor:
    return torch.rand(3, 5, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", POOLINGS)
@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (7, 9), (4, 4)])
def test_maps_of_any_size_become_as_many_features_as_are_promised(name: str, shape: tuple[int, int]) -> None:
    pooling = POOLINGS[name](5)
    assert pooling(maps(0, *shape)).shape == (3, pooling.num_features)


def test_average_and_maximum_are_numpys() -> None:
    values = maps().numpy()
    pooled = POOLINGS["avg_max"](5)(maps()).numpy()
    np.testing.assert_allclose(pooled, np.hstack([values.mean(axis=(2, 3)), values.max(axis=(2, 3))]), rtol=1e-6)


def test_the_generalised_mean_runs_from_the_mean_to_the_maximum() -> None:
    exponents = [1.0, 3.0, 20.0, 60.0]
    pooled = [GeneralizedMean(5, exponent)(maps()).detach() for exponent in exponents]
    torch.testing.assert_close(pooled[0], maps().mean(dim=(2, 3)))
    torch.testing.assert_close(pooled[1], ((maps() ** 3).mean(dim=(2, 3))) ** (1 / 3))
    assert all((low < high).all() for low, high in pairwise(pooled))
    assert (pooled[3] / maps().amax(dim=(2, 3)) > 0.9).all()


def test_the_generalised_mean_learns_its_exponent_in_half_precision_too() -> None:
    pooling = GeneralizedMean(5)
    with torch.autocast("cpu", torch.bfloat16):
        pooled = pooling(200 * maps().bfloat16())
    pooled.sum().backward()
    assert pooled.dtype == torch.float32
    assert pooling.exponent.grad is not None
    assert torch.isfinite(pooling.exponent.grad).all()


def test_attention_weighs_places_alike_at_first_glance_and_one_alone_when_it_says_more() -> None:
    pooling = Attention(5)
    torch.nn.init.zeros_(pooling.weigh.weight)
    torch.testing.assert_close(pooling(maps()), maps().mean(dim=(2, 3)))
    spot = torch.zeros(1, 5, 6, 6)
    spot[:, 0, 2, 3] = 50.0
    torch.nn.init.ones_(pooling.look.weight)
    torch.nn.init.zeros_(pooling.gate.weight)
    torch.nn.init.constant_(pooling.weigh.weight, 10.0)
    torch.testing.assert_close(pooling(spot)[0], spot[0, :, 2, 3], rtol=1e-3, atol=1e-3)


def test_the_pyramid_holds_the_maxima_of_1_4_and_16_bins() -> None:
    values = maps(1, 8, 8)
    pooled = SpatialPyramid(5)(values).reshape(3, -1)
    quarters = values.reshape(3, 5, 2, 4, 2, 4).amax(dim=(3, 5)).flatten(1)
    sixteenths = values.reshape(3, 5, 4, 2, 4, 2).amax(dim=(3, 5)).flatten(1)
    torch.testing.assert_close(pooled, torch.cat([values.amax(dim=(2, 3)), quarters, sixteenths], dim=1))


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("name", ["small_cnn", "two_conv_cnn", "four_conv_cnn", "resnet10t", "convnext_atto"])
def test_with_a_pooling_of_ours_a_network_takes_images_of_several_sizes(name: str, pooling: str) -> None:
    backbone, features = build(name, RGBY, 64, width=8, pooling=pooling, sizes=(64, 96))
    for size in (64, 96):
        assert backbone.eval()(torch.zeros(2, 4, size, size)).shape == (2, features)


def test_a_model_with_channels_last_maps_is_pooled_over_places_and_not_over_channels() -> None:
    backbone, features = build("swin_tiny_patch4_window7_224", RGBY, 64, pooling="max")
    image = torch.rand(1, 4, 64, 64)
    expected = backbone.trunk.forward_features(image)  # type: ignore[operator,union-attr]
    assert expected.shape[-1] == features == 768
    torch.testing.assert_close(backbone.eval()(image), backbone.trunk.forward_features(image).amax(dim=(1, 2)))  # type: ignore[operator,union-attr]


def test_a_model_that_ends_in_tokens_is_refused_another_pooling() -> None:
    with pytest.raises(UserError, match=r"training\.pooling: 'gem' pools maps, and vit_tiny_patch16_224 ends in token"):
        build("vit_tiny_patch16_224", RGBY, 64, pooling="gem")


@pytest.mark.parametrize(
    ("name", "size"), [("vit_tiny_patch16_224", 96), ("two_conv_cnn", 96), ("small_cnn", 24), ("four_conv_cnn", 16)]
)
def test_sizes_that_a_backbone_cannot_take_are_refused_before_the_first_step(name: str, size: int) -> None:
    with pytest.raises(UserError, match=f"{size}×{size}"):
        build(name, RGBY, 64, width=8, sizes=(64, size))


def test_looking_at_sizes_leaves_weights_and_statistics_alone() -> None:
    weights = []
    for sizes in ((), (64, 80)):
        torch.manual_seed(0)
        backbone, _ = build("four_conv_cnn", RGBY, 64, pooling="spp", sizes=sizes)
        assert backbone.training
        weights.append(backbone.state_dict())
    assert all(torch.equal(value, weights[0][name]) for name, value in weights[1].items())


def test_the_dense_top_of_a_model_is_left_out_where_its_maps_are_pooled() -> None:
    backbone, features = build("vgg11", RGBY, 64, pooling="spp")
    assert features == 21 * 512
    assert sum(weights.numel() for weights in backbone.parameters()) < 10e6  # 129 million with its top
    backbone(torch.rand(2, 4, 64, 64)).sum().backward()
    assert all(weights.grad is not None for weights in backbone.parameters())


def test_a_pyramid_takes_the_place_of_the_last_pooling_and_other_poolings_stand_behind_it() -> None:
    sides = []
    for pooling in ("spp", "average"):
        backbone, _ = build("vgg11", RGBY, 64, pooling=pooling)
        backbone.pooling.register_forward_pre_hook(lambda _, maps: sides.append(maps[0].shape[-1]))  # type: ignore[operator,union-attr]
        backbone.eval()(torch.zeros(1, 4, 64, 64))
    assert sides == [4, 2]


@pytest.mark.parametrize("size", [64, 128])
def test_vgg_with_its_own_top_takes_four_channels_at_the_reports_sizes(size: int) -> None:
    backbone, features = build("vgg11", RGBY, size)
    assert backbone.eval()(torch.zeros(1, 4, size, size)).shape == (1, features)


def test_report_two_s_network_leaves_6_by_6_places_of_128_pixels_as_its_table_says() -> None:
    backbone, features = build("four_conv_cnn", RGBY, 128)
    assert backbone.dense[0].in_features == 128 * 6 * 6  # type: ignore[index,union-attr]
    assert features == 128
    widths = [m.out_channels for m in backbone.modules() if isinstance(m, torch.nn.Conv2d)]
    assert widths == [16, 32, 64, 128]


def test_report_one_s_network_has_two_convolutions_two_poolings_and_a_dense_layer_below_the_head() -> None:
    backbone, _ = build("two_conv_cnn", ("red", "green", "blue"), 64)
    kinds = [type(module).__name__ for module in backbone.modules()]
    assert (kinds.count("Conv2d"), kinds.count("MaxPool2d"), kinds.count("Linear")) == (2, 2, 1)


def test_a_flattening_network_refuses_another_size_and_says_what_would_take_it() -> None:
    backbone, _ = build("two_conv_cnn", RGBY, 64)
    with pytest.raises(
        UserError, match=r"two_conv_cnn: built for 64×64 pixels, got 80×80; with training\.pooling: spp"
    ):
        backbone(torch.zeros(1, 4, 80, 80))
    with pytest.raises(UserError, match="four_conv_cnn: images of 40×40 pixels are too small for it"):
        build("four_conv_cnn", RGBY, 40)


def test_weights_of_a_pooled_member_start_the_plain_model(tmp_path: Path) -> None:
    source, _ = build("resnet10t", RGBY, 64, pooling="gem")
    save_file({f"backbone.{name}": value for name, value in source.state_dict().items()}, tmp_path / "w.safetensors")
    filled, _ = build("resnet10t", RGBY, 64, weights=str(tmp_path / "w.safetensors"))
    weights = source.state_dict()
    assert all(torch.equal(weights[f"trunk.{name}"], value) for name, value in filled.state_dict().items())
