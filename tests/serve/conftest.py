"""One server for the tests of this room, on a small run whose members need no networks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ensemble_run import SmallRun, write_images
from small_server import Running, run_server, without_networks

from hpa_hier.predict.fit_run import fit_run
from hpa_hier.serve.safety.limits import Limits
from hpa_hier.serve.service import Plan

LIMITS = ["files=40", "file_bytes=2m", "form_bytes=8m", "json_bytes=64k", "idle_seconds=3", "seconds_per_image=20"]


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, with images below `plates`, and for corrections."""
    folder = tmp_path_factory.mktemp("serve")
    write_images(folder / "plates" / "p1", 3)
    return folder


@pytest.fixture(scope="session")
def small(home: Path) -> SmallRun:
    """The run, with an ensemble."""
    run = SmallRun(home)
    fit_run(run.run)
    return run


@pytest.fixture(scope="session")
def served(home: Path, small: SmallRun) -> Iterator[Running]:
    """The server; tests leave no job of theirs unfinished."""
    plan = Plan(
        runs=(str(small.folder),),
        artifacts=home / "artifacts",
        roots=Plan.check_roots([home / "plates"]),
        corrections=home / "corrections",
        limits=Limits.parse([*LIMITS, "header_bytes=16k", "clients_jobs=12", "job_images=60"]),
    )
    with without_networks(small), run_server(plan) as running:
        yield running
