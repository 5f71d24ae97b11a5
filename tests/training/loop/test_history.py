"""The history: its columns, and which epoch is best."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tiny_run import train_tiny

from hpa_hier.runs.manifest import read_manifest
from hpa_hier.training.loop.history import Watch


def test_macro_and_sample_f1_can_be_watched_together_and_stand_in_the_history(tmp_path: Path) -> None:
    watch = Watch("macro_sample_f1")
    assert watch.improves(0.6, 0.5)
    assert not watch.improves(0.4, 0.5)
    plan = train_tiny(tmp_path, stop_on="macro_sample_f1")
    header, *rows = (line.split(",") for line in (plan.folder / "history.csv").read_text().splitlines())
    watched = [float(row[header.index("calibration_macro_sample_f1")]) for row in rows]
    assert read_manifest(plan.folder).best_epoch == 1 + int(np.argmax(watched))
    assert header[-1] == "seconds"
