"""Signals: counted, as many as asked for, and left to their handlers afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hpa_hier.training.loop.stopping import SignalCounter


def test_signals_are_counted_and_the_first_one_prints_the_message(capfd: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with SignalCounter("stopping") as counter:
        assert not counter.requested
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)
        assert (counter.count, counter.requested) == (3, True)
    assert capfd.readouterr().err == "\nstopping\n"
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_is_to_be_done_at_a_signal_is_done_at_each_and_no_longer() -> None:
    heard = list[int]()
    with SignalCounter("") as counter:
        with counter.doing(lambda: heard.append(counter.count)):
            counter._note(signal.SIGINT, None)
            counter._note(signal.SIGTERM, None)
        counter._note(signal.SIGINT, None)
    assert heard == [1, 2]


def test_after_the_last_signal_that_is_counted_another_one_ends_the_process() -> None:
    with SignalCounter("stopping", most=1) as counter:
        os.kill(os.getpid(), signal.SIGTERM)
        assert counter.requested
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        counter.listen()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL


_STUCK = """
import ctypes
from hpa_hier.training.loop.stopping import SignalCounter
system, lock = ctypes.CDLL(None), ctypes.create_string_buffer(64)
with SignalCounter("stopping", most=1):
    system.pthread_mutex_lock(lock)
    print("stuck", flush=True)
    system.pthread_mutex_lock(lock)  # as a library does that waits for another process: no signal ends it
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a lock of another system is no 64 zeros")
def test_a_second_signal_ends_a_process_whose_main_thread_hears_none() -> None:
    with subprocess.Popen([sys.executable, "-c", _STUCK], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "stuck\n"
        while Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "S":  # it sleeps
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 130


def test_what_hears_signals_is_closed_with_its_counter() -> None:
    with SignalCounter("stopping", most=1) as counter:
        heard = counter._heard
    assert signal.set_wakeup_fd(-1) == -1
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(heard)
