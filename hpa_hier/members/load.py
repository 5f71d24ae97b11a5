"""Loading a finished member, of whatever kind it is."""

from __future__ import annotations

from pathlib import Path

from hpa_hier.members.estimators.member import EstimatorMember
from hpa_hier.members.score import Member
from hpa_hier.runs.manifest import read_manifest
from hpa_hier.settings.training import SKLEARN


def load_member(folder: Path, device: str = "auto") -> Member | EstimatorMember:
    """Load the finished member of a folder; a network is put on `device`, estimators stay on the processor.

    Raises:
        UserError: as `Member.load` or `EstimatorMember.load`.
    """
    return EstimatorMember.load(folder) if read_manifest(folder).backbone == SKLEARN else Member.load(folder, device)
