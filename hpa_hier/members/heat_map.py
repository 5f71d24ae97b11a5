"""Heat maps of a network: where an image raised the logit of a node, by captum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hpa_hier.files.extras import import_extra
from hpa_hier.members.score import Member
from hpa_hier.models.network import Averaged, Network

_STEPS = 32  # of the integral from black to the image
_AT_ONCE = 8  # of these, in memory
_FINE = 24  # places a side of maps: in a field of some twenty cells, a nucleus has two or three across


def weigh_activations(member: Member, image: np.ndarray, nodes: Sequence[str]) -> np.ndarray | None:
    """Return the gradient-weighted activations of maps within a member's network, or of a transformer's last tokens.

    At each place the activations are multiplied by the gradient of the node's logit there, and summed over features.
    Grad-CAM takes the mean gradient of all places instead, which blurs what a maximum has chosen, and the very last
    maps, on which whole cells share a place; `benchmarks/heat_maps.py` compares the two.

    Args:
        member: of images.
        image: (C, S, S) uint8.
        nodes: of the member; of several, the logit that any is present, if they were independent.

    Returns:
        (h, w) float32, what raises the logit above 0 and what lowers it below; h and w are those of the maps. None: the
        network has neither maps nor tokens of places.

    Raises:
        UserError: captum is not there.

    Source: Grad-CAM, Selvaraju et al., ICCV 2017; each place by its own gradient: HiResCAM, Draelos & Carin, 2020.
    """
    captum = import_extra("captum.attr", "explain", "heat maps")
    pixels, answer = _open(member, image, nodes)
    networks = member.network.networks if isinstance(member.network, Averaged) else [member.network]
    total: Any = 0.0
    for network in networks:
        assert isinstance(network, Network)
        stage = find_stage(network.backbone, network.normalise(pixels).detach())
        if stage is None:
            return None
        with torch.enable_grad():
            weighed = captum.LayerGradientXActivation(answer, stage.part)
            values = weighed.attribute(pixels, attribute_to_layer_input=stage.at_input)[0]
        total = total + stage.arrange(values.detach()).cpu().numpy()
    return np.asarray(total, np.float32)


def integrate_gradients(member: Member, image: np.ndarray, nodes: Sequence[str]) -> np.ndarray:
    """Return how much each pixel raises a node's logit on the way from black to the image, summed over channels.

    Arguments and errors are those of `weigh_activations`; the result is (S, S), and its sum is about the difference of
    the two logits.

    Source: Integrated gradients, Sundararajan, Taly & Yan, ICML 2017.
    """
    captum = import_extra("captum.attr", "explain", "heat maps")
    pixels, answer = _open(member, image, nodes)
    with torch.enable_grad():
        found = captum.IntegratedGradients(answer).attribute(pixels, n_steps=_STEPS, internal_batch_size=_AT_ONCE)
    return np.asarray(found[0].sum(dim=0).detach().cpu().numpy(), np.float32)


@dataclass(frozen=True)
class Stage:
    """Where within a backbone there are maps, or tokens, whose places are places of the image."""

    part: nn.Module
    at_input: bool = True  # they are what the part takes; else what it gives
    features_last: bool = False  # (B, h, w, F) or (B, T, F); else (B, F, h, w)
    tokens_before: int = 0  # tokens of no place, before the others

    def arrange(self, values: Tensor) -> Tensor:
        """Sum the values of one image, (F, h, w), (h, w, F) or (T, F), over features into (h, w)."""
        summed = values.sum(dim=-1 if self.features_last else 0)
        if summed.ndim == 2:
            return summed
        places = summed[self.tokens_before :]
        side = round(len(places) ** 0.5)
        return places.reshape(side, side)


def find_stage(backbone: nn.Module, images: Tensor) -> Stage | None:
    """Find the last maps of a backbone that are fine enough, the finest where none are; None: it has no maps.

    Of parts that make coarser maps of these, it is the one that ends last: all that comes later goes through it.

    Args:
        backbone: of images.
        images: (1, C, S, S) as it takes them.
    """
    transformer: Any = getattr(backbone, "vit", backbone)
    if hasattr(transformer, "patch_embed") and len(getattr(transformer, "blocks", ())):
        # what its last block takes; behind it, tokens of places may no longer count
        before = int(getattr(transformer, "num_prefix_tokens", 0))
        return Stage(transformer.blocks[-1], features_last=True, tokens_before=before)
    passed: list[tuple[nn.Module, Tensor, Tensor]] = []  # in the order in which they end

    def note(part: nn.Module, given: tuple[Any, ...], made: Any) -> None:  # noqa: ANN401 - a module returns anything
        maps = given[0] if given else None
        if isinstance(maps, Tensor) and isinstance(made, Tensor) and maps.data_ptr() != images.data_ptr():
            passed.append((part, maps, made))

    hooks = [part.register_forward_hook(note) for part in backbone.modules() if part is not backbone]
    try:
        with torch.no_grad():
            backbone(images)
    finally:
        for hook in hooks:
            hook.remove()
    sides = {_side(maps) for _, maps, _ in passed} - {0, 1}
    if not sides:
        return None
    wanted = min(_FINE, images.shape[-1] // 2)
    side = min((one for one in sides if one >= wanted), default=max(sides))
    takes = [(part, maps) for part, maps, made in passed if _side(maps) == side > _side(made)]
    gives = [(part, made) for part, _, made in passed if _side(made) == side]
    part, maps = takes[-1] if takes else gives[-1]
    return Stage(part, at_input=bool(takes), features_last=maps.shape[2] != maps.shape[3])


def _side(maps: Tensor) -> int:
    """Return how many places a side square maps have, (1, F, h, h) or (1, h, h, F); 0: these are none."""
    if maps.ndim != 4 or len(maps) != 1:
        return 0
    _, first, second, third = maps.shape
    return second if second == third else second if first == second else 0


def _open(member: Member, image: np.ndarray, nodes: Sequence[str]) -> tuple[Tensor, Any]:
    """Return an image as the network takes it, with gradients, and what gives the logit that is asked for."""
    columns = [member.nodes.index(node) for node in nodes]
    pixels = torch.from_numpy(np.ascontiguousarray(image[None])).to(member.device).float()

    def answer(images: Tensor) -> Tensor:
        return any_logit(member.network(images)[:, columns])

    return pixels, answer


def any_logit(logits: Tensor) -> Tensor:
    """Return the logit (B,) that any of n nodes is present, if they were independent, of their logits (B, n).

    >>> any_logit(torch.tensor([[0.5], [-3.0]])), torch.sigmoid(any_logit(torch.zeros(1, 2)))
    (tensor([ 0.5000, -3.0000]), tensor([0.7500]))
    """
    if logits.shape[1] == 1:
        return logits[:, 0]
    none = -functional.softplus(logits).sum(dim=1)  # log of the chance that none is present
    return torch.log(-torch.expm1(none)) - none
