"""Shards: a prediction's images cut into pieces that any number of processes take, compute and keep.

`.predict.partial` in the folder of the tables holds `manifest.json`, what the answers depend on and which images there
are; a file for each finished shard; and a lock for each that is being computed. A process takes whichever shard is
free, so machines that see the folder share the work. A lock is the file system's (flock), so it is free again when its
holder dies. Where a file system keeps no locks between machines, two may compute one shard: the file is the same.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_json, write_json
from hpa_hier.files.faults.together import journal_path
from hpa_hier.predict.formats.rows import Rows, join_rows
from hpa_hier.predict.shards.shard_file import NO_ROWS, Shard, read_shard, write_shard
from hpa_hier.predict.shards.workers import FINISHING, Workers, drop_lock, try_lock

if TYPE_CHECKING:
    from hpa_hier.data.images.scan import ImageSource
    from hpa_hier.predict.answers import Answers
    from hpa_hier.predict.inputs import Batch
    from hpa_hier.predict.tables import Rejected

FOLDER = ".predict.partial"
SHARD_SIZE = 64  # images, where nothing is said: what an interruption loses
_MANIFEST = "manifest.json"
_PARTS, _OLD = "[0-9]*.npz", "old-*.npz"  # finished shards; answers of shards that were cut or read otherwise
_POLL = 0.2, 2.0  # seconds between looks at what others are at, at first and at most

Reader = Callable[[Iterable[Sequence["ImageSource"]]], Iterator["Batch"]]  # reads chunks of images


@dataclass
class _Taken:
    """A shard that this process computes."""

    number: int
    lock: FileLock
    files: dict[str, str]  # sample → its files as they are, in order
    pending: set[str]  # samples without answer
    rows: list[Rows] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    doubts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    bits: Counter[str] = field(default_factory=Counter)
    stacks: Counter[tuple[int, int]] = field(default_factory=Counter)

    def finish(self) -> Shard:
        """Return what became of the images, in their order."""
        rows = join_rows(self.rows or [NO_ROWS])
        place = {sample: row for row, sample in enumerate(rows.ids)}
        ordered = rows.take([place[sample] for sample in self.files if sample in place]) if place else rows
        return Shard(ordered, tuple(self.rejected), self.files, self.doubts, self.bits, self.stacks)


class Shards:
    """A prediction into a folder, shared by all processes that give the same command."""

    def __init__(self, folder: Path, out: Path, workers: Workers, manifest: dict[str, Any], asked: int | None) -> None:
        self._folder, self._out, self._workers = folder, out, workers
        self._manifest, self._asked = manifest, asked
        self.resumed = False  # whether a process was ended while tables got their names, so that those there are ours
        self._sources: Sequence[ImageSource] = ()
        self._size, self._rows = int(manifest["shard_size"]), SHARD_SIZE
        self._read: Reader | None = None
        self._open: dict[int, None] = {}  # shards that are not finished, as far as this process knows, in order
        self._kept = 0  # images of those that are
        self._old: dict[str, tuple[Path, str]] = {}  # sample → file that has its answer, its files as they were
        self._taken: dict[int, _Taken] = {}
        self._of: dict[str, _Taken] = {}  # sample → the shard that it is in, of those taken

    @property
    def total(self) -> int:
        """How many images there are."""
        return len(self._sources)

    @property
    def done(self) -> int:
        """How many images are answered or rejected, as far as this process knows."""
        return self.kept + sum(len(one.files) - len(one.pending) for one in self._taken.values())

    @property
    def folder(self) -> Path:
        """Where the answers are kept."""
        return self._folder

    def look(self) -> int:
        """Look at what others have finished; return how many shards are left."""
        return len(self._left())

    @property
    def kept(self) -> int:
        """How many images are so on disk, as far as this process knows."""
        return self._kept

    def plan(self, sources: Sequence[ImageSource], read: Reader, rows: int) -> None:
        """Cut images into shards, as the others have who are at it; keep those answers that still hold.

        Args:
            sources: the images, in order.
            read: reads them.
            rows: images that are read together.

        Raises:
            UserError: another process is predicting other images into the folder, or in shards of another size.
        """
        self._sources, self._read, self._rows = sources, read, rows
        digest = hashlib.sha256("\0".join(source.id for source in sources).encode()).hexdigest()
        with self._workers.alone():
            known = _find_manifest(self._folder)
            if known is None:
                raise UserError(
                    f"{self._out}: another process has predicted into this folder meanwhile; see what is there, or "
                    "name another one with --out"
                )
            if known["about"] != self._manifest["about"]:
                raise UserError(
                    f"{self._out}: another command has begun to predict into this folder; name another one with --out"
                )
            if self._workers.count_others(planned=True):
                self._join(known, digest)
            else:
                self._plan_again(known, digest)
            self._workers.note_plan()
        self._open, self._kept = dict.fromkeys(range(self._count)), 0
        self._left()
        for path in sorted(self._folder.glob(_OLD)):
            old = read_shard(path)
            if old is not None:
                self._old |= {sample: (path, old.files[sample]) for sample in old.rows.ids}

    def count_kept(self) -> int:
        """Return how many images need not be computed again."""
        left = (source for number in self._left() for source in self._cut(number))
        return self.done + (sum(source.id in self._old for source in left) if self._old else 0)

    def batches(self) -> Iterator[Batch]:
        """Read the images of shards that are free, taking one after the other."""
        assert self._read is not None
        for batch in self._read(self._take()):
            self._note(batch)
            yield batch

    def add(self, answers: Answers) -> None:
        """Keep answers for images that `batches` has read; a shard is on disk once all of its images are done."""
        rows, doubts = answers.rows, dict(zip(answers.ids, answers.doubts, strict=False))
        by_shard: dict[int, list[int]] = {}
        for place, sample in enumerate(rows.ids):
            by_shard.setdefault(self._of[sample].number, []).append(place)
        for number, places in by_shard.items():
            taken = self._taken[number]
            taken.rows.append(rows.take(places) if len(places) < len(rows) else rows)
            ids = taken.rows[-1].ids
            taken.doubts |= {sample: doubts[sample] for sample in ids if doubts.get(sample)}
            taken.pending.difference_update(ids)
            self._close(taken)

    def wait(self, look: Callable[[int], object]) -> bool:
        """Wait until a shard is free, for its process died, or all are done; tell whether there is something to do.

        Args:
            look: is told how many images are done, again and again.
        """
        pause, longest = _POLL
        while left := self._left():
            if self.merged:
                return False
            look(self.done)
            for number in left:
                lock = try_lock(self._lock(number))
                if lock is not None:
                    lock.release()
                    return True
            time.sleep(pause)
            pause = min(2 * pause, longest)
        look(self.done)
        return False

    @contextmanager
    def merge(self) -> Iterator[bool]:
        """Let one process at a time write the tables; what is kept is removed when the first has done so.

        Yields:
            Whether it is this one; False: another has written them.
        """
        while (lock := None if self.merged else try_lock(self._folder / "merge.lock")) is None and not self.merged:
            time.sleep(_POLL[0])
        if lock is None or self.merged:
            if lock is not None:
                lock.release()
            yield False
            return
        mark, table, journal = self._folder / FINISHING, self._out / "predictions.csv", journal_path(self._out)
        before = _identify(table)
        try:
            self.resumed = mark.exists()
            mark.touch()
            yield True
            self.drop()
        except BaseException:
            if _identify(table) == before and not journal.exists():  # what is there is still another prediction's
                mark.unlink(missing_ok=True)
            raise
        finally:
            lock.release()

    def drop(self) -> None:
        """Keep nothing from now on."""
        (self._folder / _MANIFEST).unlink(missing_ok=True)

    @property
    def merged(self) -> bool:
        """Whether another process has written the tables of this prediction."""
        return bool((_find_manifest(self._folder) or {}).get("key") != self._manifest["key"])

    def read(self) -> Iterator[Shard]:
        """Yield the shards in the order of the images.

        Raises:
            UserError: one is damaged; it is removed, so that the same command computes it again.
        """
        for number in range(self._count):
            shard = read_shard(self._path(number))
            if shard is None:
                self._path(number).unlink(missing_ok=True)
                raise UserError(f"{self._path(number)}: was damaged after it was written; give the same command again")
            yield shard

    def leave(self) -> None:
        """Free what this process has taken; remove the folder where it is of no more use."""
        for taken in self._taken.values():
            taken.lock.release()
        with self._workers.alone():
            self._workers.leave()
            useless = not any(self._folder.glob("*.npz")) and not self._workers.count_others()
            if useless or _find_manifest(self._folder) is None:
                self._workers.remove()

    @property
    def _count(self) -> int:
        return -(-len(self._sources) // self._size)

    def _cut(self, number: int) -> Sequence[ImageSource]:
        return self._sources[number * self._size : (number + 1) * self._size]

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:08d}.npz"

    def _lock(self, number: int) -> Path:
        return self._folder / f"{number:08d}.lock"

    def _left(self) -> list[int]:
        """Return the shards that nobody has finished."""
        with suppress(FileNotFoundError), os.scandir(self._folder) as entries:  # another may have written the tables
            for name, _, end in (entry.name.partition(".") for entry in entries):
                if end == "npz" and name.isdecimal():
                    self._finish(int(name))
        return list(self._open)

    def _finish(self, number: int) -> None:
        """Note that a shard is on disk."""
        if number in self._open:
            del self._open[number]
            self._kept += len(self._cut(number))

    def _join(self, known: Mapping[str, Any], digest: str) -> None:
        """Share a prediction that another process is at."""
        if known["images"] != digest:
            raise UserError(
                f"{self._out}: another process is predicting into this folder, and the images have changed since it "
                "began; wait for it, or name another folder with --out"
            )
        if self._asked not in (None, known["shard_size"]):
            size = known["shard_size"]
            raise UserError(
                f"--shard-size {self._asked}: another process is at it with {size}; give this, or leave it out"
            )
        self._manifest, self._size = dict(known), int(known["shard_size"])

    def _plan_again(self, known: Mapping[str, Any], digest: str) -> None:
        """Plan where nobody else is at it; shards that were cut otherwise, or whose files have changed, become old."""
        size = self._asked or (known["shard_size"] if known["images"] == digest else SHARD_SIZE)
        same = known["images"] == digest and known["shard_size"] == size
        self._size, token = size, secrets.token_hex(4)
        for path in sorted(self._folder.glob(_PARTS)):
            shard, number = read_shard(path), int(path.stem)
            if shard is None:
                path.unlink()
            elif not same or number >= self._count or dict(shard.files) != self._describe(number):
                path.rename(self._folder / f"old-{token}-{path.name}")
        self._manifest = {**known, "images": digest, "shard_size": size, "count": len(self._sources)}
        write_json(self._folder / _MANIFEST, self._manifest)

    def _describe(self, number: int) -> dict[str, str]:
        return {source.id: _describe_files(source) for source in self._cut(number)}

    def _take(self) -> Iterator[Sequence[ImageSource]]:
        """Take free shards, and yield those of their images that have no answer yet, as many as are read together."""
        for number in list(self._open):
            if self._path(number).exists():
                self._finish(number)
                continue
            lock = try_lock(self._lock(number))
            if lock is None:
                continue
            if self._path(number).exists():  # since we looked
                self._finish(number)
                drop_lock(lock)
                continue
            sources = self._cut(number)
            files = self._describe(number)
            taken = _Taken(number, lock, files, set(files))
            self._taken[number] = taken
            self._of |= dict.fromkeys(files, taken)
            self._use_old(taken)
            missing = [source for source in sources if source.id in taken.pending]
            self._close(taken)
            for start in range(0, len(missing), self._rows):
                yield missing[start : start + self._rows]

    def _use_old(self, taken: _Taken) -> None:
        """Take over answers for files that are as they were."""
        there: dict[Path, list[str]] = {}
        for sample, files in taken.files.items():
            path, described = self._old.get(sample, (None, ""))
            if path and described == files:
                there.setdefault(path, []).append(sample)
        for path, samples in there.items():
            old = read_shard(path)
            if old is None:  # damaged since
                continue
            place = {sample: row for row, sample in enumerate(old.rows.ids)}
            taken.rows.append(old.rows.take([place[sample] for sample in samples]))
            taken.doubts |= {sample: old.doubts[sample] for sample in samples if sample in old.doubts}
            taken.pending.difference_update(samples)

    def _note(self, batch: Batch) -> None:
        """Keep what reading a batch has shown."""
        ids = (*batch.ids, *(one.id for one in batch.rejected))
        if ids:
            taken = self._of[ids[0]]  # a batch is of one shard
            taken.rejected += batch.rejected
            taken.bits.update(batch.bits)
            taken.stacks.update(batch.stacks)
            taken.pending.difference_update(one.id for one in batch.rejected)
            self._close(taken)

    def _close(self, taken: _Taken) -> None:
        """Write a shard of which all images are done."""
        if taken.pending or taken.number not in self._taken:
            return
        write_shard(self._path(taken.number), taken.finish())
        del self._taken[taken.number]
        for sample in taken.files:
            del self._of[sample]
        self._finish(taken.number)
        drop_lock(taken.lock)


@contextmanager
def open_shards(out: Path, about: Mapping[str, str], overwrite: bool, size: int | None = None) -> Iterator[Shards]:
    """Open what an output folder keeps of a prediction; it is removed in the end if there is no answer in it.

    Args:
        out: folder of the tables, made where absent.
        about: what the answers depend on beside the images, by the words for it.
        overwrite: drop what is kept of a prediction that differs in this, where no other process is at it.
        size: images a shard; None: as those that are kept, else `SHARD_SIZE`.

    Raises:
        UserError: there are answers of a prediction that differs, or the folder cannot be written to.
    """
    folder = out / FOLDER
    workers = Workers(folder, out)
    try:
        with workers.alone():
            workers.join()
            known = _find_manifest(folder)
            others = workers.count_others(planned=True)
            kept = known["about"] if known else {}
            differing = [name for name in {**about, **kept} if kept.get(name) != about.get(name)] if known else []
            if differing and (others or (any(folder.glob("*.npz")) and not overwrite)):
                another = " and ".join(differing)
                raise UserError(
                    f"{out}: another process is predicting into this folder with another {another}; wait for it, or "
                    "name another folder with --out"
                    if others
                    else f"{out}: holds answers of an unfinished prediction with another {another}; give the same to "
                    "go on with it, name another folder with --out, or drop these answers with --overwrite"
                )
            if differing or known is None:
                for path in folder.glob("*.npz"):
                    path.unlink()
                if differing:  # else a process was killed that had written its tables, and what it kept is half gone
                    (folder / FINISHING).unlink(missing_ok=True)
                known = {"key": secrets.token_hex(8), "about": dict(about), "images": "", "count": 0}
                known["shard_size"] = size or SHARD_SIZE
                write_json(folder / _MANIFEST, known)
        shards = Shards(folder, out, workers, known, size)
    except BaseException:
        workers.leave()
        raise
    try:
        yield shards
    finally:
        shards.leave()


def is_finishing(out: Path) -> bool:
    """Tell whether a prediction was interrupted while its tables got their names, so that tables there are its own."""
    return (out / FOLDER / FINISHING).exists()


def _identify(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from one that takes its place; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _find_manifest(folder: Path) -> dict[str, Any] | None:
    """Return what says which prediction is kept; None where nothing says so."""
    try:
        found = read_json(folder / _MANIFEST)
    except (UserError, OSError):
        return None
    kinds = {"key": str, "about": dict, "images": str, "count": int, "shard_size": int}
    sound = all(isinstance(found.get(name), kind) for name, kind in kinds.items()) and found["shard_size"] > 0
    return found if sound else None


def _describe_files(source: ImageSource) -> str:
    """Return a sample's files with their sizes and times, by which a change is noticed on every machine."""
    from hpa_hier.data.images.readers import find_file

    texts = []
    for file in sorted({find_file(one) for plane in source.planes.values() for one in plane.files}):
        try:
            found = file.stat()
        except OSError:
            continue  # reading it says what is wrong
        texts.append(f"{file.name}:{found.st_size}:{found.st_mtime_ns}")
    return "|".join(texts)
