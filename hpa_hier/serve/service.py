"""Service: everything that requests are answered with, made once when the server starts."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request
from filelock import FileLock, Timeout

from hpa_hier.data.images.readers import READERS, split_suffix
from hpa_hier.errors import UserError
from hpa_hier.serve.adapting import Adapting
from hpa_hier.serve.catalog import Catalog, Listed
from hpa_hier.serve.metrics import Metrics
from hpa_hier.serve.recent import Recent
from hpa_hier.serve.safety.limits import Limits
from hpa_hier.serve.safety.refusal import Refusal, one_line
from hpa_hier.serve.work.engine import Engine
from hpa_hier.serve.work.jobs import Jobs

LOG = logging.getLogger("hpa_hier.serve")
_PREFIX, _LOCK = "hpa-hier-serve-", "lock"


@dataclass(frozen=True)
class Plan:
    """What the user said when the server was started.

    Attributes:
        runs: names or folders of the ensembles; (): all there are and the bundled one.
        artifacts: where runs are.
        roots: folders whose images may be named by paths.
        corrections: folder in which corrected labels are kept.
        device: auto, cpu, cuda, cuda:N or mps.
        backend: what computes members' networks: torch, onnxruntime, openvino, openvino-bf16 or auto.
        decoders: processes that decode images.
        limits: how much may be asked.
    """

    runs: tuple[str, ...] = ()
    artifacts: Path = Path("artifacts")
    roots: tuple[Path, ...] = ()
    corrections: Path = Path("corrections")
    device: str = "auto"
    backend: str = "torch"
    decoders: int = 1
    limits: Limits = field(default_factory=Limits)

    @classmethod
    def check_roots(cls, roots: Sequence[Path]) -> tuple[Path, ...]:
        """Return folders with their links resolved.

        Raises:
            UserError: one is no folder that can be read.
        """
        for root in roots:
            if not root.is_dir() or not os.access(root, os.R_OK | os.X_OK):
                raise UserError(f"--root {root}: no folder that can be read; name one with images in it or below")
        return tuple(root.resolve() for root in roots)

    def check_corrections(self) -> None:
        """Refuse a folder for corrections that cannot be written to, before somebody corrects something.

        Raises:
            UserError: it cannot.
        """
        there = next(place for place in (self.corrections, *self.corrections.absolute().parents) if place.exists())
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            raise UserError(f"--corrections {self.corrections}: cannot be written to; name another folder")


class Service:
    """What is behind the routes."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.limits = plan, plan.limits
        plan.check_corrections()
        self.catalog = Catalog(plan.runs, plan.artifacts)
        default = self.catalog.default()
        if default is None:
            first = next(iter(self.catalog.list()), None)
            told = f"'{first.name}' {first.reason}" if first else f"there is none under {plan.artifacts}"
            raise UserError(f"no ensemble that answers for images: {told}; name one with --run, or fit one")
        _remove_stale()
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._lock = FileLock(self.folder / _LOCK, timeout=0)
        self._lock.acquire()
        self.engine = Engine(plan.device, plan.limits.queue, plan.backend)
        loading = self.engine.call(default.folder, lambda predictor: None)  # before somebody waits for it
        loading.add_done_callback(_tell)
        self.jobs = Jobs(self.folder, self.engine, plan.limits, plan.decoders)
        self.adapting = Adapting()
        self.metrics = Metrics(self.engine, self.jobs)
        self.recent = Recent()
        self.needs_token = False  # whether requests must carry one
        self.stopping = False

    def choose(self, name: str | None) -> Listed:
        """Return the ensemble of this name, else the one that answers where none is named."""
        if name:
            return self.catalog.get(name)
        found = self.catalog.default()
        if found is None:
            raise Refusal("cannot", "no ensemble answers for images any more; fit one, or start the server with --run")
        return found

    def find_paths(self, names: Sequence[str]) -> tuple[Path, ...]:
        """Return paths of the server with their links resolved.

        Raises:
            Refusal: one is not there or not below a root, which is the same to whoever asks; or it is no image.
        """
        roots = self.plan.roots
        if not roots:
            raise Refusal("cannot", "no folder of the server is allowed; start it with --root DIR, or send the files")
        return tuple(_find_path(name, roots) for name in names)

    def stop(self) -> bool:
        """End all work, and remove what was sent; return whether no thread is left in the middle of something."""
        self.stopping = True
        self.adapting.cancel()
        self.jobs.stop()
        ended = self.engine.stop()
        self._lock.release()
        shutil.rmtree(self.folder, ignore_errors=True)
        return ended


def _tell(loading: Future[None]) -> None:
    """Say on standard error where the default ensemble cannot be loaded; requests are told too."""
    error = None if loading.cancelled() else loading.exception()
    if error is not None:
        LOG.warning("the default ensemble cannot be loaded: %s", one_line(str(error)))


def _find_path(name: str, roots: Sequence[Path]) -> Path:
    shown, found = name[:200], None
    if name and "\0" not in name:
        for place in [Path(name)] if Path(name).is_absolute() else [root / name for root in roots]:
            real = Path(os.path.realpath(place))
            if any(real == root or root in real.parents for root in roots) and real.exists():
                found = found or real
    if found is None:
        allowed = ", ".join(map(str, roots))
        raise Refusal("cannot", f"{shown!r}: no such folder or image below {allowed}; name one that is")
    if not found.is_dir() and not split_suffix(found.name)[1]:
        raise Refusal("unsupported", f"{shown!r}: neither a folder nor an image ({', '.join(READERS)}); name one")
    return found


def _remove_stale() -> None:
    """Remove what servers left that were killed: their locks are free."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            if folder.is_symlink() or not hasattr(os, "getuid") or folder.stat().st_uid != os.getuid():
                continue
            with FileLock(folder / _LOCK, timeout=0):
                pass
            shutil.rmtree(folder, ignore_errors=True)
        except (Timeout, OSError):
            continue


def _get(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Served = Annotated[Service, Depends(_get)]
