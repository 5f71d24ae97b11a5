"""The command `hpa-hier`: finds each command, lists them all, and answers a misspelt one in a line."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from hpa_hier.cli.command import Parser
from hpa_hier.cli.main import COMMANDS, SHORT, dispatch
from hpa_hier.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def parser_for(command: str) -> Parser:
    parser = import_module(f"hpa_hier.cli.{command}").parser()
    assert isinstance(parser, Parser)
    return parser


def test_the_console_script_calls_main() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert scripts == {"hpa-hier": "hpa_hier.cli.main:main"}


def test_help_lists_every_command_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in COMMANDS:
        for words in [f"{name} {command}" for command in parser_for(name).summaries] or [name]:
            assert len([line for line in lines if line.startswith(f"  {words}  ")]) == 1, words


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "no command 'trian'; did you mean 'train'? "),
        (["xyz"], "no command 'xyz'; "),
        (["data", "pakc"], "no command 'pakc'; did you mean 'pack'? "),
        (["--colour"], "unrecognized arguments: --colour; "),
        (["data", "simulate", "--out", ""], "argument --out: must name a file or a folder, got ''; "),
    ],
)
def test_a_mistake_is_one_line_with_status_2(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["hpa-hier", *words])
    with pytest.raises(SystemExit) as end:
        dispatch(words)
    assert end.value.code == 2
    errors = capsys.readouterr().err
    assert errors.startswith(f"error: {message}hpa-hier ")
    assert errors.endswith(" --help lists what there is\n")
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("program", "usage"), [("/usr/bin/hpa-hier", "hpa-hier data pack"), ("x.py", "python -m hpa_hier.data pack")]
)
def test_usage_names_what_was_typed(
    program: str, usage: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [program, "data", "pack", "--help"])
    with pytest.raises(SystemExit):
        dispatch(["data", "pack", "--help"])
    assert capsys.readouterr().out.startswith(f"usage: {usage} [-h]")


@pytest.mark.parametrize("name", SHORT)
def test_a_sub_command_is_also_called_without_the_command_it_belongs_to(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["hpa-hier", name, "--help"])
    with pytest.raises(SystemExit):
        dispatch([name, "--help"])
    assert capsys.readouterr().out.startswith(f"usage: hpa-hier {SHORT[name]} {name} [-h]")


def test_the_package_runs_as_a_module() -> None:
    words = [sys.executable, "-m", "hpa_hier", "taxonomy", "check", "hierarchy/hpa28.yaml"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "is sound: " in done.stdout


def test_settings_prints_all_those_of_a_block_or_the_one_meant(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["settings"]) == 0
    assert "image_size: 256" in capsys.readouterr().out
    assert dispatch(["settings", "simulate", "data.image_size"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("simulate.count: 4000") for line in lines)
    assert not any(line.startswith("training.") for line in lines)
    assert lines[-2].startswith("data.image_size: 256  [pixels; 16 to 2048")
    with pytest.raises(UserError, match=r"trainin: no such setting; did you mean 'training'\?"):
        dispatch(["settings", "trainin"])
