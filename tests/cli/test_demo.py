"""The demo, in small: the whole way from simulated cells to a report, twice."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SMALL = [
    "--set", "simulate.count=240",
    "--set", "simulate.image_size=32",
    "--set", "data.image_size=32",
    "--set", "training.max_steps=3",
    "--set", "training.width=8",
    "--set", "report.heat_maps=0",
]  # fmt: skip


def _demo(folder: Path, *extra: str) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "-m", "hpa_hier.demo", *SMALL, "--set", f"artifacts={folder}", *extra]
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)


@pytest.mark.timeout(900)
def test_the_demo_ends_at_a_report_and_a_second_one_reuses_it(tmp_path: Path) -> None:
    first = _demo(tmp_path)
    assert first.returncode == 0, first.stdout + first.stderr
    report = tmp_path / "demo" / "report" / "index.html"
    assert first.stdout.splitlines()[-1].endswith(f"open {report}")
    *_, opening, _ = first.stdout.split("\n\n")
    assert opening.startswith("Simulated cells: none of this is evidence about real ones.")
    assert re.search(r"Of 100 images like these, \d+ \[\d+, \d+\] have the right group", opening)
    weights = {path: path.stat().st_mtime_ns for path in tmp_path.glob("demo/members/*/model.safetensors")}
    assert len(weights) == 7  # of eleven: so few images have no partition, and as many flat members are left out
    second = _demo(tmp_path)
    assert second.returncode == 0, second.stdout + second.stderr
    assert {path: path.stat().st_mtime_ns for path in weights} == weights


def test_a_step_that_fails_ends_the_demo_with_its_status_and_place(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "images").write_text("in the way")
    failed = _demo(tmp_path)
    assert failed.returncode == 2
    assert "the step 'simulate cells' ended with status 2" in failed.stderr
