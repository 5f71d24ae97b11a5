"""Pretrained weights at any number of channels: the stem's filters follow the channels' colours.

Pretrained stems look at red, green and blue. A channel of that colour keeps that colour's filters, wherever it is in
the order; any other gets the mean of the three. All filters are scaled by 3 / C: the sum over channels keeps the size
that the next layer was trained to expect.
"""

from __future__ import annotations

import logging
import os
import socket
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from hpa_hier.errors import UserError

_COLOURS = ("red", "green", "blue")
_OWN_PREFIX = "backbone."  # how a member's model.safetensors calls its backbone's weights
_TRUNK_PREFIX = "trunk."  # and those of a timm model with another pooling


def fill_from_hub(model: nn.Module, name: str, channels: Sequence[str]) -> None:
    """Load the hub's weights for the timm model `name` into `model`.

    Raises:
        UserError: the model has no pretrained weights, or the hub cannot be reached.
    """
    import timm

    if not timm.is_model_pretrained(name):
        raise UserError(f"training.pretrained: timm has no pretrained weights for {name!r}; set it to false")
    _go_offline_where_the_hub_is_out_of_reach()
    logging.getLogger("timm").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            source = timm.create_model(name, in_chans=3, num_classes=0, pretrained=True)
    except Exception as error:  # the hub's client raises a dozen kinds where there is no network
        home = getattr(timm.get_pretrained_cfg(name), "hf_hub_id", None) or "timm"
        raise UserError(
            f"training.pretrained: the weights of {name} could not be fetched ({type(error).__name__}); where there is "
            f"no network, bring model.safetensors of huggingface.co/{home} and give it with --weights FILE"
        ) from None
    fill(model, source.state_dict(), channels, f"hub weights of {name}")


def _go_offline_where_the_hub_is_out_of_reach() -> None:
    """Keep the hub's client from retrying for a minute where its name has no address; its cache is still used."""
    if any(os.environ.get(name) for name in ("HF_ENDPOINT", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return
    try:
        socket.getaddrinfo("huggingface.co", 443)
    except OSError:
        from huggingface_hub import constants

        constants.HF_HUB_OFFLINE = True


def fill_from_file(model: nn.Module, path: Path, channels: Sequence[str]) -> None:
    """Load a local safetensors file of backbone weights into `model`; a member's model.safetensors will do too.

    Raises:
        UserError: no such file, no safetensors file, or the weights of another model.
    """
    if path.suffix != ".safetensors":
        raise UserError(f"--weights {path}: only .safetensors files are read, as other forms can hold programs")
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"--weights {path}: {str(error).splitlines()[0]}") from None
    if any(key.startswith(_OWN_PREFIX) for key in weights):
        weights = {k.removeprefix(_OWN_PREFIX): v for k, v in weights.items() if k.startswith(_OWN_PREFIX)}
        weights = {k.removeprefix(_TRUNK_PREFIX): v for k, v in weights.items()}
    fill(model, weights, channels, f"--weights {path}")


def stem_filters(filters: Tensor, channels: Sequence[str]) -> Tensor:
    """Return the stem filters of each channel: its colour's, and the mean of the three for a channel of no colour.

    `filters` are (K, 3, h, w) for red, green and blue; the result is (K, C, h, w).

    >>> filters = torch.tensor([1.0, 2.0, 3.0]).reshape(1, 3, 1, 1)
    >>> stem_filters(filters, ("green", "yellow", "red")).flatten()
    tensor([2., 2., 1.])
    """
    mean = filters.mean(dim=1)
    per_channel = [filters[:, _COLOURS.index(c)] if c in _COLOURS else mean for c in channels]
    return torch.stack(per_channel, dim=1) * (len(_COLOURS) / len(channels))


def fill(model: nn.Module, weights: Mapping[str, Tensor], channels: Sequence[str], source: str) -> None:
    """Load weights of the same network, or of that for red, green and blue, into `model`.

    Args:
        model: to fill, at any number of channels.
        weights: by the model's names; more than it has are left out.
        channels: of the images, by name and in order.
        source: what to call the weights in a message.

    Raises:
        UserError: a tensor is missing, or has another shape.
    """
    wanted = model.state_dict()
    filled = {}
    for key, target in wanted.items():
        found = weights.get(key)
        if found is None:
            if key.endswith("num_batches_tracked"):  # older files lack this counter, which nothing here reads
                continue
            raise UserError(f"{source}: no weights {key!r}; the file holds another model")
        as_rgb = (*target.shape[:1], len(_COLOURS), *target.shape[2:])  # the same stem for three channels
        if found.shape != target.shape and found.ndim == 4 and found.shape == as_rgb:
            found = stem_filters(found, channels)
        if found.shape != target.shape:
            raise UserError(f"{source}: {key} has shape {tuple(found.shape)}, the model needs {tuple(target.shape)}")
        filled[key] = found
    model.load_state_dict(filled, strict=False)
