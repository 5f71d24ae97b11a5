"""Place: which of the processes of one member's training this one is, by the variables of whoever started it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from hpa_hier.errors import UserError

STARTED_BY = "HPA_HIER_STARTED_BY"  # in the environment of the processes that this program starts: the first one's id
_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK")  # torchrun sets them, and what works as it does


@dataclass(frozen=True)
class Place:
    """A process among those of one training."""

    rank: int = 0  # among all
    world: int = 1  # how many there are
    local_rank: int = 0  # on its machine
    node: int = 0  # its machine
    launcher: str = ""  # what started all processes; "": this program starts those of its machine

    @property
    def starts_others(self) -> bool:
        """Whether this process is to start the others of its machine."""
        return not self.launcher and self.local_rank == 0

    def describe(self) -> str:
        """Name the process as messages do.

        >>> Place(rank=1, world=4).describe()
        'process 2 of 4'
        """
        return f"process {self.rank + 1} of {self.world}"


def find_place(devices: int, nodes: int, variables: Mapping[str, str]) -> Place:
    """Return which process this is.

    Args:
        devices: processes of each machine, as training.devices.
        nodes: machines, as training.nodes.
        variables: of the environment.

    Raises:
        UserError: another number of processes was started than is asked for, or variables contradict each other.

    >>> find_place(2, 1, {})
    Place(rank=0, world=2, local_rank=0, node=0, launcher='')
    >>> find_place(2, 2, {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}).node
    1
    """
    wanted = devices * nodes
    found = _read_torchrun(variables, devices) or _read_slurm(variables, devices, nodes)
    if found is None:
        world = _number(variables, "WORLD_SIZE", wanted)
        if world > 1 and world != wanted:
            raise _mismatch(devices, nodes, f"WORLD_SIZE is {world}", world, 1)
        node = _number(variables, "NODE_RANK", 0) if nodes > 1 else 0
        if node >= nodes:
            raise UserError(f"NODE_RANK is {node}, and training.nodes {nodes}; machines are counted from 0")
        return Place(node * devices, wanted, 0, node)
    place, local = found
    if place.world != wanted or local != devices:
        started = f"{place.launcher} started {place.world} ({local} on this machine)"
        raise _mismatch(devices, nodes, started, place.world, local)
    return place


def count_started(variables: Mapping[str, str]) -> int:
    """Return how many processes of this command there are, by the variables of whoever started them.

    >>> count_started({"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "0"}), count_started({"SLURM_NTASKS": "4"})
    (4, 1)
    """
    found = _read_torchrun(variables, 1) or _read_slurm(variables, 1, 1)
    return found[0].world if found else 1


def _read_torchrun(variables: Mapping[str, str], devices: int) -> tuple[Place, int] | None:
    """Return what torchrun's variables say, and how many processes a machine has; None where they are not set."""
    if not all(name in variables for name in ("RANK", "WORLD_SIZE")):
        return None
    if STARTED_BY in variables:
        launcher = "hpa_hier"
    else:
        launcher = "torchrun" if "TORCHELASTIC_RUN_ID" in variables else "who set RANK and WORLD_SIZE"
    rank, world = _number(variables, "RANK", 0), _number(variables, "WORLD_SIZE", 1)
    if "LOCAL_RANK" not in variables:  # set for machines, as some operators of Kubernetes do
        if world == 1 or devices > 1:
            return None
        return Place(rank, world, 0, rank, launcher), 1
    local = _number(variables, "LOCAL_WORLD_SIZE", devices)
    return Place(rank, world, _number(variables, "LOCAL_RANK", 0), rank // max(1, local), launcher), local


def _read_slurm(variables: Mapping[str, str], devices: int, nodes: int) -> tuple[Place, int] | None:
    """Return what srun's variables say, and how many tasks this machine has; None where it did not start this process.

    A batch script has the job's variables too, but is one process: only srun sets those of a step.
    """
    if "SLURM_PROCID" not in variables or variables.get("SLURM_JOB_NAME") in ("bash", "interactive"):
        return None
    rank = _number(variables, "SLURM_PROCID", 0)
    world = _number(variables, "SLURM_STEP_NUM_TASKS", 0)
    if not world and (rank or devices * nodes > 1):
        world = _number(variables, "SLURM_NTASKS", 1)
    if world <= 1:
        return None
    node = _number(variables, "SLURM_NODEID", 0)
    machines = _number(variables, "SLURM_STEP_NUM_NODES", _number(variables, "SLURM_NNODES", 1))
    tasks = variables.get("SLURM_STEP_TASKS_PER_NODE") or variables.get("SLURM_NTASKS_PER_NODE") or ""
    counts = [int(count) for count, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", tasks) for _ in range(int(times or 1))]
    local = counts[min(node, len(counts) - 1)] if counts else world // max(1, machines)
    return Place(rank, world, _number(variables, "SLURM_LOCALID", 0), node, "srun"), local


def _number(variables: Mapping[str, str], name: str, default: int) -> int:
    text = variables.get(name, "")
    if text and not text.strip().isdecimal():
        raise UserError(f"{name}: must be a whole number, got {text!r}; unset it, or start the processes by torchrun")
    return int(text) if text else default


def _mismatch(devices: int, nodes: int, found: str, world: int, local: int) -> UserError:
    asked = f"training.devices {devices} × training.nodes {nodes} asks for {devices * nodes}"
    machines = max(1, world // max(1, local))
    return UserError(
        f"{asked} process{'es' if devices * nodes > 1 else ''} of one member, and {found}; add --set "
        f"training.devices={local} --set training.nodes={machines}, or start as many as asked for"
    )
