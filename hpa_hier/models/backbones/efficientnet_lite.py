"""EfficientNet-Lite0 for scoring, as timm builds it and with its names, without the two seconds that timm imports."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

EFFICIENTNET_LITE = "tf_efficientnet_lite0"  # timm's name of it

# Kernel, stride, width and blocks of each stage, as its source lists them
_STAGES = ((3, 2, 24, 2), (5, 2, 40, 2), (3, 2, 80, 3), (5, 1, 112, 3), (5, 2, 192, 4), (3, 1, 320, 1))
_STEM, _FIRST, _FEATURES = 32, 16, 1280  # widths: of the stem, of the first stage, of what comes out
_EXPANSION = 6
_EPSILON = 1e-3


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite0 without its classifier; its weights are those of timm's model of the same name.

    timm remains what a network to be trained is built with. This one is for a trained network's weights: a command
    that answers is short, and timm imports torchvision, which does not load beside every torch, and torch's compiler.

    Args:
        channels: C of the images.

    Source: Liu, Higher accuracy on vision models with EfficientNet-Lite, TensorFlow blog 2020.

    >>> EfficientNetLite(4).eval()(Tensor(1, 4, 64, 64).zero_()).shape
    torch.Size([1, 1280])
    """

    num_features = _FEATURES

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_stem = _SameConv2d(channels, _STEM, 3, 2)
        self.bn1 = _norm(_STEM)
        stages, before = [nn.Sequential(_Separable(_STEM, _FIRST))], _FIRST
        for kernel, stride, width, count in _STAGES:
            others = (_Inverted(width, width, kernel, 1) for _ in range(count - 1))
            stages.append(nn.Sequential(_Inverted(before, width, kernel, stride), *others))
            before = width
        self.blocks = nn.Sequential(*stages)
        self.conv_head = nn.Conv2d(before, _FEATURES, 1, bias=False)
        self.bn2 = _norm(_FEATURES)

    def forward(self, images: Tensor) -> Tensor:
        """Turn (B, C, H, W) normalised images into (B, 1280)."""
        maps = self.blocks(_activate(self.bn1, self.conv_stem(images)))
        maps = _activate(self.bn2, self.conv_head(maps))
        return functional.adaptive_avg_pool2d(maps, 1).flatten(1)


class _Separable(nn.Module):
    """A convolution of each channel, then one of all channels at each place."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv_dw = nn.Conv2d(before, before, 3, padding=1, groups=before, bias=False)
        self.bn1 = _norm(before)
        self.conv_pw = nn.Conv2d(before, after, 1, bias=False)
        self.bn2 = _norm(after)

    def forward(self, maps: Tensor) -> Tensor:
        """Turn (B, before, H, W) into (B, after, H, W)."""
        found: Tensor = self.bn2(self.conv_pw(_activate(self.bn1, self.conv_dw(maps))))
        return found


class _Inverted(nn.Module):
    """Widen, convolve each channel, narrow; added to what came in where the shape is the same."""

    def __init__(self, before: int, after: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = _EXPANSION * before
        self.adds = stride == 1 and before == after
        self.conv_pw = nn.Conv2d(before, wide, 1, bias=False)
        self.bn1 = _norm(wide)
        self.conv_dw = _SameConv2d(wide, wide, kernel, stride, groups=wide)
        self.bn2 = _norm(wide)
        self.conv_pwl = nn.Conv2d(wide, after, 1, bias=False)
        self.bn3 = _norm(after)

    def forward(self, maps: Tensor) -> Tensor:
        """Turn (B, before, H, W) into (B, after, H, W), or a stride's part of these sides."""
        wide = _activate(self.bn1, self.conv_pw(maps))
        wide = _activate(self.bn2, self.conv_dw(wide))
        found: Tensor = self.bn3(self.conv_pwl(wide))
        return found + maps if self.adds else found


class _SameConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow's "same": where the sides need an odd number of pixels, one more behind."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, groups: int = 1) -> None:
        super().__init__(
            before, after, kernel, stride, padding=kernel // 2 if stride == 1 else 0, groups=groups, bias=False
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Turn (B, before, H, W) into (B, after, ⌈H / stride⌉, ⌈W / stride⌉)."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride > 1:
            down, across = (max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in maps.shape[-2:])
            maps = functional.pad(maps, (across // 2, across - across // 2, down // 2, down - down // 2))
        return super().forward(maps)


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=_EPSILON)


def _activate(norm: nn.BatchNorm2d, maps: Tensor) -> Tensor:
    return functional.relu6(norm(maps), inplace=True)
