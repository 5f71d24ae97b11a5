"""What tests of several rooms share."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import examples  # noqa: F401 - registers the profiles of hypothesis
import pytest

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"
os.environ["TORCH_CPP_LOG_LEVEL"] = "ERROR"  # as the commands set it

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as where a shell started this in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what is started from here would be deaf to Ctrl-C

ROOT = Path(__file__).resolve().parents[1]


# Files of few tests that take half a minute or more: they are started first, so that none is left running at the end.
SLOWEST = (
    "test_readme.py",
    "cli/test_run.py",
    "cli/test_demo.py",
    "cli/test_train.py",
    "training/loop/test_checkpoint.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the slowest files before all others."""
    place = {str(ROOT / "tests" / name): number for number, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: place.get(str(item.path), len(place)))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the checkout; tests that need it are skipped where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}")
    return folder
