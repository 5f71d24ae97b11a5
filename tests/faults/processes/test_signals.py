"""R10 at full size: signals at random moments."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from faults import figures
from faults.tally import Tally
from faults.world import World

pytestmark = [pytest.mark.faults, pytest.mark.timeout(7200)]


def test_signals(world: World, tmp_path: Path) -> None:
    rng, tally = random.Random(1), Tally()
    for number in range(figures.scale(60)):
        there = world.copy(tmp_path / "world")
        words = (
            ["data", "simulate", "--out", there.home / "sim", "--count", 400, "--size", 32, "--workers", 1],
            there.train_words("leaf", "--restart", "--set", "training.epochs=400"),
            there.ensemble_words("fit"),
            there.predict_words(),
        )[number % 4]
        which = (signal.SIGINT, signal.SIGTERM)[number // 4 % 2]
        right, what = _interrupt([str(word) for word in words], which, rng.uniform(0.05, 4.0))
        tally.add(right, what)
    promise = "R10 SIGINT or SIGTERM at a random moment: ends within 10 s without a traceback, and leaves no process"
    figures.keep("R10-signals", promise, tally, "test_signals")


def _interrupt(words: list[str], number: signal.Signals, after: float) -> tuple[bool, str]:
    command = [sys.executable, "-m", "hpa_hier", *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as child:
        time.sleep(after)
        child.send_signal(number)
        try:
            text, _ = child.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            return False, f"{words[:2]}: not ended 10 s after {number.name}"
    time.sleep(1.0)
    left = subprocess.run(["pgrep", "-s", str(child.pid), "-a"], capture_output=True, text=True, check=False).stdout
    processes = [line for line in left.splitlines() if "resource_tracker" not in line]
    begun = "hpa_hier/cli" in text  # a signal may come before Python has got to the command
    ends = (0, 1, 130, 143, -signal.SIGTERM, -signal.SIGINT)
    fine = child.returncode in ends and not (begun and "Traceback" in text)
    return (
        fine and not processes,
        f"{words[:2]}: {number.name} after {after:.1f} s: {child.returncode} {text[-300:]} {processes}",
    )
