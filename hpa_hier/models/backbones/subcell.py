"""SubCell, a vision transformer that learned from the Human Protein Atlas; its weights are a download of the user's.

Source: Gupta et al., SubCell: proteome-aware vision foundation models for microscopy, bioRxiv 2024.12.06.627299; names
and numbers as in the published code, github.com/czi-ai/sub-cell-embed and github.com/CellProfiling/SubCellPortable.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from hpa_hier.errors import UserError
from hpa_hier.models.backbones.pretrained import fill, fill_from_file

SUBCELL = "subcell"
HOME = "https://czi-subcell-public.s3.amazonaws.com/models/"
NATIVE_SIZE, PATCH = 448, 16  # pixels
_MODELS = {  # channels, in the order that a published model takes them → how its file's name begins
    ("red", "yellow", "blue", "green"): "all_channels",
    ("red", "blue", "green"): "MT-DNA-Protein",
    ("yellow", "blue", "green"): "ER-DNA-Protein",
    ("blue", "green"): "DNA-Protein",
}
_NAMES = (  # published → here
    (r"encoder\.embeddings\.cls_token", r"vit.cls_token"),
    (r"encoder\.embeddings\.position_embeddings", r"vit.pos_embed"),
    (r"encoder\.embeddings\.patch_embeddings\.projection\.(\w+)", r"vit.patch_embed.proj.\1"),
    (r"encoder\.encoder\.layer\.(\d+)\.layernorm_before\.(\w+)", r"vit.blocks.\1.norm1.\2"),
    (r"encoder\.encoder\.layer\.(\d+)\.attention\.attention\.(query|key|value)\.(\w+)", r"vit.blocks.\1.attn.qkv.\3"),
    (r"encoder\.encoder\.layer\.(\d+)\.attention\.output\.dense\.(\w+)", r"vit.blocks.\1.attn.proj.\2"),
    (r"encoder\.encoder\.layer\.(\d+)\.layernorm_after\.(\w+)", r"vit.blocks.\1.norm2.\2"),
    (r"encoder\.encoder\.layer\.(\d+)\.intermediate\.dense\.(\w+)", r"vit.blocks.\1.mlp.fc1.\2"),
    (r"encoder\.encoder\.layer\.(\d+)\.output\.dense\.(\w+)", r"vit.blocks.\1.mlp.fc2.\2"),
    (r"encoder\.layernorm\.(\w+)", r"vit.norm.\1"),
    (r"pool_model\.attention_v\.[01]\.(\w+)", r"pooler.value.\1"),  # 1 where a dropout stands before it
    (r"pool_model\.attention_u\.[01]\.(\w+)", r"pooler.gate.\1"),
    (r"pool_model\.attention\.(\w+)", r"pooler.score.\1"),
)


@dataclass(frozen=True)
class Shape:
    """How large the transformer is."""

    width: int = 768
    depth: int = 12
    heads: int = 12
    gate: int = 512  # width of the pooling's gate
    pooled: int = 2  # means that the pooling takes


PUBLISHED = Shape()


class SubCell(nn.Module):
    """A ViT-B/16 and the gated attention that pools all its tokens into two means.

    It takes intensities as they are, of any range: each image is scaled to 0..1 by its own least and largest value,
    over all channels together, as in its training, so that channels keep their relative brightness.

    Args:
        channels: of the images, by name and in any order.
        size: pixels, side of the images, a multiple of 16; the positions were learnt at 448 and are interpolated.
        shape: of the transformer.

    Raises:
        UserError: there is no model for these channels, or the size is no multiple of 16.
    """

    def __init__(self, channels: Sequence[str], size: int, shape: Shape = PUBLISHED) -> None:
        super().__init__()
        from timm.models.vision_transformer import VisionTransformer

        self.channels = next((order for order in _MODELS if set(order) == set(channels)), None)
        if self.channels is None:
            known = "; ".join(", ".join(order) for order in _MODELS)
            raise UserError(
                f"training.backbone: there is no subcell for the channels {', '.join(channels)}; set data.channels to "
                f"one of: {known}"
            )
        if size % PATCH:
            raise UserError(
                f"training.backbone: subcell takes images whose side is a multiple of {PATCH}, got {size}; pack them "
                f"with data.image_size: {NATIVE_SIZE}"
            )
        self._order = [list(channels).index(name) for name in self.channels]
        self.vit: Any = VisionTransformer(
            img_size=NATIVE_SIZE,
            patch_size=PATCH,
            in_chans=len(channels),
            num_classes=0,
            global_pool="",
            embed_dim=shape.width,
            depth=shape.depth,
            num_heads=shape.heads,
            norm_layer=partial(nn.LayerNorm, eps=1e-12),
            dynamic_img_size=True,
            weight_init="skip",  # they are loaded
        )
        self.pooler = GatedMeans(shape)
        self.num_features = shape.pooled * shape.width

    def forward(self, images: Tensor) -> Tensor:
        """Turn (B, C, H, W) intensities into (B, num_features)."""
        ordered = images[:, self._order]
        low, high = (bound(ordered, dim=(1, 2, 3), keepdim=True) for bound in (torch.amin, torch.amax))
        features: Tensor = self.pooler(self.vit.forward_features((ordered - low) / (high - low + 1e-6)))
        return features


class GatedMeans(nn.Module):
    """Means over tokens, each token weighted by what a gate makes of it; the gate is a GELU, as published."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.value = nn.Linear(shape.width, shape.gate)
        self.gate = nn.Linear(shape.width, shape.gate)
        self.score = nn.Linear(shape.gate, shape.pooled)

    def forward(self, tokens: Tensor) -> Tensor:
        """Turn (B, T, width) tokens, the class token among them, into (B, pooled × width)."""
        scores = self.score(torch.tanh(self.value(tokens)) * functional.gelu(self.gate(tokens)))  # (B, T, pooled)
        return (torch.softmax(scores, dim=1).transpose(1, 2) @ tokens).flatten(1)


