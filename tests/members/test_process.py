"""Process: no garbage is looked for while PyTorch is imported, and afterwards as before."""

from __future__ import annotations

import gc

import pytest

from hpa_hier.members.process import collect_later


def test_garbage_is_looked_for_again_afterwards_also_where_an_import_fails() -> None:
    assert gc.isenabled()
    with collect_later():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ImportError), collect_later():
        raise ImportError
    assert gc.isenabled()


def test_a_process_that_looks_for_none_still_does_not_afterwards() -> None:
    gc.disable()
    try:
        with collect_later():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
