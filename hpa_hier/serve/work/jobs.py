"""Jobs: all that are kept, and the threads that find and read their images."""

from __future__ import annotations

import logging
import secrets
import shutil
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hpa_hier.data.images.reader import UnreadableImage
from hpa_hier.errors import UserError
from hpa_hier.predict.answers import Answers
from hpa_hier.predict.inputs import Batch
from hpa_hier.predict.tables import Rejected
from hpa_hier.serve.catalog import Listed
from hpa_hier.serve.safety.limits import Limits
from hpa_hier.serve.safety.refusal import Refusal, one_line
from hpa_hier.serve.uploads.decoder import Decoder, Undecoded
from hpa_hier.serve.work.engine import Engine, Item
from hpa_hier.serve.work.job import ANSWERING, CANCELLED, DONE, FAILED, OPEN, QUEUED, READING, Job, Ready

LOG = logging.getLogger("hpa_hier.serve")
_FAULT = "a fault of this program; the log has it"
_SWEEP = 5.0  # seconds between two looks for jobs that nobody asks for
_SPARED = 60.0  # seconds that a finished job is kept whatever others come


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
            if job.state != OPEN:
                raise Refusal("conflict", f"the job is {job.state} already; make another for more images")
            if job.receiving:
                raise Refusal("conflict", "files are still coming; start it when they are there")
            if not job.paths and not job.uploads.shown:
                reason = job.uploads.rejected[0] if job.uploads.rejected else None
                told = f"{reason[0]}: {reason[1]}" if reason else f"{len(job.uploads.aside):,} files that are none"
                raise Refusal("cannot", f"no image was sent ({told}); send PNG, JPEG, TIFF or OME-Zarr")
            job.state, job.began = QUEUED, time.monotonic()
            job.aside = list(job.uploads.aside)
            job.rejected = [Rejected(name.rpartition("/")[2], name, why) for name, why in job.uploads.rejected]
            self._queue.append(job)
            self._wake.notify_all()

    def remove(self, job: Job) -> None:
        """Cancel a job, and remove its files."""
        with self._wake:
            self._jobs.pop(job.key, None)
        self._end(job, CANCELLED)
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
                self._end(job, FAILED)
                more = False
            if job.state == CANCELLED:
                shutil.rmtree(job.folder, ignore_errors=True)
            elif more:
                with self._wake:
                    self._queue.append(job)

    def _step(self, job: Job, decoder: Decoder) -> bool:
        """Do one piece of a job's work, and say whether there is more."""
        if job.is_over:
            return False
        if job.state == QUEUED:
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
                job.state = ANSWERING
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
            job.state = READING if not job.is_over else job.state
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
                self._end(job, FAILED)
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
        self._end(job, FAILED if failed else DONE)

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
            if job.asked < oldest and (job.is_over or job.state == OPEN) and not job.receiving:
                self.remove(job)


def _first_file(source: Mapping[str, Any]) -> str:
    planes = source["planes"]
    return str(planes.get("green", next(iter(planes.values())))["file"])