def fill_from_download(model: SubCell, path: Path, channels: Sequence[str]) -> None:
    """Load the published weights, or those of a member that was trained with them, into a model.

    Args:
        model: of the same channels.
        path: the published .pth, which is read as tensors only, or a .safetensors file of the same names.
        channels: of the images, by name and in order.

    Raises:
        UserError: the file cannot be read so, or holds another model.
    """
    weights = _read_tensors(path, channels)
    if not any(name.startswith("encoder.embeddings.") for name in weights):
        if path.suffix == ".safetensors":  # a member's own
            return fill_from_file(model, path, channels)
        raise UserError(f"--weights {path}: holds no SubCell encoder; {where_to_get(channels)}")
    own = rename(weights)
    found, wanted = own.get("vit.patch_embed.proj.weight"), model.vit.patch_embed.proj.weight
    if found is not None and found.ndim == 4 and found.shape[1] != wanted.shape[1]:
        raise UserError(
            f"--weights {path}: was trained on {found.shape[1]} channels, and the images have {wanted.shape[1]}; "
            f"{where_to_get(channels)}"
        )
    fill(model, own, channels, f"--weights {path}")


def where_to_get(channels: Sequence[str]) -> str:
    """Say which published files hold the weights for images of these channels."""
    kind = next((name for order, name in _MODELS.items() if set(order) == set(channels)), "all_channels")
    return (
        f"fetch {HOME}{kind}_ViT-ProtS-Pool.pth or {kind}_MAE-CellS-ProtS-Pool.pth from there, and give it with "
        "--weights FILE"
    )


def rename(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give published weights the names that they have here; queries, keys and values become one matrix.

    What has no name here, as the decoder that the pretraining had, is left out.

    >>> layer = "encoder.encoder.layer.3.attention.attention"
    >>> published = {f"{layer}.{part}.bias": torch.full((1,), at) for at, part in enumerate(("query", "key", "value"))}
    >>> rename({**published, "decoder.bias": torch.ones(1)})
    {'vit.blocks.3.attn.qkv.bias': tensor([0, 1, 2])}
    """
    named: dict[str, dict[str, Tensor]] = {}
    for name, tensor in weights.items():
        for pattern, own in _NAMES:
            if match := re.fullmatch(pattern, name):
                part = next((one for one in ("query", "key", "value") if f".{one}." in name), "")
                named.setdefault(match.expand(own), {})[part] = tensor
                break
    return {
        name: parts[""] if "" in parts else torch.cat([parts[one] for one in ("query", "key", "value") if one in parts])
        for name, parts in named.items()
    }


def _read_tensors(path: Path, channels: Sequence[str]) -> dict[str, Tensor]:
    """Read a file of named tensors; a .pth is unpickled as tensors only, which runs nothing."""
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of bytes that are no checkpoint, the restricted unpickler raises any kind
        reason = next((line for line in str(error).splitlines() if line), type(error).__name__)
        get = where_to_get(channels)
        raise UserError(f"--weights {path}: cannot be read as tensors alone ({reason[:80]}); {get}") from None
    if not isinstance(content, dict) or not all(isinstance(one, Tensor) for one in content.values()):
        raise UserError(f"--weights {path}: holds more than named tensors; save the model's state_dict alone")
    return content
