"""Loading a finished member, of whatever kind it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hpa_hier.members.engines.member import RuntimeMember
from hpa_hier.members.process import collect_later
from hpa_hier.runs.manifest import read_manifest
from hpa_hier.settings.training import SKLEARN

if TYPE_CHECKING:  # they import torch
    from hpa_hier.members.estimators.member import EstimatorMember
    from hpa_hier.members.score import Member

TORCH = "torch"


def load_member(folder: Path, device: str = "auto") -> Member | EstimatorMember:
    """Load the finished member of a folder; a network is put on `device`, estimators stay on the processor.

    Raises:
        UserError: as `Member.load` or `EstimatorMember.load`.
    """
    if read_manifest(folder).backbone == SKLEARN:
        from hpa_hier.members.estimators.member import EstimatorMember

        return EstimatorMember.load(folder)
    with collect_later():
        from hpa_hier.members.score import Member

    return Member.load(folder, device)


def load_with_engine(folder: Path, device: str, engine: str) -> Member | RuntimeMember | EstimatorMember:
    """Load the finished member of a folder; `engine` computes its networks: torch, or one of `sessions.RUNTIMES`.

    Raises:
        UserError: as `load_member` or `RuntimeMember.load`.
    """
    if engine == TORCH or read_manifest(folder).backbone == SKLEARN:
        return load_member(folder, device)
    return RuntimeMember.load(folder, engine)
