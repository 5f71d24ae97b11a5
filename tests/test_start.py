"""What a command imports before its first message: nothing that takes seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_run import one_thread, write_tiny

# Each takes a tenth of a second or more, some seconds; none is needed to read flags, settings and an ensemble.
HEAVY = (
    *("torch", "timm", "torchvision", "lightning", "captum", "pandas", "sklearn", "skops", "joblib"),
    *(
        "matplotlib",
        "jinja2",
        "scipy.stats",
        "scipy.optimize",
        "scipy.sparse",
        "networkx",
        "fastapi",
        "hpa_hier.simulate.patterns",
    ),
)
_FIRST_MESSAGE = """
import sys
from hpa_hier.cli.main import dispatch

class First:
    def write(self, text):
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
        print(text.strip(), [name for name in {heavy} if name in sys.modules], sep="|")
        raise SystemExit(0)
    def flush(self): pass
    def isatty(self): return False

sys.stdout = sys.stderr = First()
dispatch({words})
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("start")
    for channel in ("red", "green", "blue", "yellow"):
        cv2.imwrite(str(folder / f"one_{channel}.png"), np.zeros((64, 64), np.uint8))
    write_tiny(folder, count=40)
    return folder


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["predict", "one_green.png"], "no run here has an ensemble: using the bundled one"),
        (["train", "--level", "leaf", "--config", "recipe.yaml"], "leaf: checking its settings and its data"),
        (["train", "--all", "--config", "recipe.yaml"], "checking the recipe's members and its data"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
def test_the_first_message_comes_before_anything_heavy_is_imported(
    folder: Path, words: list[str], message: str
) -> None:
    code = _FIRST_MESSAGE.format(heavy=HEAVY, words=words)
    command, root = [sys.executable, "-c", code], str(Path(__file__).resolve().parents[1])
    done = subprocess.run(
        command, cwd=folder, env={**one_thread(), "PYTHONPATH": root}, capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.stderr) == (f"{message}|[]", "")
