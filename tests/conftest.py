"""What tests of several rooms share."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as where a shell started this in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what is started from here would be deaf to Ctrl-C

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the checkout; tests that need it are skipped where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}")
    return folder
