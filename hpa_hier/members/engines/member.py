"""A member whose network is computed by another runtime than PyTorch, which is imported only where it is needed."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hpa_hier import __version__
from hpa_hier.data.pack.pack_file import VECTORS
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import sha256
from hpa_hier.files.extras import find_version
from hpa_hier.members.engines.cache import keep
from hpa_hier.members.engines.sessions import Compute, check_installed, open_session
from hpa_hier.members.scorer import check_samples
from hpa_hier.places.processor import count_threads
from hpa_hier.runs.manifest import MANIFEST, WEIGHTS, Manifest, check_files, read_manifest

if TYPE_CHECKING:
    from hpa_hier.members.score import Member

# Samples in a pass, the last filled up with zeros. Few images: their maps stay in the processor's cache, and a single
# image fills up little.
_IMAGES, _VECTORS = 4, 64


@dataclass(frozen=True)
class RuntimeMember:
    """A member of networks that ONNX Runtime or OpenVINO computes, on the processor.

    Attributes:
        folder: of the finished member.
        manifest: its member.json.
        engine: of `sessions.RUNTIMES`.
        threads: passes at a time.
    """

    folder: Path
    manifest: Manifest
    engine: str
    threads: int
    _sessions: dict[tuple[int, ...], Compute] = field(default_factory=dict, compare=False)  # by shape of a sample

    @classmethod
    def load(cls, folder: Path, engine: str) -> RuntimeMember:
        """Load the finished member of a folder; its network is converted when it is first asked, and then kept.

        The weights are read, and compared with their checksum, when they are converted: what is kept goes by this
        checksum, and has one of its own.

        Raises:
            UserError: not finished, or the runtime is not installed.
        """
        manifest = read_manifest(folder)
        check_files(folder, manifest, (WEIGHTS,), content=False)
        check_installed(engine)
        return cls(folder, manifest, engine, count_threads())

    @property
    def nodes(self) -> tuple[str, ...]:
        """Columns of the logits, by name."""
        return self.manifest.nodes

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return self.manifest.image_size

    @cached_property
    def in_torch(self) -> Member:
        """The same member in PyTorch, for what looks into its network."""
        from hpa_hier.members.score import Member  # imports torch

        return Member.load(self.folder, "cpu")

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Score images, or vectors, as `Member.logits`; a sample's row does not depend on the other samples."""
        check_samples(self.manifest, images)
        return self.compute(images)

    def compute(self, images: np.ndarray) -> np.ndarray:
        """Score images of any side that the network takes, (B, C, T, T), or vectors (B, F)."""
        shape = images.shape[1:]
        if shape not in self._sessions:
            once = (self._at_once, *shape)
            self._sessions[shape] = open_session(self.engine, self._convert(shape), once, self.threads)
        session, logits = self._sessions[shape], np.empty((len(images), len(self.nodes)), np.float32)

        def score(first: int) -> None:
            samples = np.ascontiguousarray(images[first : first + self._at_once])
            count = len(samples)
            if count < self._at_once:
                samples = np.concatenate([samples, np.zeros((self._at_once - count, *shape), samples.dtype)])
            logits[first : first + count] = session(samples)[:count]

        starts = range(0, len(images), self._at_once)
        list(self._pool.map(score, starts) if self.threads > 1 < len(starts) else map(score, starts))
        return logits

    @property
    def _at_once(self) -> int:
        return _VECTORS if self.manifest.kind == VECTORS else _IMAGES

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self.threads, "score")

    def _convert(self, shape: tuple[int, ...]) -> bytes:
        """Return the network as ONNX: as it was kept, or converted now."""

        def convert() -> bytes:
            import torch

            from hpa_hier.members.engines.convert import convert_onnx

            network = self.in_torch.network
            dtype = torch.float32 if self.manifest.kind == VECTORS else torch.uint8
            with torch.inference_mode():  # raises what it raises of a side that it does not take
                network(torch.zeros(1, *shape, dtype=dtype))
            print(f"{self.manifest.name}: converting it for {self.engine}, once on this machine", file=sys.stderr)
            try:
                return convert_onnx(network, shape, self.engine.partition("-")[0])
            except UserError:
                raise
            except Exception as error:  # of any kind: the converter meets what it does not know
                why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
                raise UserError(
                    f"member '{self.manifest.name}': its network cannot be converted ({why}); use --backend torch"
                ) from None

        made_by = (f"{name} {find_version(name)}" for name in ("torch", "onnx", "onnxscript"))
        weights, about = self.manifest.files[WEIGHTS], sha256(self.folder / MANIFEST)
        return keep("network", (weights, about, str(shape), __version__, *made_by), convert)
