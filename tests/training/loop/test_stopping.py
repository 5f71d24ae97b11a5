"""Signals: counted, as many as asked for, and left to their handlers afterwards."""

from __future__ import annotations

import os
import signal

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


def test_after_the_last_signal_that_is_counted_another_one_ends_the_process() -> None:
    with SignalCounter("stopping", most=1) as counter:
        os.kill(os.getpid(), signal.SIGTERM)
        assert counter.requested
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        counter.listen()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
