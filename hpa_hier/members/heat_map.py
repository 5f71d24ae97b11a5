"""Heat maps of a network: where an image raised the logit of a node, by captum."""

from __future__ import annotations

from collections.abc import Sequence
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


def weigh_activations(member: Member, image: np.ndarray, nodes: Sequence[str]) -> np.ndarray | None:
    """Return the gradient-weighted activations of the last maps of a member's network.

    Each map's activations are multiplied by the mean gradient of the node's logit, and summed over maps. Of tokens, or
    maps whose last axis are features, each place's activations are multiplied by its own gradient.

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
        found = find_last_maps(network.backbone, network.normalise(pixels).detach())
        if found is None:
            return None
        layer, is_tokens, before = found
        kind = captum.LayerGradientXActivation if is_tokens else captum.LayerGradCam
        with torch.enable_grad():
            values = kind(answer, layer).attribute(pixels, attribute_to_layer_input=True)
        total = total + (_arrange(values.sum(-1), before) if is_tokens else values[0, 0]).detach().cpu().numpy()
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


def find_last_maps(backbone: nn.Module, images: Tensor) -> tuple[nn.Module, bool, int] | None:
    """Return the part of a backbone whose input are its last maps, or tokens.

    Args:
        backbone: of images.
        images: (B, C, H, W) as it takes them.

    Returns:
        The part; whether features are the last axis of its input; and how many tokens come before those of places.
        None: there is no such part.
    """
    order: dict[nn.Module, int] = {}
    pools: dict[int, tuple[nn.Module, bool, int]] = {}

    def enter(part: nn.Module, _: object) -> None:
        order[part] = len(order)

    def leave(part: nn.Module, given: tuple[Any, ...], made: Any) -> None:  # noqa: ANN401 - a module returns anything
        maps = given[0] if given else None
        if not (isinstance(maps, Tensor) and isinstance(made, Tensor)) or maps.shape == images.shape:
            return
        if _has_places(made) or not _has_places(maps):
            return
        last = made.ndim == 2 and made.shape[1] == maps.shape[3] != maps.shape[1]
        pools[order[part]] = (part, last, 0)

    parts = [part for part in backbone.modules() if part is not backbone]
    hooks = [part.register_forward_pre_hook(enter) for part in parts]
    hooks += [part.register_forward_hook(leave) for part in parts]
    try:
        with torch.no_grad():
            backbone(images)
    finally:
        for hook in hooks:
            hook.remove()
    return pools[max(pools)] if pools else _find_tokens(backbone)


def _find_tokens(backbone: nn.Module) -> tuple[nn.Module, bool, int] | None:
    """Return the last block of a transformer: behind it, tokens of places may no longer count."""
    transformer = getattr(backbone, "vit", backbone)
    blocks = getattr(transformer, "blocks", None)
    if not isinstance(blocks, nn.Sequential) or not len(blocks):
        return None
    return blocks[-1], True, int(getattr(transformer, "num_prefix_tokens", 0))


def _has_places(value: Tensor) -> bool:
    return value.ndim == 4 and value[0, 0].numel() > 1


def _arrange(values: Tensor, before: int) -> Tensor:
    """Return (1, h, w) maps, or (1, T) tokens of which some come before those of places, as (h, w)."""
    if values.ndim == 3:
        return values[0]
    places = values[0, before:]
    side = round(len(places) ** 0.5)
    return places.reshape(side, side)


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
