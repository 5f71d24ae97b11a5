"""Address: where the processes of one training meet."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from typing import NamedTuple

from hpa_hier.errors import UserError
from hpa_hier.training.processes.place import Place

_SLURM_PORTS = 15_000  # and the last digits of the job's number, so that jobs of one machine do not meet


class Address(NamedTuple):
    """A machine and a port."""

    host: str
    port: int  # 0: any that is free

    def __str__(self) -> str:
        """Return it as host:port."""
        return f"{self.host}:{self.port}"


def find_address(place: Place, nodes: int, variables: Mapping[str, str]) -> Address:
    """Return where the first process listens.

    Args:
        place: of this process.
        nodes: machines.
        variables: of the environment.

    Raises:
        UserError: this is not the first machine, and nothing says which one is.

    >>> find_address(Place(world=2), 1, {})
    Address(host='127.0.0.1', port=0)
    >>> find_address(Place(world=2, launcher="srun"), 2, {"SLURM_STEP_NODELIST": "gpu[07-09]", "SLURM_JOB_ID": "91234"})
    Address(host='gpu07', port=16234)
    """
    host, port = variables.get("MASTER_ADDR", ""), variables.get("MASTER_PORT", "")
    if port and not port.isdecimal():
        raise UserError(f"MASTER_PORT: must be a port, got {port!r}")
    if place.launcher == "srun":
        names = variables.get("SLURM_STEP_NODELIST") or variables.get("SLURM_NODELIST") or "127.0.0.1"
        number = variables.get("SLURM_JOB_ID", "0")[-4:]
        return Address(host or first_host(names), int(port or _SLURM_PORTS + int(number)))
    if place.rank and not (host and port):
        raise UserError(
            f"NODE_RANK is {place.node}: this is not the first of {nodes} machines; set MASTER_ADDR and MASTER_PORT to "
            "those of that one, which prints both when it starts"
        )
    return Address(host or ("127.0.0.1" if nodes == 1 else socket.gethostname()), int(port or 0))


def first_host(names: str) -> str:
    """Return the first machine of SLURM's list.

    >>> first_host("gpu[07-09,12],cpu3"), first_host("node5"), first_host("a1,a2")
    ('gpu07', 'node5', 'a1')
    """
    return re.sub(r"\[([^,\-\]]*)[^\]]*\]", r"\1", re.split(r",(?![^\[]*\])", names)[0])
