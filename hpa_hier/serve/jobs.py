"""Jobs: one set of images for one ensemble, from the files that were sent to an answer for each."""

from __future__ import annotations

import logging
import secrets
import shutil
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from hpa_hier.data.images.reader import UnreadableImage
from hpa_hier.errors import UserError
from hpa_hier.predict.answers import Answers, join_answers
from hpa_hier.predict.inputs import Batch, InputSpec
from hpa_hier.predict.tables import Rejected
from hpa_hier.serve.catalog import Listed
from hpa_hier.serve.engine import Engine, Item
from hpa_hier.serve.safety.limits import Limits
from hpa_hier.serve.safety.refusal import Refusal, one_line
from hpa_hier.serve.uploads.decoder import Decoder, Undecoded
from hpa_hier.serve.uploads.forms import Uploads

LOG = logging.getLogger("hpa_hier.serve")
_OPEN, _QUEUED, _READING, _ANSWERING = "open", "queued", "reading", "answering"
_DONE, _FAILED, _CANCELLED = "done", "failed", "cancelled"
_ENDED = (_DONE, _FAILED, _CANCELLED)
_FAULT = "a fault of this program; the log has it"
_SWEEP = 5.0  # seconds between two looks for jobs that nobody asks for
_SPARED = 60.0  # seconds that a finished job is kept whatever others come


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
    state: str = _OPEN
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
            total = len(self.sources) if self.began and self.state != _QUEUED else None
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


