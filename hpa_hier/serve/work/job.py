"""Job: one set of images for one ensemble, and what became of each."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from hpa_hier.predict.answers import Answers, join_answers
from hpa_hier.predict.inputs import InputSpec
from hpa_hier.predict.tables import Rejected
from hpa_hier.serve.catalog import Listed
from hpa_hier.serve.safety.refusal import Refusal, one_line
from hpa_hier.serve.uploads.forms import Uploads

OPEN, QUEUED, READING, ANSWERING = "open", "queued", "reading", "answering"
DONE, FAILED, CANCELLED = "done", "failed", "cancelled"
_ENDED = (DONE, FAILED, CANCELLED)


@dataclass
class Ready:
    """One image with its answer."""

    key: str
    source: Mapping[str, Any]  # its files, as `source_to_json`
    answers: Answers  # for this image alone
    shown: str  # its file as the user calls it
    correction: dict[str, Any] | None = None  # labels, unsure, note

    @property
    def id(self) -> str:
        """The sample's id."""
        return self.answers.ids[0]


@dataclass
class Job:
    """Images, and what became of them. Its worker and the engine add to it; a lock keeps what they add together."""

    key: str
    listed: Listed
    spec: InputSpec
    allowed: tuple[str, ...]
    channels: str | None
    folder: Path  # of its own; uploads are in `files` below
    client: str
    paths: tuple[Path, ...] = ()  # on the server; (): files are sent
    roots: tuple[Path, ...] = ()  # that paths may lead to
    state: str = OPEN
    error: str | None = None
    code: str = "cannot"  # of the refusal that the error is
    sources: list[dict[str, Any]] = field(default_factory=list)
    simulated: bool = False
    rejected: list[Rejected] = field(default_factory=list)
    aside: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    ready: list[Ready] = field(default_factory=list)  # as they became ready
    read: int = 0  # images that were read, or could not be
    answered: int = 0  # of them, those that have an answer or are rejected
    listed_files: int = 0
    began: float | None = None
    ended: float | None = None
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    asked: float = field(default_factory=time.monotonic)
    receiving: int = 0  # forms that are coming in
    lock: threading.Lock = field(default_factory=threading.Lock)
    changed: threading.Event = field(default_factory=threading.Event)  # it ended

    def __post_init__(self) -> None:
        self.uploads = Uploads(self.folder / "files")

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes."""
        return self.state in _ENDED

    @property
    def place(self) -> str:
        """Where its images are from, for people."""
        return "an upload" if not self.paths else ", ".join(map(str, self.paths))

    def find(self, key: str) -> Ready:
        """Return an image that is ready.

        Raises:
            Refusal: there is none of this key.
        """
        with self.lock:
            found = next((one for one in self.ready if one.key == key), None)
        if found is None:
            raise Refusal("not_found", f"the job has no answer with the key '{key[:40]}' (yet)")
        return found

    def pixels(self, one: Ready) -> np.ndarray:
        """Return an image as the members take it, (C, S, S) uint8."""
        try:
            return np.asarray(np.load(self.folder / f"{one.key}.npy", allow_pickle=False))
        except (OSError, ValueError):
            raise Refusal("not_found", "the picture is gone with its job; send the image again") from None

    def join(self) -> Answers:
        """Return all answers together, as `ensemble predict` would give them; an error where there is none."""
        with self.lock:
            ready = sorted(self.ready, key=lambda one: int(one.key))
        if not ready:
            raise Refusal("conflict", "no image has an answer yet; ask again later")
        return join_answers([one.answers for one in ready], self.rejected)

    def show(self, name: str) -> str:
        """Return what the user calls a file that was uploaded."""
        if self.paths:
            return name
        try:
            inside = Path(name).relative_to(self.uploads.folder).as_posix()
        except ValueError:
            inside = name
        return self.uploads.shown.get(inside.casefold(), inside)

    def clean(self, text: str) -> str:
        """Return a reason without the server's own folders."""
        return one_line(text.replace(f"{self.uploads.folder}/", "").replace(str(self.uploads.folder), "the upload"))

    def reject(self, told: Mapping[str, Any]) -> Rejected:
        """Return a sample that cannot be answered for, as the user calls its file."""
        return Rejected(told["id"], self.show(told["file"]), self.clean(told["reason"]))

    def to_json(self, waiting: int, per_image: float) -> dict[str, Any]:
        """Return what is known of it; see `GET /jobs/{job}`."""
        with self.lock:
            total = len(self.sources) if self.began and self.state != QUEUED else None
            took = None if self.began is None else (self.ended or time.monotonic()) - self.began
            left = None
            if not self.is_over and total and self.answered and took:
                left = round((total - self.answered) * took / self.answered, 1)
            elif not self.is_over and total:
                left = round((total + waiting) * per_image, 1)
            return {
                "job": self.key,
                "ensemble": self.listed.name,
                "caution": self.listed.caution,
                "state": self.state,
                "created": self.created,
                "title": self._title(),
                "files": self.listed_files or self.uploads.files,
                "total": total,
                "ready": len(self.ready),
                "waiting": waiting if not self.is_over else 0,
                "seconds": None if took is None else round(took, 2),
                "seconds_left": left,
                "error": self.error,
                "rejected": [one._asdict() for one in sorted(self.rejected)],
                "aside": self.aside or self.uploads.aside,
                "notes": self.notes,
                "warnings": self._warnings(),
            }

    def _title(self) -> str:
        """Return what it is called in a list: its only folder or file, or how many files there are."""
        if self.paths:
            return self.paths[0].name if len(self.paths) == 1 else f"{len(self.paths)} folders and files"
        tops = {name.replace("\\", "/").strip("/").split("/")[0] for name in self.uploads.shown.values()}
        return next(iter(tops)) if len(tops) == 1 else f"{self.uploads.files:,} files"

    def _warnings(self) -> list[str]:
        """Say what to bear in mind about all images."""
        return [*filter(None, (self.listed.caution, self.listed.run.origin.why_unsafe(self.simulated)))]
