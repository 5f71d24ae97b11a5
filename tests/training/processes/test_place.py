"""Place: which process this is, as torchrun, srun and hands say it, and what is refused."""

from __future__ import annotations

import re

import pytest

from hpa_hier.errors import UserError
from hpa_hier.training.processes.place import STARTED_BY, Place, count_started, find_place

TORCHRUN = {"TORCHELASTIC_RUN_ID": "x", "RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
SRUN = {
    **{"SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_NODEID": "1", "SLURM_STEP_NUM_TASKS": "4"},
    **{"SLURM_STEP_NUM_NODES": "2", "SLURM_STEP_TASKS_PER_NODE": "2(x2)"},
}
SBATCH = {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_NTASKS": "4", "SLURM_JOB_ID": "7"}


@pytest.mark.parametrize(
    ("devices", "nodes", "variables", "place"),
    [
        (1, 1, {}, Place()),
        (3, 1, {}, Place(0, 3)),
        (1, 1, SBATCH, Place()),  # a batch script is one process, whatever the job may start
        (1, 1, {"NODE_RANK": "5"}, Place()),
        (2, 2, TORCHRUN, Place(3, 4, 1, 1, "torchrun")),
        (2, 2, SRUN, Place(3, 4, 1, 1, "srun")),
        (2, 2, {"NODE_RANK": "1"}, Place(2, 4, 0, 1)),
        (2, 1, {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", STARTED_BY: "9"}, Place(1, 2, 1, 0, "hpa_hier")),
        (1, 2, {"RANK": "1", "WORLD_SIZE": "2"}, Place(1, 2, 0, 1, "who set RANK and WORLD_SIZE")),
        (4, 1, {"RANK": "0", "WORLD_SIZE": "1"}, Place(0, 4)),  # set for machines, of which there is one
        (1, 1, {**SRUN, "SLURM_JOB_NAME": "interactive"}, Place()),
        (2, 2, {**SBATCH, "SLURM_NTASKS_PER_NODE": "2"}, Place(0, 4, 0, 0, "srun")),
    ],
)
def test_the_place_follows_from_the_variables(
    devices: int, nodes: int, variables: dict[str, str], place: Place
) -> None:
    assert find_place(devices, nodes, variables) == place


@pytest.mark.parametrize(
    ("devices", "nodes", "variables", "message"),
    [
        (
            1,
            1,
            TORCHRUN,
            "asks for 1 process of one member, and torchrun started 4 (2 on this machine)",
        ),
        (4, 1, TORCHRUN, "add --set training.devices=2 --set training.nodes=2, or start as many as asked for"),
        (2, 1, SRUN, "asks for 2 processes of one member, and srun started 4 (2 on this machine)"),
        (2, 1, {"WORLD_SIZE": "3"}, "asks for 2 processes of one member, and WORLD_SIZE is 3"),
        (1, 2, {"NODE_RANK": "2"}, "NODE_RANK is 2, and training.nodes 2; machines are counted from 0"),
        (2, 1, {"RANK": "one", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}, "RANK: must be a whole number, got 'one'"),
    ],
)
def test_another_number_of_processes_than_asked_for_is_refused(
    devices: int, nodes: int, variables: dict[str, str], message: str
) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        find_place(devices, nodes, variables)


def test_processes_of_a_step_are_counted_and_those_of_a_batch_script_are_not() -> None:
    assert [count_started(variables) for variables in ({}, TORCHRUN, SRUN, SBATCH)] == [1, 4, 4, 1]
