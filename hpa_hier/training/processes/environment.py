"""Environment: what Lightning asks of the processes, answered by the team."""

from __future__ import annotations

from lightning.fabric.plugins import ClusterEnvironment
from lightning.fabric.utilities.rank_zero import rank_zero_only

from hpa_hier.training.processes.team import Team


class TeamEnvironment(ClusterEnvironment):
    """Tells Lightning which process this is; all of them have met before."""

    creates_processes_externally = True  # Lightning starts none

    def __init__(self, team: Team) -> None:
        super().__init__()
        self._team = team
        rank_zero_only.rank = team.place.rank  # type: ignore[attr-defined]

    @property
    def main_address(self) -> str:
        """The first process's machine."""
        return self._team.address.host

    @property
    def main_port(self) -> int:
        """The port there."""
        return self._team.address.port

    @staticmethod
    def detect() -> bool:
        """Return False: it is chosen, never found."""
        return False

    def world_size(self) -> int:
        """Return the number of processes."""
        return self._team.place.world

    def set_world_size(self, size: int) -> None:
        """Keep the number."""

    def global_rank(self) -> int:
        """Return the place of this process among all."""
        return self._team.place.rank

    def set_global_rank(self, rank: int) -> None:
        """Keep the place."""

    def local_rank(self) -> int:
        """Return the place of this process on its machine."""
        return self._team.place.local_rank

    def node_rank(self) -> int:
        """Return the machine."""
        return self._team.place.node
