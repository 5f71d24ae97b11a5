"""Child: a command that asks itself to stop when the process that started it is gone.

The module is run with another one's name and arguments, as `-m` runs that one. Its standard input is a pipe that
only closes when the other end dies, by whatever signal.
"""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence

from hpa_hier.places.signals import ask_to_end, block_ctrl_c, wake_with_parent

EXIT_INTERRUPTED = 130


def start_child(
    words: Sequence[str], environment: Mapping[str, str], folder: str | None = None, log: int | None = None
) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own, where a terminal's Ctrl-C does not reach it.

    Args:
        words: a module and its arguments, as after `python -m`.
        environment: its variables.
        folder: where it runs; None: here.
        log: descriptor of a file that takes all it prints; None: it prints where this process does.

    Returns:
        The process. It stops when this process ends, or where its standard input is closed.
    """
    with block_ctrl_c():  # until `main`: it would end Python with a traceback while that starts
        return subprocess.Popen(
            [sys.executable, "-m", "hpa_hier.places.child", *words],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=environment,
        )


def main(arguments: list[str]) -> None:
    """Run a module as `python -m` does."""
    wake_with_parent()
    threading.Thread(target=_stop_at_end, args=(sys.stdin.fileno(),), daemon=True).start()
    sys.argv = arguments
    try:
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    except KeyboardInterrupt:  # before the command itself hears it
        print("interrupted", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)


def _stop_at_end(pipe: int) -> None:
    while os.read(pipe, 1):
        pass
    ask_to_end()


if __name__ == "__main__":
    main(sys.argv[1:])
