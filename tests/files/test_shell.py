"""Commands that are printed for the user: what is pasted into a shell comes back as it was meant."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hpa_hier.cli import ensemble, train
from hpa_hier.files.shell import command, run_name

_TEXTS = st.text(min_size=1).filter(lambda text: "\0" not in text)


@given(group=_TEXTS, run=_TEXTS, change=_TEXTS)
@example(group="--", run="--", change="--")
def test_any_group_run_and_setting_come_back_from_the_parser_of_train(group: str, run: str, change: str) -> None:
    line = command("train", group=group, run=run, set=(f"taxonomy={change}", "training.epochs=1"), seed=3, restart=True)
    words = shlex.split(line)
    assert words[:3] == ["python", "-m", "hpa_hier.train"]
    parsed = train.parser().parse_args(words[3:])
    assert (parsed.group, parsed.run, parsed.seed, parsed.restart) == (group, run, 3, True)
    assert parsed.sets == [f"taxonomy={change}", "training.epochs=1"]


@example(run="--", sample="0")
@given(run=_TEXTS, sample=st.from_regex(r"[A-Za-z0-9_.]+", fullmatch=True))
def test_any_run_comes_back_from_the_parser_of_explain(run: str, sample: str) -> None:
    parsed = ensemble.parser().parse_args(shlex.split(command("ensemble", "explain", sample, run=run))[3:])
    assert (parsed.command, parsed.id, parsed.run) == ("explain", sample, run)


def test_a_run_is_called_by_its_name_under_artifacts_and_by_its_path_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_name(tmp_path / "artifacts" / "mine") == "mine"
    assert command("ensemble", "fit", run=tmp_path / "my runs" / "a&b").endswith(f" --run '{tmp_path}/my runs/a&b'")


def test_flags_that_are_off_are_left_out() -> None:
    assert command("train", "--all", seed=None, restart=False) == "python -m hpa_hier.train --all"
