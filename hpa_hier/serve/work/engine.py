"""Engine: one ensemble in memory and one thread that computes with it; requests that come together share a pass."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from hpa_hier.errors import UserError
from hpa_hier.predict.answers import Answers
from hpa_hier.predict.inputs import Batch, Samples
from hpa_hier.predict.predictor import Predictor
from hpa_hier.serve.safety.refusal import Refusal

LOG = logging.getLogger("hpa_hier.serve")
_TOGETHER = 32  # images of a pass, which the members fill up to 32 anyway
_WINDOW = 0.02  # seconds that a pass waits for images of other requests
_PATIENCE = 5.0  # seconds that images of another ensemble wait before it is loaded
_Found = TypeVar("_Found")


@dataclass(frozen=True)
class Item:
    """One image that waits for its answer."""

    folder: Path  # of the run
    batch: Batch  # of this image alone
    simulated: bool
    place: str  # where the image is from, for people
    done: Callable[[Answers | Exception], None]  # is called in the engine's thread
    wanted: Callable[[], bool] = lambda: True  # whether anybody still waits
    since: float = field(default_factory=time.monotonic)


class Engine:
    """Computes."""

    def __init__(self, device: str = "auto", queue: int = 256, backend: str = "torch") -> None:
        self._device, self._most, self._backend = device, queue, backend
        self._items: deque[Item] = deque()
        self._calls: deque[tuple[Path, Callable[[Predictor], Any], Future[Any]]] = deque()
        self._wake = threading.Condition()
        self._stopped = False
        self._folder: Path | None = None
        self._written = 0  # when the loaded ensemble was written
        self._predictor: Predictor | None = None
        self.per_image = 0.05  # seconds, of late; a first guess until one is measured
        self.passes = 0
        self.images = 0
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)
        self._thread.start()

    @property
    def loaded(self) -> Path | None:
        """The run whose ensemble is in memory."""
        return self._folder

    @property
    def waiting(self) -> int:
        """How many images wait."""
        return len(self._items)

    def submit(self, item: Item) -> None:
        """Let an image be answered for; waits while too many do.

        Raises:
            Refusal: the server stops.
        """
        with self._wake:
            while len(self._items) >= self._most and not self._stopped and item.wanted():
                self._wake.wait(0.5)
            if self._stopped:
                raise Refusal("full", "the server stops; ask again later", 10)
            self._items.append(item)
            self._wake.notify_all()

    def call(self, folder: Path, work: Callable[[Predictor], _Found]) -> Future[_Found]:
        """Let the engine's thread do something with an ensemble, in turn with the images that wait."""
        future: Future[_Found] = Future()
        with self._wake:
            if self._stopped or len(self._calls) >= self._most:
                raise Refusal("full", "too many questions wait; ask again later", 5)
            self._calls.append((folder, work, future))
            self._wake.notify_all()
        return future

    def stop(self, seconds: float = 1.0) -> bool:
        """End the thread; what waits gets no answer. Return whether it has ended: it may be importing for seconds."""
        with self._wake:
            self._stopped = True
            self._wake.notify_all()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _work(self) -> None:
        asked = False  # whether a question was answered last: questions and images take turns
        while True:
            with self._wake:
                while not self._calls and not self._items and not self._stopped:
                    self._wake.wait()
                if self._stopped:
                    break
                asked = bool(self._calls) and not (asked and self._items)
                call = self._calls.popleft() if asked else None
            if call is not None:
                self._call(*call)
            else:
                self._answer(self._gather())
        for _, _, future in self._calls:
            future.cancel()

    def _call(self, folder: Path, work: Callable[[Predictor], Any], future: Future[Any]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(work(self._load(folder)))
        except Exception as error:
            future.set_exception(error)

    def _gather(self) -> list[Item]:
        """Take the images of one pass: of the loaded ensemble as long as no other has waited for long."""
        with self._wake:
            if len(self._items) < _TOGETHER and not self._stopped:
                self._wake.wait(_WINDOW)
            if not self._items:
                return []
            first = self._items[0]
            own = next((item for item in self._items if item.folder == self._folder), None)
            if own is not None and time.monotonic() - first.since < _PATIENCE:
                first = own
            chosen = [item for item in self._items if item.folder == first.folder][:_TOGETHER]
            taken = set(map(id, chosen))
            self._items = deque(item for item in self._items if id(item) not in taken)
            self._wake.notify_all()
        return [item for item in chosen if item.wanted()]

    def _answer(self, items: list[Item]) -> None:
        for simulated in (False, True):
            some = [item for item in items if item.simulated == simulated]
            if not some:
                continue
            began = time.monotonic()
            try:
                found: list[Answers | Exception] = list(_answer_together(self._load(some[0].folder), some))
            except Exception as error:
                if not isinstance(error, UserError):
                    LOG.exception("answering failed")
                found = [error] * len(some)
            self.per_image += 0.3 * ((time.monotonic() - began) / len(some) - self.per_image)
            self.passes += 1
            self.images += len(some)
            for item, answers in zip(some, found, strict=True):
                item.done(answers)

    def _load(self, folder: Path) -> Predictor:
        """Return the predictor of a run; another one makes room first."""
        from hpa_hier.ensemble.ensemble_file import FILE

        written = (folder / "ensemble" / FILE).stat().st_mtime_ns
        if self._predictor is None or (folder, written) != (self._folder, self._written):
            self._predictor, self._folder = None, None
            predictor = Predictor.load(folder, self._device, engine=self._backend)
            predictor.scorers  # noqa: B018  (reads the networks)
            self._predictor, self._folder, self._written = predictor, folder, written
        return self._predictor


def _answer_together(predictor: Predictor, items: list[Item]) -> list[Answers]:
    """Answer for several requests' images in one pass; each gets what it would have got alone."""
    names = tuple(map(str, range(len(items))))  # two requests may call images alike
    parts = [item.batch for item in items]
    batch = Batch(
        names,
        np.concatenate([part.values for part in parts]),
        tuple(part.filled[0] for part in parts),
        notes=tuple(part.notes[0] for part in parts),
        files=tuple(part.files[0] for part in parts),
    )
    (answers,) = predictor.stream(Samples("images", len(items), iter([batch]), simulated=items[0].simulated))
    return [_rename(answers.take([name]), item.batch.ids, item.place) for name, item in zip(names, items, strict=True)]


def _rename(answers: Answers, ids: tuple[str, ...], place: str) -> Answers:
    """Return answers under their own ids, without the pixels of all that were computed together."""
    prediction = replace(answers.prediction, ids=ids)
    scores = tuple(replace(one, ids=ids) for one in answers.scores)
    return replace(answers, prediction=prediction, scores=scores, place=place, evidence=None)
