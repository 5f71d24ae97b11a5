"""The flag --backend: what computes members' scores, and where work runs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NamedTuple

from hpa_hier.errors import UserError
from hpa_hier.files.spelling import did_you_mean

ENGINES = {
    "auto": "the fastest on this machine, measured once",
    "torch": "PyTorch, the default",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "openvino-bf16": "OpenVINO in bfloat16, faster on processors that have it; labels may change",
}
PLACES = {
    "loky": "processes on this machine",
    "threading": "threads of this process",
    "dask-local": "Dask workers on this machine",
    "dask://HOST:PORT": "the workers of a Dask scheduler",
    "ray": "the workers of a Ray cluster, or of this machine",
    "slurm": "jobs of a SLURM cluster",
}
_DASK = "dask://"


class Backend(NamedTuple):
    """What --backend asks for.

    Attributes:
        engine: what computes members' scores, of `ENGINES`; None: not said.
        place: where work runs, of `PLACES`, or as dask://HOST:PORT; None: not said.
    """

    engine: str | None = None
    place: str | None = None


def add_backend_argument(parser: argparse._ActionsContainer, *, engines: bool = False, places: bool = False) -> None:
    """Add --backend to a command that has engines, places, or both; then it may be given twice.

    `read_backend(options.backend, …)` reads it.
    """
    parts = []
    if engines:
        parts.append(f"what computes the scores: {_describe(ENGINES)}")
    if places:
        parts.append(f"where work runs: {_describe(PLACES)}")
    twice = "; give the flag twice for one of each" if engines and places else ""
    parser.add_argument("--backend", action="append", default=[], metavar="NAME", help="; or ".join(parts) + twice)


def read_backend(words: Sequence[str], *, engines: bool = False, places: bool = False) -> Backend:
    """Read the words of --backend.

    Args:
        words: as they were typed.
        engines: whether the command has engines.
        places: whether the command has places.

    Raises:
        UserError: a word names neither, not what this command has, or two name the same kind.

    >>> read_backend(["openvino", "dask://10.0.0.1:8786"], engines=True, places=True)
    Backend(engine='openvino', place='dask://10.0.0.1:8786')
    """
    known = [*(ENGINES if engines else ()), *(PLACES if places else ())]
    chosen: dict[str, str] = {}
    for word in words:
        kind = "engine" if word in ENGINES else "place"
        if word not in known and not (places and _is_scheduler(word)):
            raise UserError(f"--backend {word}: {_explain(word, engines, known)}")
        if kind in chosen:
            raise UserError(f"--backend {chosen[kind]} and --backend {word}: one or the other; leave one out")
        chosen[kind] = word
    return Backend(**chosen)


def _describe(names: dict[str, str]) -> str:
    return ", ".join(f"{name} ({what})" for name, what in names.items())


def _is_scheduler(word: str) -> bool:
    host, _, port = word.removeprefix(_DASK).rpartition(":")
    return word.startswith(_DASK) and host != "" and port.isdecimal() and 0 < int(port) < 1 << 16


def _explain(word: str, engines: bool, known: Sequence[str]) -> str:
    if word.startswith(_DASK) and _DASK + "HOST:PORT" in known:
        return "a Dask scheduler is named by its host and port, as dask://127.0.0.1:8786"
    if word in ENGINES or word in PLACES or word.startswith(_DASK):
        wrong = "no scores are computed here" if not engines else "this command runs on this machine alone"
        return f"{wrong}; choose among {', '.join(known)}, or leave it out"
    return f"there is no such backend; choose among {', '.join(known)}{did_you_mean(word, known)}"
