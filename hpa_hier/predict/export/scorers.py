"""Members of an exported run: their networks compute by the runtime that they were exported for, without torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_json
from hpa_hier.files.extras import import_extra
from hpa_hier.members.engines.sessions import translate_failure
from hpa_hier.members.scorer import Scorer
from hpa_hier.predict.export.reader import Reader
from hpa_hier.runs.run import Run

ABOUT = "export.json"
RUNTIMES = {".onnx": "onnxruntime", ".xml": "openvino"}  # by the suffix of a network; also the extras that bring them


@dataclass(frozen=True)
class ExportedMember:
    """A network of an exported run with the names of its columns."""

    nodes: tuple[str, ...]  # columns of the logits
    network: Callable[[np.ndarray], Sequence[np.ndarray]]  # a sample, (1, …) → [its logits, (1, n)]

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Score (B, C, S, S) uint8 images, or (B, F) float32 vectors, as (B, n) float32, each sample on its own."""
        return np.concatenate([self.network(np.ascontiguousarray(one[None]))[0].copy() for one in images])


def is_exported(run: Run) -> bool:
    """Tell whether a run's folder was exported, so that its networks have no weights of torch."""
    return (run.folder / ABOUT).is_file()


def choose_exported_engine(run: Run, engine: str) -> str:
    """Return what computes the networks of an exported run, which is what it was exported for.

    Args:
        run: of which `is_exported` is true.
        engine: that is asked for; auto and torch, the default, leave it to the run.

    Raises:
        UserError: it is another one.
    """
    own = RUNTIMES[".xml" if read_json(run.folder / ABOUT).get("format") == "openvino" else ".onnx"]
    if engine not in ("auto", "torch", own):
        raise UserError(
            f"--backend {engine}: {run.folder} was exported for {own}; leave it out, or name the run that it was "
            "exported from"
        )
    return own


def open_exported(run: Run, names: Sequence[str], device: str) -> dict[str, Scorer]:
    """Open members of an exported run.

    Args:
        run: of which `is_exported` is true.
        names: of members that the ensemble combines.
        device: auto or cpu.

    Raises:
        UserError: a file was changed since, the runtime is not installed, or another device is asked for.
    """
    if device not in ("auto", "cpu"):
        raise UserError(
            f"--device {device}: {run.folder} was exported for processors; leave it out, or name the run that it was "
            "exported from"
        )
    about, again = read_json(run.folder / ABOUT), "export it again from the run that it is of"
    try:
        networks, _ = {**about["networks"]}, {**about["files"]}
        runtimes = {RUNTIMES[Path(file).suffix] for file in (*networks.values(), *map(networks.__getitem__, names))}
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{run.folder / ABOUT}: is damaged; {again}") from None
    for runtime in runtimes:
        import_extra(runtime, runtime, run.folder)
    with translate_failure(f"{run.folder}: its networks cannot be opened here ({{why}}); {again}"):
        try:
            reader = Reader(run.folder)
        except (OSError, ValueError) as error:  # which names the file
            raise UserError(str(error)) from None
    return {
        one.name: ExportedMember(one.manifest.nodes, reader.networks[one.name]) for one in run.select_members(names)
    }