class Jobs:
    """All jobs, and the threads that read their images."""

    def __init__(self, folder: Path, engine: Engine, limits: Limits, decoders: int = 1) -> None:
        self.folder, self.engine, self.limits = folder, engine, limits
        self._jobs: dict[str, Job] = {}
        self._queue: deque[Job] = deque()  # with images to read, each job's turn after the others'
        self._wake = threading.Condition()
        self._stopped = False
        self.decoders = [Decoder(limits.decode_bytes) for _ in range(decoders + 1)]  # one is for pictures
        self._threads = [
            *(threading.Thread(target=self._work, args=(one,), daemon=True) for one in self.decoders[1:]),
            threading.Thread(target=self._sweep, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def create(
        self,
        listed: Listed,
        client: str,
        channels: str | None = None,
        may_be_missing: Sequence[str] = (),
        frame: str | None = None,
        paths: Sequence[Path] = (),
        roots: Sequence[Path] = (),
    ) -> Job:
        """Make a job.

        Raises:
            Refusal: there are too many.
            UserError: the channels or the frame cannot be understood.
        """
        from hpa_hier.data.images.channels import parse_hint
        from hpa_hier.data.images.stacks import parse_frame

        parse_hint(channels)
        spec = listed.spec
        spec = replace(spec, frame=parse_frame(frame) if frame else spec.frame)
        allowed = spec.allowed(may_be_missing)
        with self._wake:
            self._make_room(client)
            key = secrets.token_urlsafe(12)
            job = Job(
                key, listed, spec, allowed, channels, self.folder / f"job-{secrets.token_hex(8)}", client, tuple(paths)
            )
            job.roots = tuple(roots)
            job.uploads.folder.mkdir(parents=True)
            self._jobs[key] = job
        return job

    def get(self, key: str) -> Job:
        """Return a job.

        Raises:
            Refusal: there is none, or no longer.
        """
        job = self._jobs.get(key)
        if job is None:
            raise Refusal("not_found", "no such job, or no longer: send the images again")
        job.asked = time.monotonic()
        return job

    def list(self) -> list[Job]:
        """Return all jobs, oldest first."""
        return list(self._jobs.values())

    def start(self, job: Job) -> None:
        """Let a job's images be read.

        Raises:
            Refusal: it was started, files are still coming, or it has none.
        """
        with self._wake:
            if job.state != _OPEN:
                raise Refusal("conflict", f"the job is {job.state} already; make another for more images")
            if job.receiving:
                raise Refusal("conflict", "files are still coming; start it when they are there")
            if not job.paths and not job.uploads.shown:
                reason = job.uploads.rejected[0] if job.uploads.rejected else None
                told = f"{reason[0]}: {reason[1]}" if reason else f"{len(job.uploads.aside):,} files that are none"
                raise Refusal("cannot", f"no image was sent ({told}); send PNG, JPEG, TIFF or OME-Zarr")
            job.state, job.began = _QUEUED, time.monotonic()
            job.aside = list(job.uploads.aside)
            job.rejected = [Rejected(name.rpartition("/")[2], name, why) for name, why in job.uploads.rejected]
            self._queue.append(job)
            self._wake.notify_all()

    def remove(self, job: Job) -> None:
        """Cancel a job, and remove its files."""
        with self._wake:
            self._jobs.pop(job.key, None)
        self._end(job, _CANCELLED)
        shutil.rmtree(job.folder, ignore_errors=True)

    def to_json(self, job: Job) -> dict[str, Any]:
        """Return what is known of a job."""
        return job.to_json(self.engine.waiting, self.engine.per_image)

    def stop(self) -> None:
        """End all work; what is kept is removed with the folder."""
        with self._wake:
            self._stopped = True
            self._wake.notify_all()
        for decoder in self.decoders:
            decoder.stop()
        for thread in self._threads:
            thread.join(2.0)

    @property
    def active(self) -> int:
        """Jobs that are not over."""
        return sum(not job.is_over for job in self.list())

    @property
    def pictures(self) -> Decoder:
        """The process that draws pictures."""
        return self.decoders[0]

    def _make_room(self, client: str) -> None:
        """Refuse a job too many; of finished ones, let the one go that was asked for least lately."""
        unfinished = [job for job in self._jobs.values() if not job.is_over]
        own = sum(job.client == client for job in unfinished)
        wait = max(1, round(self.engine.waiting * self.engine.per_image))
        if self._stopped or len(unfinished) >= self.limits.jobs:
            raise Refusal("full", f"{len(unfinished)} jobs are at work; ask again in {wait} s", wait)
        if own >= self.limits.clients_jobs:
            raise Refusal("busy", f"{own} jobs of yours are not finished; wait for one, or remove one", wait)
        over = sorted((job for job in self._jobs.values() if job.is_over), key=lambda job: job.asked)
        now = time.monotonic()
        for job in over[: max(0, len(over) + 1 - self.limits.kept_jobs)]:
            if now - job.asked > _SPARED or len(over) >= 2 * self.limits.kept_jobs:
                self._jobs.pop(job.key, None)
                shutil.rmtree(job.folder, ignore_errors=True)

    def _work(self, decoder: Decoder) -> None:
        decoder.prepare()
        while True:
            with self._wake:
                while not self._queue and not self._stopped:
                    self._wake.wait()
                if self._stopped:
                    return
                job = self._queue.popleft()
            try:
                more = self._step(job, decoder)
            except Exception as error:
                if not isinstance(error, (UserError, Refusal)):
                    LOG.exception("a job failed")
                own = isinstance(error, (UserError, Refusal))
                job.error = job.clean(str(error)) if own else _FAULT
                job.code = error.code if isinstance(error, Refusal) else "cannot" if own else "internal"
                self._end(job, _FAILED)
                more = False
            if job.state == _CANCELLED:
                shutil.rmtree(job.folder, ignore_errors=True)
            elif more:
                with self._wake:
                    self._queue.append(job)

    def _step(self, job: Job, decoder: Decoder) -> bool:
        """Do one piece of a job's work, and say whether there is more."""
        if job.is_over:
            return False
        if job.state == _QUEUED:
            self._find(job, decoder)
            return not job.is_over
        number = job.read
        source = job.sources[number]
        try:
            found = decoder.ask(
                "read",
                job.folder,
                self.limits.seconds_per_image,
                source=source,
                spec=job.spec.to_json(),
                allowed=list(job.allowed),
                out=str(job.folder / f"{number}.npy"),
            )
        except Undecoded as error:
            found = {"rejected": {"id": source["id"], "file": _first_file(source), "reason": str(error)}}
        with job.lock:
            job.read += 1
            if job.read == len(job.sources) and not job.is_over:
                job.state = _ANSWERING
        if "rejected" in found:
            self._reject(job, job.reject(found["rejected"]))
        else:
            self._submit(job, number, found)
        return job.read < len(job.sources)

    def _find(self, job: Job, decoder: Decoder) -> None:
        """Find a job's samples."""
        images, roots = (job.paths, job.roots) if job.paths else ((job.uploads.folder,), (job.uploads.folder,))
        found = decoder.ask(
            "scan",
            job.folder,
            self.limits.seconds_to_list,
            images=list(map(str, images)),
            roots=list(map(str, roots)),
            channels=job.channels,
        )
        if len(found["sources"]) > self.limits.job_images:
            most = f"at most {self.limits.job_images:,} are answered for at once; name a part of them"
            raise Refusal("too_large", f"{len(found['sources']):,} images; {most}")
        with job.lock:
            job.sources, job.simulated, job.notes = found["sources"], found["simulated"], found["notes"]
            job.listed_files = sum(len({str(one["file"]) for one in s["planes"].values()}) for s in job.sources)
            job.aside += [job.show(name) for name in found["aside"] if not name.endswith("simulated.json")]
            job.rejected += [job.reject(one) for one in found["rejects"]]
            job.state = _READING if not job.is_over else job.state
        if not job.sources:
            self._finish(job)

    def _submit(self, job: Job, number: int, found: Mapping[str, Any]) -> None:
        source = job.sources[number]
        values = np.load(job.folder / f"{number}.npy", allow_pickle=False)
        C, S = len(job.spec.channels), job.spec.size
        if values.shape != (C, S, S) or values.dtype != np.uint8:
            raise UnreadableImage(Path(source["id"]), "was decoded to something else than an image")
        shown = job.show(found["file"])
        batch = Batch(
            (source["id"],), values[None], (tuple(found["filled"]),), notes=(tuple(found["notes"]),), files=(shown,)
        )

        def take(answers: Answers | Exception) -> None:
            if isinstance(answers, Exception):
                own = isinstance(answers, (UserError, Refusal))
                job.error, job.code = (one_line(str(answers)), "cannot") if own else (_FAULT, "internal")
                self._end(job, _FAILED)
                return
            with job.lock:
                job.ready.append(Ready(str(number), source, answers, shown))
                job.answered += 1
            self._finish(job)

        item = Item(job.listed.folder, batch, job.simulated, job.place, take, lambda: not job.is_over)
        self.engine.submit(item)

    def _reject(self, job: Job, rejected: Rejected) -> None:
        with job.lock:
            job.rejected.append(rejected)
            job.answered += 1
        self._finish(job)

    def _finish(self, job: Job) -> None:
        """End a job where all its images are answered for."""
        with job.lock:
            if job.is_over or job.answered < len(job.sources):
                return
            failed = not job.ready
            if failed:
                first = min(job.rejected) if job.rejected else None
                told = f"first: {first.file or first.id}: {first.reason}" if first else "there is none"
                job.error = f"none of {len(job.rejected):,} images can be read; {told}"
        self._end(job, _FAILED if failed else _DONE)

    def _end(self, job: Job, state: str) -> None:
        with job.lock:
            if not job.is_over:
                job.state, job.ended = state, time.monotonic()
        job.changed.set()

    def _sweep(self) -> None:
        """Let jobs go that nobody asks for any more."""
        while True:
            with self._wake:
                self._wake.wait(_SWEEP)
                if self._stopped:
                    return
            self.expire()

    def expire(self) -> None:
        """Remove jobs that nobody has asked for lately, but those at work."""
        oldest = time.monotonic() - self.limits.expires_seconds
        for job in self.list():
            if job.asked < oldest and (job.is_over or job.state == _OPEN) and not job.receiving:
                self.remove(job)


def _first_file(source: Mapping[str, Any]) -> str:
    planes = source["planes"]
    return str(planes.get("green", next(iter(planes.values())))["file"])
