"""Choice: which engine computes an ensemble's networks fastest on this machine, measured once."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import numpy as np

from hpa_hier import __version__
from hpa_hier.data.pack.pack_file import VECTORS
from hpa_hier.errors import UserError
from hpa_hier.members.engines.cache import keep
from hpa_hier.members.engines.sessions import check_installed, describe_version
from hpa_hier.members.load import TORCH, load_with_engine
from hpa_hier.places.processor import count_threads, describe_processor
from hpa_hier.runs.manifest import Manifest, read_manifest
from hpa_hier.settings.training import SKLEARN

AUTO = "auto"
_MEASURED = ("onnxruntime", "openvino")  # beside torch; what computes in half precision is for people to choose
_SAMPLES = 32  # what torch computes at once, so that none of them fills up
_ROUNDS = 3
_CLOSE = 1e-4  # share of the largest logit: a conversion that is further from torch is wrong
_ACCELERATORS = ("/dev/nvidia0", "/dev/kfd", "/dev/dxg")  # NVIDIA's, AMD's, Windows' under Linux


class _Scores(Protocol):
    @property
    def manifest(self) -> Manifest: ...

    def logits(self, images: np.ndarray) -> np.ndarray: ...


def choose_engine(engine: str, folders: Sequence[Path], device: str) -> str:
    """Return what computes members' networks: torch, or one of `sessions.RUNTIMES`.

    Args:
        engine: as it was asked for; auto: the fastest here. It is measured once for these members, this processor,
            these versions and this number of threads, and kept.
        folders: of the members.
        device: auto, cpu, cuda, cuda:N or mps. On another one than the processor, auto is torch.

    Raises:
        UserError: the engine is not installed, or does not compute on the device.
    """
    if engine == TORCH:
        return TORCH
    if engine != AUTO:
        if device not in (AUTO, "cpu"):
            raise UserError(f"--backend {engine}: computes on the processor; leave out --device {device}, or this")
        check_installed(engine)
        return engine
    networks = [folder for folder in folders if read_manifest(folder).backbone != SKLEARN]
    installed = [name for name in _MEASURED if find_spec(name) and find_spec("onnxscript")]
    if not networks or not installed or _has_accelerator(device):
        return TORCH
    digests = [json.dumps(read_manifest(folder).files, sort_keys=True) for folder in networks]
    versions = [describe_version(name) for name in (TORCH, *installed)]
    key = [*digests, *versions, describe_processor(), str(count_threads()), __version__]
    kept: Mapping[str, str] = json.loads(keep("engine", key, lambda: _measure(networks, installed)))
    return kept["engine"]


def _measure(folders: Sequence[Path], installed: Sequence[str]) -> bytes:
    """Return, as JSON, which engine is the fastest, and the milliseconds a sample that each takes."""
    print(
        f"--backend auto: measuring {', '.join((TORCH, *installed))} on this machine, once for these members",
        file=sys.stderr,
    )
    reference: list[np.ndarray] = []
    ready: dict[str, list[_Scores]] = {}
    for engine in (TORCH, *installed):
        try:
            members: list[_Scores] = [load_with_engine(folder, "cpu", engine) for folder in folders]
            found = [member.logits(_make_samples(member.manifest)) for member in members]
        except UserError as error:
            if engine == TORCH:
                raise
            print(f"  {engine}: left out: {error}", file=sys.stderr)
            continue
        reference = reference or found
        pairs = zip(found, reference, strict=True)
        away = max(float(np.abs(one - other).max() / max(1.0, np.abs(other).max())) for one, other in pairs)
        if away > _CLOSE:
            print(f"  {engine}: left out: its logits are away from torch's by a share of {away:.2g}", file=sys.stderr)
            continue
        ready[engine] = members
    best = dict.fromkeys(ready, float("inf"))
    for _ in range(_ROUNDS):  # in turns, so that another load hits all alike
        for engine, members in ready.items():
            samples = [_make_samples(member.manifest) for member in members]
            began = time.perf_counter()
            for member, some in zip(members, samples, strict=True):
                member.logits(some)
            best[engine] = min(best[engine], (time.perf_counter() - began) / _SAMPLES * 1000)
    fastest = min(best, key=lambda engine: best[engine])
    figures = ", ".join(f"{engine} {took:.3g} ms" for engine, took in best.items())
    print(f"  a sample takes {figures}: {fastest} from now on", file=sys.stderr)
    return json.dumps({"engine": fastest, "milliseconds": best}).encode()


def _make_samples(manifest: Manifest) -> np.ndarray:
    """Return samples as a member takes them, of noise: how long they take does not depend on what they show."""
    rng, C, S = np.random.default_rng(0), len(manifest.channels), manifest.image_size
    if manifest.kind == VECTORS:
        mean, std = np.array(manifest.mean), np.array(manifest.std)
        return (mean + std * rng.standard_normal((_SAMPLES, C))).astype(np.float32)
    return rng.integers(0, 256, (_SAMPLES, C, S, S), dtype=np.uint8)


def _has_accelerator(device: str) -> bool:
    """Return whether members would be put on something else than the processor; torch is asked only where it may be."""
    if device == "cpu":
        return False
    may_be = sys.platform == "darwin" or shutil.which("nvidia-smi") or any(map(Path.exists, map(Path, _ACCELERATORS)))
    if device == AUTO and not may_be:
        return False
    from hpa_hier.members.devices import find_device  # imports torch

    return find_device(device).type != "cpu"
