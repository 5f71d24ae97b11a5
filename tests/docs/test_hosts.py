"""Several hosts on one disk: the same members as on one, also where a host loses its power, or its net."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from hosts import Host, Hosts, dask, hpa_hier, may_make_hosts
from tiny_run import write_tiny

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
PORT = 8786
EPOCHS = 12


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    """A host with a scheduler, and two with a worker each."""
    pytest.importorskip("distributed")
    if not may_make_hosts():
        pytest.skip("no right to make hosts")
    with Hosts(["desk", "one", "two"]) as made:
        at, log = made["desk"].address, tmp_path / "dask.log"
        made["desk"].start(dask("scheduler", "--host", at, "--port", str(PORT)), log)
        for name in ("one", "two"):
            made[name].start(dask("worker", f"{at}:{PORT}", "--nworkers", "1", "--nthreads", "1"), log)
        yield made


def write_run(home: Path) -> list[str]:
    members = [{"name": f"leaf-s{seed}", "level": "leaf", "seed": seed} for seed in range(3)]
    recipe = write_tiny(home, training={"epochs": EPOCHS}, members=members)
    return ["train", "--all", "--config", str(recipe), "--device", "cpu", "--no-progress"]


def hash_members(home: Path) -> dict[str, str]:
    members = home.glob("artifacts/*/members/*")
    files = [member / name for member in members for name in ("model.safetensors", "scores.npz")]
    return {f"{path.parent.name}/{path.name}": sha256(path.read_bytes()).hexdigest() for path in files}


def wait_for_epoch(home: Path, host: Host, log: Path) -> None:
    """Wait until a member that a host trains has done some epochs."""
    until = time.monotonic() + 300
    while time.monotonic() < until:
        for history in home.glob("artifacts/tiny/members/*/history.csv"):
            name = history.parent.name
            here = any("hpa_hier.places.child" in line and f"--member {name} " in line for line in host.list_commands())
            if here and len(history.read_text().splitlines()) > 2:
                return
        time.sleep(0.05)
    raise AssertionError(f"{host.name} has trained nothing: {log.read_text()[-2000:]}")


@pytest.mark.parametrize("fault", ["none", "power", "net", "net for five seconds"])
def test_members_on_two_hosts_are_those_of_one_also_where_a_host_is_lost(
    hosts: Hosts, tmp_path: Path, fault: str
) -> None:
    here = subprocess.run(hpa_hier(*write_run(tmp_path / "here"), "--jobs", "1"), capture_output=True, check=False)
    assert here.returncode == 0
    log = tmp_path / "train.log"
    words = [*write_run(tmp_path / "there"), "--backend", f"dask://{hosts['desk'].address}:{PORT}"]
    command = hosts["desk"].start(hpa_hier(*words), log)
    if fault != "none":
        wait_for_epoch(tmp_path / "there", hosts["one"], log)
        hosts["one"].lose_power() if fault == "power" else hosts["one"].pull_cable()
    if fault == "net for five seconds":
        time.sleep(5)
        hosts["one"].plug_in()
    assert command.wait(600) == 0, log.read_text()[-3000:]
    assert hash_members(tmp_path / "there") == hash_members(tmp_path / "here")
    assert len(hash_members(tmp_path / "there")) == 2 * 3
