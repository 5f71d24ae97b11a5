"""Children: a stopped one is killed, in time or at Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from hpa_hier.training.processes.children import Children


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="nothing is stopped here")
@pytest.mark.parametrize("interrupted", [False, True])
def test_a_child_that_is_stopped_is_killed_in_time_or_at_ctrl_c(
    interrupted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    children = Children.__new__(Children)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as stopped:
        os.kill(stopped.pid, signal.SIGSTOP)
        children._processes = {"process 2 of 2": stopped}
        if interrupted:
            with monkeypatch.context() as patched:
                patched.setattr(stopped, "wait", _interrupt)
                with pytest.raises(KeyboardInterrupt):
                    children.close(60.0)
        else:
            children.close(0.1)
        assert stopped.wait(60) == -signal.SIGKILL


def _interrupt(seconds: float) -> int:
    raise KeyboardInterrupt
