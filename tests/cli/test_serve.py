"""The command serve: what it refuses before it listens, and that it leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from hpa_hier.cli.serve import main
from hpa_hier.errors import UserError

TOKEN = "a-token-of-many-signs"


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--host", "0.0.0.0"], r"--host 0\.0\.0\.0: others can come there, so a token is needed: --token-file FILE"),
        (["--token", "short"], "--token: 5 signs; a token is 16 letters and digits or more"),
        (["--token", TOKEN, "--token-file", "x"], "give one of the two"),
        (["--token-file", "no-such-file"], "--token-file no-such-file: cannot be read"),
        (["--root", "no-such-folder"], "--root no-such-folder: no folder that can be read"),
        (["--limit", "fils=3"], "no limit is called 'fils'; did you mean 'files'"),
        (["--host", "192.0.2.1", "--token", TOKEN], r"--host 192\.0\.2\.1: cannot be listened at"),
        (["--host", "no such host", "--token", TOKEN], "--host no such host: no address of this machine"),
        (["--port", "0", "--run", "no-such-run"], "no-such-run: no such run under"),
        (
            ["--port", "0", "--corrections", __file__],
            "--corrections .*test_serve.py: cannot be written to; name another",
        ),
    ],
)
def test_what_cannot_be_served_is_told_in_a_line(flags: list[str], told: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=told):
        main(["--artifacts", str(tmp_path), *flags])


def test_a_port_in_use_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"--port {port}: is in use already; name another with --port, or 0"):
            main(["--port", str(port)])


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"serve: needs fastapi; `pip install 'hpa-hier\[serve\]'` adds it"):
        main([])


def test_limits_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--limits"]) == 0
    assert "file_bytes=268435456    bytes of one file" in capsys.readouterr().out


def test_it_listens_where_it_says_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n")
    command = [sys.executable, "-m", "hpa_hier", "serve", "--port", "0", "--token-file", str(token)]
    environment = {**os.environ, "TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("listening at http://127.0.0.1:"), line
        address = line.split()[2].rstrip(";")
        assert TOKEN not in line  # no terminal, so a log maybe
        assert httpx.get(f"{address}healthz").json()["token"] is True
        assert httpx.get(f"{address}ensembles").status_code == 401
        found = httpx.get(f"{address}ensembles", headers={"Authorization": f"Bearer {TOKEN}"}).json()
        assert found["default"] == "pretrained"
        assert list(tmp_path.glob("hpa-hier-serve-*"))
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert time.monotonic() - began < 15  # on a busy machine
    assert (process.returncode, errors) == (0, "")
    assert not list(tmp_path.glob("hpa-hier-serve-*"))
