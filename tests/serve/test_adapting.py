"""Adapting: the command of the corrections as a process, followed and stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_server import Running, run_server

from hpa_hier.serve.adapting import Adapting
from hpa_hier.serve.corrections import Corrections, adapt_command
from hpa_hier.serve.safety.refusal import Refusal
from hpa_hier.serve.service import Plan


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Return what makes a command of a program."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)

    def write(code: str) -> str:
        (tmp_path / "adapts.py").write_text(code)
        return "python -m adapts"

    return write


def follow(adapting: Adapting, seconds: float = 30) -> dict[str, Any]:
    ends = time.monotonic() + seconds
    while (told := adapting.to_json())["state"] == "running" and time.monotonic() < ends:
        time.sleep(0.02)
    return told


def test_what_it_prints_is_told_and_what_it_made_is_offered(tmp_path: Path, python: Callable[[str], str]) -> None:
    adapting, made = Adapting(), []
    code = f"import os; print('caution: \\x1b[31mred'); os.mkdir({str(tmp_path / 'new')!r})"
    adapting.start("small", python(code), tmp_path / "new", made.append)
    told = follow(adapting)
    assert (told["state"], told["result"], told["lines"]) == ("done", "new", ["caution: [31mred"])
    assert made == [tmp_path / "new"]


def test_its_error_is_told(tmp_path: Path, python: Callable[[str], str]) -> None:
    adapting = Adapting()
    adapting.start("small", python("import sys; sys.exit('error: too few; give more')"), tmp_path / "new", print)
    told = follow(adapting)
    assert (told["state"], told["error"]) == ("failed", "too few; give more")


def test_one_at_a_time_and_cancelled_as_by_ctrl_c(tmp_path: Path, python: Callable[[str], str]) -> None:
    adapting, mark = Adapting(), tmp_path / "cleaned"
    code = (
        "import time\ntry:\n print('at work', flush=True); time.sleep(60)\n"
        f"except KeyboardInterrupt:\n open({str(mark)!r}, 'w')"
    )
    line = python(code)
    adapting.start("small", line, tmp_path / "new", print)
    with pytest.raises(Refusal, match="being adapted already"):
        adapting.start("small", line, tmp_path / "new", print)
    while "at work" not in adapting.to_json()["lines"]:
        threading.Event().wait(0.02)
    adapting.cancel()
    assert adapting.to_json()["state"] == "cancelled"
    assert mark.is_file()


def test_it_ends_where_the_server_is_killed(tmp_path: Path, python: Callable[[str], str]) -> None:
    at_work, cleaned = tmp_path / "at_work", tmp_path / "cleaned"
    line = python(
        "import pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))\n"
        f"try:\n pathlib.Path({str(at_work)!r}).touch(); time.sleep(60)\n"
        f"finally:\n pathlib.Path({str(cleaned)!r}).touch()"
    )
    server = (
        "import pathlib, time; from hpa_hier.serve.adapting import Adapting\n"
        f"Adapting().start('small', {line!r}, pathlib.Path({str(tmp_path / 'new')!r}), print); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", server]) as process:
        wait_for(at_work)
        process.send_signal(signal.SIGKILL)
    wait_for(cleaned)


def wait_for(path: Path, seconds: float = 30) -> None:
    ends = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < ends, f"{path.name} did not come"
        time.sleep(0.02)


def test_the_command_names_a_run_that_is_not_there_yet(served: Running, tmp_path: Path) -> None:
    listed, kept = served.service.choose(None), Corrections(tmp_path / "kept")
    line, out = adapt_command(listed, kept, tmp_path, None, ["yellow"])
    assert out == tmp_path / "small-corrected"
    assert "--may-be-missing yellow" in line
    out.mkdir()
    assert adapt_command(listed, kept, tmp_path, None)[1].name == "small-corrected-2"
    with pytest.raises(Refusal, match="is there already"):
        adapt_command(listed, kept, tmp_path, "small-corrected")
    with pytest.raises(Refusal, match="cannot be a run's name"):
        adapt_command(listed, kept, tmp_path, "../out")


def test_without_corrections_there_is_nothing_to_adapt_to(served: Running) -> None:
    answer = served.client.post("/adapt", json={"ensemble": "smal"})
    assert answer.status_code == 404
    assert served.client.get("/adapt").json() == {"state": "none"}


@pytest.mark.slow
def test_corrected_real_fields_make_an_ensemble_that_answers(shared_data: Path, tmp_path: Path) -> None:
    import csv

    with (shared_data / "hpa" / "train.csv").open(newline="") as file:
        labels = {row["Id"]: row["Target"].split() for row in csv.DictReader(file)}
    plan = Plan(
        runs=("pretrained",),
        artifacts=tmp_path / "artifacts",
        roots=Plan.check_roots([shared_data / "hpa"]),
        corrections=tmp_path / "corrections",
    )
    with run_server(plan) as server:
        job = server.client.post("/jobs", json={"paths": ["complete"]}).json()
        assert server.finish(job, 200)["state"] == "done"
        rows = server.client.get(f"/jobs/{job['job']}/samples").json()["samples"]
        for row in rows[:20]:
            url = f"/jobs/{job['job']}/samples/{row['key']}/correction"
            assert server.client.put(url, json={"labels": labels[row["id"]]}).status_code == 200
        started = server.client.post("/adapt", json={"ensemble": "pretrained"}).json()
        assert started["command"] == server.client.get("/corrections/pretrained").json()["command"]
        told = follow(server.service.adapting, 250)
        assert (told["state"], told["result"]) == ("done", "pretrained-corrected"), told
        assert any(line.startswith("On 20 labelled real images") for line in told["lines"])
        ensembles = server.client.get("/ensembles").json()["ensembles"]
        new = next(one for one in ensembles if one["name"] == "pretrained-corrected")
        assert "20 real images" in " ".join(new["learned_from"])
        again = server.client.post("/jobs", json={"paths": ["complete"], "ensemble": "pretrained-corrected"}).json()
        assert server.finish(again, 250)["state"] == "done"
        assert again["warnings"] == [new["caution"]]
