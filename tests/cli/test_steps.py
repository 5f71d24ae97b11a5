"""Steps: what is finished is passed over, what fails ends the way, a stop saves, a time limit lets the way go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hpa_hier.cli.steps import Step, run_steps
from hpa_hier.errors import UserError
from hpa_hier.files.faults.begun import begin

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))


def _python(tmp_path: Path, code: str) -> str:
    name = f"step{len(list(tmp_path.glob('step*.py')))}"
    (tmp_path / f"{name}.py").write_text(code)
    return f"python -m {name}"


def test_a_finished_step_is_passed_over_and_the_others_run_in_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log"
    lines = [_python(tmp_path, f"open({str(log)!r}, 'a').write('{number} ')") for number in range(3)]
    run_steps([Step(f"do {number}", line, tmp_path if number == 1 else None, 1.0) for number, line in enumerate(lines)])
    assert log.read_text() == "0 2 "
    printed = capsys.readouterr().out
    assert f"== step 2 of 3: do 1: finished already ({tmp_path})" in printed
    assert f"$ {lines[2]}" in printed


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is killed")
def test_a_step_that_was_killed_within_what_belongs_to_its_file_runs_again(tmp_path: Path) -> None:
    out, log = tmp_path / "out", tmp_path / "log"
    child = os.fork()
    if not child:
        with begin(out, "table.csv"):
            (out / "table.csv").touch()
            os._exit(0)  # as a signal ends it
    os.waitpid(child, 0)
    run_steps([Step("predict", _python(tmp_path, f"open({str(log)!r}, 'w')"), out / "table.csv", 1.0)])
    assert log.exists()


@pytest.mark.parametrize(("status", "may", "fails"), [(2, (0,), True), (1, (0,), True), (1, (0, 1), False)])
def test_a_status_that_is_not_allowed_ends_the_way(
    tmp_path: Path, status: int, may: tuple[int, ...], fails: bool
) -> None:
    step = Step("fail", _python(tmp_path, f"raise SystemExit({status})"), None, 1.0, may)
    if not fails:
        return run_steps([step])
    with pytest.raises(UserError, match=f"the step 'fail' ended with status {status}; fix what it says above"):
        run_steps([step])


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
def test_at_the_time_limit_a_step_saves_and_the_way_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    slow = _python(tmp_path, _SAVES.format(folder=str(tmp_path)))
    after = _python(tmp_path, f"open({str(tmp_path / 'after')!r}, 'w')")
    run_steps([Step("train", slow, None, 1.0, until=time.monotonic()), Step("fit", after, None, 1.0)])
    assert (tmp_path / "saved").read_text() == "SIGTERM"
    assert (tmp_path / "after").exists()
    assert "the time limit is reached" in capsys.readouterr().out


_SAVES = """
import os, signal, sys, time
from pathlib import Path
folder = Path({folder!r})
def save(number, frame):
    time.sleep(0.5)  # longer than the 0.25 s that the subprocess module waits after a Ctrl-C
    (folder / "saved").write_text(signal.Signals(number).name)
    sys.exit(130)
signal.signal(signal.SIGINT, save)
signal.signal(signal.SIGTERM, save)
(folder / "pid").write_text(str(os.getpid()))
(folder / "pid").rename(folder / "running")
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
@pytest.mark.parametrize(
    ("number", "to_group"), [(signal.SIGTERM, False), (signal.SIGINT, True), (signal.SIGINT, False)]
)
def test_a_stop_lets_the_step_save_and_leaves_no_process(tmp_path: Path, number: int, to_group: bool) -> None:
    process, step = _start(tmp_path)
    if to_group:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "interrupted\n")
    assert (tmp_path / "saved").read_text() == signal.Signals(number).name
    assert _has_ended(step)


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
def test_a_step_that_does_not_react_is_killed_at_the_third_signal(tmp_path: Path) -> None:
    process, step = _start(tmp_path)
    os.kill(step, signal.SIGSTOP)
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert _has_ended(step)


@pytest.mark.skipif(sys.platform != "linux", reason="what is stopped goes on by itself on Linux alone")
@pytest.mark.parametrize("stopped", [False, True])
def test_a_step_ends_with_the_command_that_is_killed(tmp_path: Path, stopped: bool) -> None:
    process, step = _start(tmp_path)
    if stopped:
        os.kill(step, signal.SIGSTOP)
    process.kill()
    process.communicate(timeout=60)
    assert _has_ended(step)
    assert (tmp_path / "saved").read_text() == "SIGTERM"


def _start(tmp_path: Path) -> tuple[subprocess.Popen[str], int]:
    """Start a way of one step that saves when it is stopped; return it, and the number of the step's process."""
    code = (
        "from hpa_hier.cli.command import run\n"
        "from hpa_hier.cli.steps import Step, run_steps\n"
        f"step = Step('wait', {_python(tmp_path, _SAVES.format(folder=str(tmp_path)))!r}, None, 1.0)\n"
        "run(lambda arguments: run_steps([step]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    until = time.monotonic() + 60
    while not (tmp_path / "running").exists() and time.monotonic() < until:
        time.sleep(0.02)
    return process, int((tmp_path / "running").read_text())


def _has_ended(process: int) -> bool:
    """Wait up to a minute for the end of a process that is no child of this one."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False
