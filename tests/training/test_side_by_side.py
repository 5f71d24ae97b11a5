"""Members side by side: one whose fork server was killed is told as what it is; the server ends with a stop."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from hpa_hier.training.loop.stopping import SignalCounter
from hpa_hier.training.side_by_side import Job, _describe_end, _end_server, _start, _Training


@pytest.mark.parametrize(
    ("word", "status", "line"),
    [(0, 0, "the last line"), (130, 130, "leaf: stopped"), (None, -9, "leaf: failed, killed by SIGKILL; log: ")],
)
def test_a_member_trains_on_without_its_fork_server_and_then_ends_as_it_says(
    word: int | None, status: int, line: str, tmp_path: Path
) -> None:
    log = tmp_path / "train.log"
    log.write_text("the last line\n")
    receiver, sender = multiprocessing.Pipe(duplex=False)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as child:
        # What multiprocessing has of a process whose fork server is gone.
        gone = SimpleNamespace(is_alive=lambda: False, exitcode=255, pid=child.pid)
        process = cast("multiprocessing.process.BaseProcess", gone)
        training = _Training(Job("leaf", None, (), False, 1, log), "cpu", process, receiver)
        sender.send(0.5)
        assert training.listen() == [0.5]
        assert not training.has_ended()
        training.send(signal.SIGTERM)
        assert child.wait(60) == -signal.SIGTERM
    if word is not None:
        sender.send(word)
    sender.close()
    assert training.listen() == []
    assert training.has_ended()
    told, said = _describe_end(training, stop_requested=False)
    assert (told, said.startswith(line)) == (status, True)


@pytest.mark.skipif("forkserver" not in multiprocessing.get_all_start_methods(), reason="nothing is forked here")
def test_a_fork_server_in_the_middle_of_its_imports_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setattr(forkserver, "_forkserver", server := forkserver.ForkServer())
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]))
    server.set_forkserver_preload(["slow"])
    server.ensure_running()
    number = server._forkserver_pid
    _end_server()
    assert os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]) == -signal.SIGTERM
    _end_server()  # it is gone, and that is no error


class Stopping(SignalCounter):
    """Is told to stop while something is done, by no signal."""

    @contextmanager
    def doing(self, action: Callable[[], None]) -> Iterator[None]:
        def stop() -> None:
            self.count = 1
            action()

        threading.Timer(0.3, stop).start()
        yield


@pytest.mark.skipif("forkserver" not in multiprocessing.get_all_start_methods(), reason="nothing is forked here")
def test_a_stop_in_the_middle_of_a_fork_servers_imports_is_not_kept_waiting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(600)\n")
    server = forkserver.ForkServer()
    for name, own in (
        ("_forkserver", server),
        ("ensure_running", server.ensure_running),
        ("connect_to_new_process", server.connect_to_new_process),
    ):
        monkeypatch.setattr(forkserver, name, own)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]))
    server.set_forkserver_preload(["slow"])
    job = Job("leaf", None, (), False, 1, tmp_path / "leaf" / "train.log")
    assert _start(multiprocessing.get_context("forkserver"), job, "cpu", Stopping("")) is None
    assert os.waitstatus_to_exitcode(os.waitpid(server._forkserver_pid, 0)[1]) == -signal.SIGTERM
    asked_before = Stopping("")
    asked_before.count = 1
    assert _start(multiprocessing.get_context("spawn"), job, "cpu", asked_before) is None
