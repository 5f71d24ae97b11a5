"""Sessions: a runtime that is missing is named with its extra."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import openvino
import pytest

from hpa_hier.cli.flags.backend import ENGINES
from hpa_hier.errors import UserError
from hpa_hier.members.engines.choose import AUTO
from hpa_hier.members.engines.sessions import RUNTIMES, check_installed, describe_version, open_session
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


def test_bfloat16_is_refused_on_a_processor_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    core = SimpleNamespace(get_property=lambda device, name: ["FP32"])
    monkeypatch.setattr(openvino, "Core", lambda: core)
    with pytest.raises(UserError, match="this processor does not compute in bfloat16; use --backend openvino"):
        open_session("openvino-bf16", b"", (4, 4, 32, 32), 1)
