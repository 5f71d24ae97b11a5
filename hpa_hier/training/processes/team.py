"""Team: the processes that train one member together meet, take turns, and end together.

The first process alone writes files. What has to be decided it decides, and the others are told; what has to be read
they read after it. They meet at a store of torch's: the first process holds it, or torchrun does.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from threading import Timer
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from hpa_hier.errors import UserError
from hpa_hier.training.processes.address import Address, find_address
from hpa_hier.training.processes.children import INTERRUPTED, Children, watch_parent
from hpa_hier.training.processes.place import Place, find_place

if TYPE_CHECKING:
    import torch
    from torch.distributed import Store  # type: ignore[attr-defined]

_POLL = 0.05  # seconds between two looks at the store
_GRACE = 5.0  # seconds in which a process ends by itself, after another one has
_BUILDING = 120.0  # seconds for torch to connect processes that are all there
_QUIET = 15.0  # seconds of waiting before that is said
_STOPPED = 2  # exit status
_ENDED, _FAILED, _INTERRUPTED = "ended", "failed", "interrupted"  # keys of the store

T = TypeVar("T")


class Team:
    """All processes of one training, seen from this one; a process alone is a team too, and waits for nobody.

    As a context it lets the processes meet, and ends those that it started.

    Args:
        place: of this process.
        devices: processes of a machine.
        name: the member's, for messages.
        wait: seconds that processes wait for each other at the start.
        words: of `hpa-hier train`, which started processes repeat.
        typed: the whole command, as the user types it on other machines.
    """

    def __init__(
        self,
        place: Place,
        devices: int = 1,
        name: str = "",
        wait: float = 0,
        words: Sequence[str] = (),
        typed: str = "",
    ) -> None:
        self.place, self._devices, self._name, self._wait = place, devices, name, wait
        self._words, self._typed = words, typed
        self._store: Store | None = None
        self._children: Children | None = None
        self._lost, self._left, self._turn = "", False, 0
        self.address = Address("127.0.0.1", 0)

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and prints lines."""
        return self.place.rank == 0

    @property
    def several(self) -> bool:
        """Whether there are others."""
        return self.place.world > 1

    def after_first(self, do: Callable[[], T]) -> T:
        """Do something once the first process has done it, and return what it gives here."""
        if not self.several:
            return do()
        self._turn += 1
        key = f"turn/{self._turn}"
        if self.first:
            result = do()
            self._set(key, "done")
            return result
        self._await(key)
        return do()

    def agree(self, say: Callable[[], str]) -> str:
        """Return in every process what the first one says."""
        if not self.several:
            return say()
        self._turn += 1
        key = f"turn/{self._turn}"
        if self.first:
            text = say()
            self._set(key, text)
            return text
        return self._await(key)

    def join_group(self, device: torch.device) -> None:
        """Open the group in which the processes exchange gradients, once."""
        from torch import distributed

        if not self.several or distributed.is_initialized():
            return
        kind = {"cuda": "nccl"}.get(device.type, "gloo")
        own = device if device.type == "cuda" else None
        self._meet_at("group")  # one that reads its data longer is waited for here, where it is seen to end
        # A connection of its own, which torch holds while it builds: over this one, another's end is still told. Torch
        # would wait for a dead process for half an hour, as long as for a step later on.
        store = distributed.PrefixStore("group", self._connect(serve=False))  # type: ignore[attr-defined]
        late = Timer(_BUILDING, self._lose, [f"the processes did not connect within {_BUILDING:g} s"])
        late.daemon = True
        late.start()
        try:
            distributed.init_process_group(
                kind, store=store, rank=self.place.rank, world_size=self.place.world, device_id=own
            )
        finally:
            late.cancel()

    def explain(self, error: Exception) -> UserError | None:
        """Say of an error that another process has ended, where that is why; None where it is an error of its own."""
        from torch import distributed

        of_group = isinstance(error, distributed.DistError) or "gloo" in str(error) or "NCCL" in str(error)
        if not (self.several and of_group):
            return None
        self._forget_gone_store()
        deadline = time.monotonic() + (_GRACE if self._store is not None else 0)
        while not (why := self._lost or self._get(_FAILED)) and time.monotonic() < deadline:
            if not self.first and self._get(_ENDED) is not None:
                raise SystemExit(_STOPPED)  # the first process says why
            time.sleep(_POLL)
            self._forget_gone_store()
            if self._store is None:
                break
        if not self.first and self._get(_ENDED) is not None:
            raise SystemExit(_STOPPED)
        gone = "the first process is gone" if self._store is None else "the connection to another process broke off"
        if not self._speaks():
            raise SystemExit(_STOPPED)
        return self._ending(why or gone)

    def __enter__(self) -> Team:
        if self.several:
            try:
                self._meet()
            except BaseException as error:
                self._end(error)
                raise
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.several:
            self._end(error)

    def _meet(self) -> None:
        """Open the store and wait until all processes are there."""
        watch_parent(self._lose)  # first: a process that is gone would be waited for
        place = self.place
        nodes = place.world // self._devices
        self.address = find_address(place, nodes, os.environ)
        served = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True" and not place.starts_others
        self._store = self._connect(serve=place.rank == 0 and not served)
        if place.starts_others and self._devices > 1:
            self._children = Children(self._words, place, self._devices, self.address, self._lose)
        if self.first and not place.launcher and nodes > 1:
            print(self._invite(nodes), file=sys.stderr, flush=True)
        self._set(f"here/{place.rank}", socket.gethostname())
        if self.first:
            self._wait_for_all()
            self._set("all here", "yes")
        else:
            self._await("all here")

    def _meet_at(self, key: str) -> None:
        """Wait until all processes have come to the same point, or one has ended."""
        self._set(f"{key}/{self.place.rank}", "here")
        if not self.first:
            self._await(key)
            return
        while any(self._get(f"{key}/{rank}", strict=True) is None for rank in range(self.place.world)):
            self._check_others()
            time.sleep(_POLL)
        self._set(key, "all here")

    def _check_others(self) -> None:
        """End a wait for others, of which one is gone, has failed, or was interrupted before this one heard of it."""
        if why := self._lost or self._get(_FAILED):
            raise self._ending(why)
        if who := self._get(_INTERRUPTED):
            print(f"{self._name}: {who} was interrupted", file=sys.stderr, flush=True)
            raise KeyboardInterrupt

    def _connect(self, serve: bool) -> Store:
        """Return a connection to the store, or the store itself."""
        from torch import distributed

        if not serve:
            self._knock()
        try:
            store = distributed.TCPStore(  # type: ignore[attr-defined]
                self.address.host, self.address.port, None, serve, timedelta(seconds=60), wait_for_workers=False
            )
        except (RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0][:160]
            raise UserError(
                f"{self._name}: no connection at {self.address} ({reason}); name another free port with MASTER_PORT"
            ) from None
        self.address = Address(self.address.host, store.port)
        # What a torchrun keeps of an attempt that failed must not be met by the next one.
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        return distributed.PrefixStore(f"hpa_hier/{attempt}", store)  # type: ignore[attr-defined]

    def _knock(self) -> None:
        """Wait until the first process listens; torch itself would not hear Ctrl-C meanwhile."""
        deadline, reason = time.monotonic() + self._wait, ""
        while time.monotonic() < deadline:
            if self._lost:
                raise self._ending(self._lost)
            try:
                socket.create_connection(self.address, timeout=2).close()
            except OSError as error:
                reason = str(error)
                time.sleep(_POLL)
            else:
                return
        raise UserError(
            f"{self._name}: {self.place.describe()} waited {self._wait:g} s (training.wait) for the first one at "
            f"{self.address} ({reason}); start that one too, or correct MASTER_ADDR and MASTER_PORT"
        )

    def _invite(self, nodes: int) -> str:
        others, here = nodes - 1, self.address
        count = others * self._devices
        who = f"{count} process{'es' if count > 1 else ''} of {others} other machine{'s' if others > 1 else ''}"
        each = f", with NODE_RANK 1 to {others}" if others > 1 else ""
        return (
            f"{self._name}: waiting up to {self._wait:g} s for {who}, at {here}. Start there{each}:\n"
            f"  NODE_RANK=1 MASTER_ADDR={here.host} MASTER_PORT={here.port} {self._typed}"
        )

    def _wait_for_all(self) -> None:
        start, said = time.monotonic(), False
        while missing := [rank for rank in range(self.place.world) if self._get(f"here/{rank}") is None]:
            waited = time.monotonic() - start
            names = ", ".join(str(rank + 1) for rank in missing[:8]) + (", …" if len(missing) > 8 else "")
            who = f"process{'es' if len(missing) > 1 else ''} {names} of {self.place.world}"
            self._check_others()
            if waited > self._wait:
                raise UserError(
                    f"{self._name}: waited {self._wait:g} s (training.wait) at {self.address} for {who}, which did not "
                    f"come; {self._advise()}"
                )
            if waited > _QUIET and not said:
                said = True
                print(f"{self._name}: waiting up to {self._wait:g} s for {who}", file=sys.stderr, flush=True)
            time.sleep(_POLL)

    def _advise(self) -> str:
        if self.place.launcher == "srun":
            return "start the command by srun, with --nodes as training.nodes and --ntasks-per-node as training.devices"
        if self.place.launcher or self.place.world == self._devices:
            return "start as many as training.devices and training.nodes ask for"
        return "start the command on every machine, by torchrun or srun or as said above, or set training.nodes=1"

    def _await(self, key: str) -> str:
        """Wait for what the first process says; leave where it has ended."""
        while True:
            text, ended = self._get(key, strict=True), self._get(_ENDED, strict=True)
            if text is not None:
                return text
            if ended is not None:
                raise SystemExit(_STOPPED)
            if self._lost:
                raise self._ending(self._lost)
            time.sleep(_POLL)

    def _lose(self, why: str) -> None:
        """Note, in a thread, that a process is gone; end this one where its training does not notice."""
        self._lost = why
        self._set(_FAILED, why)
        time.sleep(2 * _GRACE)
        if self._left:
            return
        if self._speaks():
            os.write(2, f"error: {self._ending(why)}\n".encode())
        if self._children:
            self._children.close(0)
        os._exit(_STOPPED)

    def _speaks(self) -> bool:
        """Whether this process tells of another one that is gone: of those that this program started, one."""
        return self.place.launcher != "hpa_hier" or self.place.local_rank == 1

    def _ending(self, why: str) -> UserError:
        return UserError(f"{self._name}: {why}, so the training stopped; the same command resumes it")

    def _end(self, error: BaseException | None) -> None:
        """Tell the others how this process ends, and let them end."""
        self._left = True
        if error is not None:
            self._forget_gone_store()
        if self.first:
            self._set(_ENDED, "done" if error is None else "error")
            if self._children:
                self._children.close(_GRACE)
            self._wait_for_leaving()
        elif isinstance(error, UserError):
            self._leave(str(error))
        elif isinstance(error, KeyboardInterrupt):
            self._set(_INTERRUPTED, f"{self.place.describe()}, on {socket.gethostname()},")
        self._set(f"left/{self.place.rank}", "yes")
        if error is None:
            from torch import distributed

            if distributed.is_initialized():
                distributed.destroy_process_group()
        self._store = None
        if self._children:
            self._children.close(_GRACE)
        if isinstance(error, KeyboardInterrupt) and not self.first:
            raise SystemExit(INTERRUPTED)

    def _leave(self, message: str) -> None:
        """Have the first process tell of an error; where it does not hear, return, and this process tells it."""
        if self._get(_FAILED) is None:
            self._set(_FAILED, f"{self.place.describe()}, on {socket.gethostname()}: {message}")
        deadline = time.monotonic() + _GRACE
        while self._store is not None and time.monotonic() < deadline:
            if self._get(_ENDED) is not None:
                self._set(f"left/{self.place.rank}", "yes")
                raise SystemExit(_STOPPED)
            time.sleep(_POLL)
        if not self._speaks():
            raise SystemExit(_STOPPED)

    def _wait_for_leaving(self) -> None:
        """Hold the store until the others have seen that the training ended."""
        deadline = time.monotonic() + _GRACE
        here = [rank for rank in range(1, self.place.world) if self._get(f"here/{rank}") is not None]
        while time.monotonic() < deadline and not (self._lost or self._get(_FAILED) is not None):
            if all(self._get(f"left/{rank}") is not None for rank in here):
                return
            time.sleep(_POLL)

    def _forget_gone_store(self) -> None:
        """Leave the store alone where its process is gone; torch would print a page at each attempt."""
        if not self.first:
            try:
                socket.create_connection(self.address, timeout=2).close()
            except OSError:
                self._store = None

    def _set(self, key: str, text: str) -> None:
        if self._store is not None:
            try:
                self._store.set(key, text)
            except RuntimeError:  # it is gone with the first process, which others notice at a wait
                self._store = None

    def _get(self, key: str, strict: bool = False) -> str | None:
        """Return what was set; None where nothing was, and, unless strict, where the store is gone."""
        if self._store is None:
            if strict:
                raise self._ending(self._lost or "the first process is gone")
            return None
        try:
            return self._store.get(key).decode() if self._store.check([key]) else None
        except RuntimeError:
            self._store = None
            if strict:
                raise self._ending(self._lost or "the first process is gone") from None
            return None


ALONE = Team(Place())


def form_team(devices: int, nodes: int, name: str, wait: float, words: Sequence[str], typed: str) -> Team:
    """Return the team of one member's training, its processes still to meet.

    Args:
        devices: processes of a machine, as training.devices.
        nodes: machines, as training.nodes.
        name: the member's.
        wait: seconds that processes wait for each other.
        words: of `hpa-hier train`, which started processes repeat.
        typed: the whole command, as the user types it.

    Raises:
        UserError: another number of processes was started than is asked for.
    """
    try:
        place = find_place(devices, nodes, os.environ)
    except UserError:
        leave_word_to_first()
        raise
    return Team(place, devices, name, wait, words, typed)


def leave_word_to_first() -> None:
    """End this process, unless it is the first of several; its launcher ends it sooner, when the first has spoken."""
    rank = os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or "0"
    if rank.isdecimal() and int(rank) > 0:
        time.sleep(2 * _GRACE)
        raise SystemExit(_STOPPED)
