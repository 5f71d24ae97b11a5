"""Turns: threads of which one runs at a time, always the one that is furthest behind."""

from __future__ import annotations

import threading
from collections.abc import Sequence

Place = tuple[int, int]  # which training of the thread, and which batch of it


class Turns:
    """Gives one thread after another its turn. Which one follows depends on nothing but where each of them is.

    Trainings draw random numbers from the process's one stream, which each of their steps seeds; so a step must not be
    interrupted by another training's.

    Args:
        names: of the threads; at equal places they run in this order.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._changed = threading.Condition()
        self._order = {name: number for number, name in enumerate(names)}
        self._open = set(names)
        self._waiting: dict[str, Place] = {}
        self._running: str | None = None

    def wait(self, name: str, place: Place) -> None:
        """End a thread's turn at a place in its work, and return when the next one begins."""
        with self._changed:
            self._waiting[name] = place
            if self._running == name:
                self._running = None
            self._choose()
            self._changed.wait_for(lambda: self._running == name)

    def leave(self, name: str) -> None:
        """End a thread's last turn."""
        with self._changed:
            self._open.discard(name)
            self._waiting.pop(name, None)
            if self._running == name:
                self._running = None
            self._choose()

    def _choose(self) -> None:
        if self._running is None and self._waiting and self._open == set(self._waiting):
            self._running = min(self._waiting, key=lambda name: (self._waiting[name], self._order[name]))
            del self._waiting[self._running]
            self._changed.notify_all()
