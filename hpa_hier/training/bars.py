"""Bars: how far several trainings are, one bar each with the time left; without a terminal, a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, TextIO

from tqdm import tqdm

_EVERY = 30.0  # seconds between two lines without a terminal
_FORMAT = "{desc} {percentage:3.0f}% {bar} {remaining} left"
_WIDTH = 78  # characters


class Bars:
    """Shows trainings side by side; a context that takes its bars away at the end.

    Args:
        total: trainings in all.
        stream: where to; None: standard error.
        now: the clock, in seconds.
    """

    def __init__(self, total: int, stream: TextIO | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self._total, self._stream, self._now = total, stream or sys.stderr, now
        self._bars: dict[str, tqdm[Any]] = {}
        self._begun: dict[str, tuple[float, float]] = {}  # name → when it was first heard of, and its share then
        self._shares: dict[str, float] = {}  # of those under way
        self._work = 0.0  # shares trained by those that have ended
        self._ended, self._since, self._told = 0, now(), now()

    def __enter__(self) -> Bars:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for name in list(self._bars):
            self._bars.pop(name).close()

    def report(self, name: str, share: float) -> None:
        """Show how far a training is: its share done, 0 to 1."""
        self._begun.setdefault(name, (self._now(), share))
        self._shares[name] = share
        if self._stream.isatty():
            if not self._bars and self._total > 1:
                self._bars[""] = tqdm(total=1.0, bar_format="{desc}", file=self._stream, leave=False, ncols=_WIDTH)
            if name not in self._bars:
                self._bars[name] = tqdm(
                    desc=f"{name[:20]:20}", total=1.0, initial=share, bar_format=_FORMAT, file=self._stream,
                    leave=False, smoothing=0.0, ncols=_WIDTH,
                )  # fmt: skip
            self._bars[name].n = share
            self._bars[name].refresh()
            if "" in self._bars:
                self._bars[""].set_description_str(self._describe_all())
        elif self._now() - self._told >= _EVERY:
            self._told = self._now()
            print(self.describe(), file=self._stream, flush=True)

    def end(self, name: str) -> None:
        """Take a training's bar away."""
        if bar := self._bars.pop(name, None):
            bar.close()
        if name in self._begun:
            self._work += self._shares.pop(name, 1.0) - self._begun.pop(name)[1]
        self._ended += 1

    def write(self, line: str) -> None:
        """Print a line above the bars."""
        tqdm.write(line, file=self._stream)
        self._stream.flush()

    def describe(self) -> str:
        """Return one line on all of them: how far each is, how many have ended, and the time left.

        >>> bars = Bars(3)
        >>> bars.report("leaf", 0.5)
        >>> bars.describe()
        'leaf 50 %; 0 of 3 done'
        """
        each = ", ".join(f"{name} {share:.0%}".replace("%", " %") for name, share in self._shares.items())
        return f"{each}; {self._describe_all()}"

    def _describe_all(self) -> str:
        spent = self._now() - self._since
        work = self._work + sum(share - self._begun[name][1] for name, share in self._shares.items())
        todo = self._total - self._ended - sum(self._shares.values())
        left = f", {tqdm.format_interval(spent / work * todo)} left" if work > 0 else ""
        return f"{self._ended} of {self._total} done{left}"
