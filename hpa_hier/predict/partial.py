"""Partial: the answers of an unfinished prediction, kept batch by batch beside its tables, so that it can go on."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_json, write_bytes, write_json
from hpa_hier.files.lock import lock_folder
from hpa_hier.predict.formats.rows import Rows

if TYPE_CHECKING:
    from hpa_hier.data.images.scan import ImageSource

FOLDER = ".predict.partial"
_PARTS = "[0-9]*.npz"  # and no file under a temporary name, which begins with a dot
_STATE, _FINISHING = "state.json", "finishing"  # the latter is there while the tables get their names


class Partial:
    """What is kept of a prediction, and which image each answer is for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._parts = sorted(folder.glob(_PARTS))
        self._kept: dict[str, tuple[int, int, str]] = {}  # sample → part, row there, its files as they were
        for part in range(len(self._parts)):
            self._note(part)
        self._files: dict[str, str] = {}  # samples asked for, in order → their files as they are

    @property
    def done(self) -> int:
        """How many of the samples asked for are answered."""
        return sum(map(self._is_kept, self._files))

    def find_missing(self, sources: Sequence[ImageSource]) -> tuple[ImageSource, ...]:
        """Return the images that are asked for and not answered yet, or have changed since."""
        self._files = {source.id: _describe_files(source) for source in sources}
        return tuple(source for source in sources if not self._is_kept(source.id))

    def add(self, rows: Rows) -> None:
        """Keep the answers of a batch: on disk when this returns."""
        text = {
            "columns": {name: list(values) for name, values in rows.columns.items()},
            "submitted": rows.submitted,
            "files": [self._files[sample] for sample in rows.ids],
        }
        packed = io.BytesIO()
        np.savez(packed, probs=rows.probs, text=np.frombuffer(json.dumps(text).encode(), np.uint8))
        path = self.folder / f"{len(self._parts):08d}.npz"
        write_bytes(path, packed.getvalue())
        self._parts.append(path)
        self._note(len(self._parts) - 1)

    def rows(self) -> Iterator[Rows]:
        """Yield all answers in the order in which the samples were asked for, without those that cannot be read."""
        run: list[int] = []
        last = -1
        for sample in filter(self._is_kept, self._files):
            part, row, _ = self._kept[sample]
            if run and (part != last or row <= run[-1]):
                yield self._read(last)[0].take(run)
                run = []
            run.append(row)
            last = part
        if run:
            yield self._read(last)[0].take(run)

    def finish(self) -> None:
        """Note that the tables are complete and about to get their names."""
        (self.folder / _FINISHING).touch()

    def remove(self) -> None:
        """Remove what was kept, as the tables have it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _is_kept(self, sample: str) -> bool:
        return sample in self._kept and self._kept[sample][2] == self._files[sample]

    def _note(self, part: int) -> None:
        rows, files = self._read(part)
        self._kept |= {
            sample: (part, row, file) for row, (sample, file) in enumerate(zip(rows.ids, files, strict=True))
        }

    def _read(self, part: int) -> tuple[Rows, list[str]]:
        with np.load(self._parts[part]) as kept:
            text = json.loads(kept["text"].tobytes())
            return Rows(text["columns"], tuple(text["submitted"]), kept["probs"]), text["files"]


@contextmanager
def open_partial(out: Path, about: Mapping[str, str], overwrite: bool) -> Iterator[Partial]:
    """Open what an output folder keeps of an unfinished prediction; remove it in the end if there is no answer in it.

    Args:
        out: folder of the tables, made where absent.
        about: what the answers depend on beside the images, by the words for it.
        overwrite: drop what is kept of a prediction that differs in this.

    Raises:
        UserError: there are answers of a prediction that differs, another process is at it, or the folder cannot be
            written to.
    """
    folder = out / FOLDER
    with lock_folder(folder, "predicting into", out):
        try:
            kept = _find_state(folder, about)
            differing = [name for name, value in about.items() if kept is not None and kept.get(name) != value]
            if differing and any(folder.glob(_PARTS)) and not overwrite:
                raise UserError(
                    f"{out}: holds answers of an unfinished prediction with another {' and '.join(differing)}; give "
                    "the same to go on with it, name another folder with --out, or drop these answers with --overwrite"
                )
            if differing or kept is None:
                for path in folder.glob(_PARTS):
                    path.unlink()
                (folder / _FINISHING).unlink(missing_ok=True)
                write_json(folder / _STATE, dict(about))
            yield Partial(folder)
        finally:
            if folder.is_dir() and not any(folder.glob(_PARTS)):
                shutil.rmtree(folder, ignore_errors=True)


def is_finishing(out: Path) -> bool:
    """Tell whether a prediction was interrupted while its tables got their names, so that tables there are its own."""
    return (out / FOLDER / _FINISHING).exists()


def _find_state(folder: Path, about: Mapping[str, str]) -> dict[str, str] | None:
    """Return what the answers kept depend on; None where nothing says so."""
    try:
        kept = read_json(folder / _STATE)
    except UserError:
        return None
    return kept if isinstance(kept, dict) and kept.keys() == about.keys() else {}


def _describe_files(source: ImageSource) -> str:
    """Return a sample's files with their sizes and times, by which a change is noticed."""
    texts = []
    for file in sorted({plane.file for plane in source.planes.values()}):
        try:
            found = file.stat()
        except OSError:
            continue  # reading it says what is wrong
        texts.append(f"{file.absolute()}:{found.st_size}:{found.st_mtime_ns}")
    return "|".join(texts)
