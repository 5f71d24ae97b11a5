from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from hpa_hier.data.images.kernels import switch
from hpa_hier.data.images.kernels.switch import PRICE, Kernels, Switch, compile_kernels

KERNELS = Kernels(*[None] * 6)  # type: ignore[arg-type]


def test_nothing_is_compiled_before_reading_has_taken_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switch, "compile_kernels", lambda: KERNELS)
    one = Switch()
    one.allow()
    one.spend(PRICE * 0.6)
    assert one.kernels is None
    one.spend(PRICE * 0.6)
    assert one.kernels is KERNELS


@pytest.mark.parametrize(("files", "compiled_after"), [(1000, 8), (59, 8), (57, 50), (0, 50)])
def test_kernels_are_compiled_once_what_is_left_would_take_as_long(
    files: int, compiled_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switch, "compile_kernels", lambda: KERNELS)
    one = Switch()
    one.allow(files)
    read = 0
    while one.kernels is None:
        one.spend(PRICE / 49.9)
        read += 1
    assert read == compiled_after


def test_nothing_is_compiled_where_it_was_not_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switch, "compile_kernels", lambda: pytest.fail("compiled"))
    Switch().spend(PRICE * 9)


def test_threads_read_on_while_one_of_them_compiles_once(monkeypatch: pytest.MonkeyPatch) -> None:
    compiling, others_are_done = Event(), Event()
    compiled = []

    def wait() -> Kernels:
        compiled.append(1)
        compiling.set()
        assert others_are_done.wait(10)
        return KERNELS

    monkeypatch.setattr(switch, "compile_kernels", wait)
    one = Switch()
    one.allow()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(one.spend, PRICE)
        assert compiling.wait(10)
        one.spend(PRICE)
        assert one.kernels is None
        others_are_done.set()
        first.result()
    assert one.kernels is KERNELS
    assert compiled == [1]


@pytest.mark.parametrize("module", ["numba", "imagecodecs"])
def test_without_the_extra_there_are_no_kernels(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, "hpa_hier.data.images.kernels.compiled", raising=False)
    assert compile_kernels() is None


def test_reading_imports_no_numba_before() -> None:
    code = "import sys, hpa_hier.data.images.read; print({'numba'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
