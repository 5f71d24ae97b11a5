"""Hosts on this machine: each has a network, a name and processes of its own, and all see one disk."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from shutil import which

ROOT = Path(__file__).resolve().parents[1]
NET = "10.213.77"
APART = ("unshare", "--uts", "--pid", "--fork")


def may_make_hosts() -> bool:
    """Whether this machine lets this process make hosts: Linux, as root, with `ip` and `unshare`."""
    if not which("ip") or not which("unshare"):
        return False
    done = subprocess.run([*APART, "--net", "true"], capture_output=True, check=False)
    return done.returncode == 0


@dataclass
class Host:
    """A host: a name, an address, and what runs on it."""

    name: str
    space: str
    address: str
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, words: Sequence[object], log: Path) -> subprocess.Popen[str]:
        """Start a command on it, in a process space of its own whose end is the end of all that it has started."""
        line = ["ip", "netns", "exec", self.space, *APART, "--kill-child", "--mount-proc"]
        shell = ["sh", "-c", f'hostname {self.name}; exec "$@"', "sh", *map(str, words)]
        named = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}
        with log.open("a") as file:
            process = subprocess.Popen([*line, *shell], stdout=file, stderr=file, env=named, text=True)
        self.running.append(process)
        return process

    def list_commands(self) -> list[str]:
        """List the command lines of the processes that run on it."""
        own, found = Path("/run/netns", self.space).stat().st_ino, []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if (folder / "ns" / "net").stat().st_ino == own:
                    found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        return found

    def lose_power(self) -> None:
        """End all that runs on it, without a word to anybody."""
        self.pull_cable()
        for process in self.running:
            process.kill()
            process.wait(60)

    def pull_cable(self) -> None:
        """Take it off the net; what runs on it goes on."""
        _ip("-n", self.space, "link", "set", "eth0", "down")

    def plug_in(self) -> None:
        """Put it on the net again."""
        _ip("-n", self.space, "link", "set", "eth0", "up")


class Hosts(dict[str, Host]):
    """Hosts on one net, by name; a context."""

    def __init__(self, names: Sequence[str]) -> None:
        mark = uuid.uuid4().hex[:6]
        super().__init__({name: Host(name, f"{mark}-{name}", f"{NET}.{k}") for k, name in enumerate(names, 1)})
        self._switch = f"{mark}-switch"

    def __enter__(self) -> Hosts:
        """Make them."""
        _ip("netns", "add", self._switch)
        _ip("-n", self._switch, "link", "add", "net", "type", "bridge")
        _ip("-n", self._switch, "link", "set", "net", "up")
        for host in self.values():
            port = f"to-{host.name}"
            _ip("netns", "add", host.space)
            _ip("-n", host.space, "link", "add", "eth0", "type", "veth", "peer", "name", port, "netns", self._switch)
            _ip("-n", self._switch, "link", "set", port, "master", "net", "up")
            _ip("-n", host.space, "addr", "add", f"{host.address}/24", "dev", "eth0")
            for link in ("lo", "eth0"):
                _ip("-n", host.space, "link", "set", link, "up")
        return self

    def __exit__(self, *_: object) -> None:
        """Remove them, and end what runs there."""
        for host in self.values():
            for process in host.running:
                process.kill()
                process.wait(60)
        for space in (*(host.space for host in self.values()), self._switch):
            subprocess.run(["ip", "netns", "delete", space], capture_output=True, check=False)


def dask(*words: str) -> list[str]:
    """Return a command of Dask as this Python has it."""
    return [sys.executable, "-m", "dask", *words, "--no-dashboard"]


def hpa_hier(*words: object) -> list[str]:
    """Return a command of this package."""
    return [sys.executable, "-m", "hpa_hier", *map(str, words)]


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)
