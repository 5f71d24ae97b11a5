"""Sessions: a runtime that is missing is named with its extra."""

from __future__ import annotations

import sys

import pytest

from hpa_hier.cli.flags.backend import ENGINES
from hpa_hier.errors import UserError
from hpa_hier.members.engines.choose import AUTO
from hpa_hier.members.engines.sessions import RUNTIMES, check_installed, describe_version
from hpa_hier.members.load import TORCH


def test_the_flag_names_all_engines_and_no_others() -> None:
    assert set(ENGINES) == {AUTO, TORCH, *RUNTIMES}


@pytest.mark.parametrize("engine", RUNTIMES)
def test_a_missing_runtime_is_asked_for_by_its_extra(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package = engine.removesuffix("-bf16")
    assert describe_version(engine).startswith(f"{engine} ")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=rf"--backend {engine}: needs {package}; `pip install 'hpa-hier\[{package}\]'"):
        check_installed(engine)
