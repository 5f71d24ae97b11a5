"""Devices: where a member is trained and scored."""

from __future__ import annotations

import torch

from hpa_hier.errors import UserError


def check_devices(device: torch.device, count: int) -> None:
    """Refuse more devices than this machine has from the first one on.

    Args:
        device: the first.
        count: how many train one member.

    Raises:
        UserError: there are fewer.

    >>> check_devices(torch.device("cpu"), 2)
    """
    if count == 1 or device.type == "cpu":
        return
    if device.type != "cuda":
        raise UserError(f"training.devices: {count}, and {device} is one; set it to 1, or --device cpu")
    there = torch.cuda.device_count()
    if (first := device.index or 0) + count > there:
        from_here = f" from cuda:{first} on" if first else ""
        raise UserError(
            f"training.devices: {count}, and this machine has {there} CUDA GPU{'s' if there > 1 else ''}, of which "
            f"{there - first} can be taken{from_here}; set it to {there - first}"
        )


def find_device(name: str) -> torch.device:
    """Turn auto, cpu, cuda, cuda:N or mps into a device that this machine has.

    Raises:
        UserError: no such device here; the message names those that are.

    >>> find_device("cpu")
    device(type='cpu')
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind, _, index = name.partition(":")
    if kind == "cuda" and (not index or index.isdecimal()):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(index or 0) >= count:
            has = f"{count or 'no'} CUDA GPU{'s' if count > 1 else ''}"
            use = ", ".join(f"cuda:{i}" for i in range(count)) or "auto or cpu"
            raise UserError(f"--device {name}: this machine has {has}; use {use}")
        return torch.device("cuda", int(index or 0))
    if name not in ("cpu", "mps"):
        raise UserError(f"--device {name}: no such device; it is auto, cpu, cuda, cuda:N or mps")
    if name == "mps" and not torch.backends.mps.is_available():
        raise UserError("--device mps: this machine has no Apple GPU; use auto or cpu")
    return torch.device(name)
