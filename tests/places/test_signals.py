"""Signals: which thread is asked to end."""

from __future__ import annotations

import signal
import threading

import pytest

from hpa_hier.places.signals import ask_to_end


def test_the_thread_that_handles_it_is_asked_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int | None, int]] = []
    monkeypatch.setattr(signal, "pthread_kill", lambda thread, number: asked.append((thread, number)))
    thread = threading.Thread(target=ask_to_end)
    thread.start()
    thread.join()
    assert asked == [(threading.main_thread().ident, signal.SIGTERM)]
