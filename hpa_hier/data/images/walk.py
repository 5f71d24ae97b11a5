"""Walk: the image files of a folder and all its sub-folders; what is no picture of the user's is left aside."""

from __future__ import annotations

import os
import time
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from hpa_hier.data.images.readers import find_fetch_fault, is_image_folder, split_suffix
from hpa_hier.errors import UserError
from hpa_hier.files.faults.shown import show
from hpa_hier.files.remote.path import RemotePath

if TYPE_CHECKING:
    from tqdm import tqdm

FOLLOW = "--follow-links reads it"
# One of these marks a folder of this package's: a pack, finished or not, a run, its parts, and answers.
_OWN = ("pack.json", "request.json", "run.json", "member.json", "ensemble.json", "predictions.csv")
SIMULATED = "simulated.json"  # beside simulated images, so that nobody takes them for real ones
_MASKS = "masks"  # beside simulated images, a folder of masks
_JUNK_FOLDERS = frozenset({"__macosx", "$recycle.bin", "system volume information", "@eadir"})  # in lower case
_SAID_AFTER = 2.0  # seconds; a walk that takes longer shows its progress


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file, or a folder that is one image, found by its name."""

    place: Path  # of itself; where it has an `entry`, of the folder that it is in
    folders: tuple[str, ...] = ()  # names of the folders between what was asked for and the file
    fault: str | None = None  # why it cannot be used
    part: str = ""  # of several images in the file, the name of this one
    entry: str = ""  # its name in a folder that a walk lists: a path for each would take ten times the memory

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.place / self.entry if self.entry else self.place

    @property
    def name(self) -> str:
        """The file's name."""
        return self.entry or self.place.name

    @property
    def stem(self) -> str:
        """The file's name without its suffix, and the name of the part."""
        return unicodedata.normalize("NFC", self.part) if self.part else find_stem(self.name)

    @property
    def shown(self) -> str:
        """The file's path in what was asked for; its address where it is remote."""
        if isinstance(self.place, RemotePath):
            return str(self.path)
        return show("/".join((*self.folders, self.part or self.name)))


def find_stem(name: str) -> str:
    """Return a file's name without its suffix, in the one of Unicode's forms that most systems write."""
    return unicodedata.normalize("NFC", split_suffix(name)[0])


@dataclass
class Walk:
    """What lies in a folder."""

    files: list[ImageFile] = field(default_factory=list)  # by folder, then by name
    ignored: list[str] = field(default_factory=list)  # files that are no images, hidden ones too; a folder ends in /
    closed: list[ImageFile] = field(default_factory=list)  # folders that could not be entered, and why
    entries: int = 0


def walk(folder: Path, follow_links: bool = False) -> Walk:
    """List the image files of a folder and its sub-folders, at any depth.

    Hidden folders, the system's own (`__MACOSX`), packs, runs and answers of this package and the masks beside
    simulated images are not entered.

    Args:
        folder: is entered whatever it is called or holds.
        follow_links: enter linked folders, and take links that leave the folder; a folder is entered once.

    Raises:
        UserError: there is no such folder, or it cannot be read.
    """
    if isinstance(folder, RemotePath):
        return _walk_remote(folder)
    found = Walk()
    top = Path(os.path.realpath(folder))
    entered: set[tuple[int, int]] = set()
    waiting: list[tuple[Path, tuple[str, ...]]] = [(folder, ())]
    with _Counter() as bar:
        while waiting:
            path, folders = waiting.pop()
            try:
                facts = path.stat()
                if (facts.st_dev, facts.st_ino) in entered:  # by another link, or a loop
                    found.ignored.append("/".join(folders) + "/")
                    continue
                entered.add((facts.st_dev, facts.st_ino))
                with os.scandir(path) as listed:
                    entries = sorted(listed, key=lambda entry: entry.name)
            except OSError as error:
                reason = f"cannot be read as a folder of images ({error.strerror})"
                if not folders:
                    raise UserError(f"{folder}: {reason}") from None
                found.closed.append(ImageFile(path, folders[:-1], reason))
                continue
            bar.update(len(entries))
            found.entries += len(entries)
            names = {entry.name for entry in entries}
            if folders and not names.isdisjoint(_OWN):
                found.ignored.append("/".join(folders) + "/")
                continue
            if folders and is_image_folder(path):
                found.files.append(ImageFile(path, folders[:-1]))
                continue
            below = list(_sort_out(path, entries, folders, found, top, follow_links))
            masks = _MASKS if SIMULATED in names else None
            for entry in sorted(below, key=lambda entry: (entry.is_symlink(), entry.name), reverse=True):
                if entry.name == masks:
                    found.ignored.append("/".join((*folders, entry.name)) + "/")
                else:
                    waiting.append((Path(entry.path), (*folders, entry.name)))
    return found


class _Counter:
    """Shows on a terminal how many files were seen, once that takes long; only then is a library imported for it."""

    def __init__(self) -> None:
        self._began, self._count = time.monotonic(), 0
        self._bar: tqdm[NoReturn] | None = None

    def __enter__(self) -> _Counter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, count: int) -> None:
        """Count more files."""
        self._count += count
        if self._bar is not None:
            self._bar.update(count)
        elif time.monotonic() - self._began > _SAID_AFTER:
            from tqdm import tqdm

            self._bar = tqdm(desc="looking for images", unit="file", initial=self._count, leave=False, disable=None)


def _walk_remote(folder: RemotePath) -> Walk:
    """List the image files of a folder of a bucket or web server, by the same rules; it has no links."""
    found = Walk()
    waiting: list[tuple[RemotePath, tuple[str, ...]]] = [(folder, ())]
    with _Counter() as bar:
        while waiting:
            path, folders = waiting.pop()
            entries = list(path.iterdir())
            bar.update(len(entries))
            found.entries += len(entries)
            names = {entry.name for entry in entries}
            if folders and not names.isdisjoint(_OWN):
                found.ignored.append("/".join(folders) + "/")
                continue
            below: list[RemotePath] = []
            for entry in entries:
                shown, is_folder = "/".join((*folders, show(entry.name))), entry.is_dir()
                junk = entry.name.startswith(".") or (is_folder and entry.name.lower() in _JUNK_FOLDERS)
                if not junk and split_suffix(entry.name)[1]:
                    fault = find_fetch_fault(entry) or ("a folder with an image's name" if is_folder else None)
                    fault = fault if entry.name.isprintable() else "its name has signs that cannot be shown; rename it"
                    found.files.append(ImageFile(entry, folders, fault))
                elif junk or not is_folder or (entry.name == _MASKS and SIMULATED in names):
                    found.ignored.append(shown + "/" * is_folder)
                else:
                    below.append(entry)
            waiting += [(entry, (*folders, entry.name)) for entry in reversed(below)]
    return found


def _sort_out(
    path: Path,
    entries: Iterable[os.DirEntry[str]],
    folders: tuple[str, ...],
    found: Walk,
    top: Path,
    follow_links: bool,
) -> Iterator[os.DirEntry[str]]:
    """Put a folder's images and other files where they belong, and yield the folders to enter."""
    for entry in entries:
        shown = "/".join((*folders, show(entry.name)))
        try:
            is_folder = entry.is_dir()
        except OSError as error:  # such as links that lead in a circle
            reason = f"cannot be looked at ({error.strerror})"
            found.files.append(ImageFile(path, folders, reason, entry=entry.name))
            continue
        if entry.name.startswith(".") or (is_folder and entry.name.lower() in _JUNK_FOLDERS):
            found.ignored.append(shown + "/" * is_folder)
        elif split_suffix(entry.name)[1]:
            fault = _find_fault(entry, top, follow_links)
            found.files.append(ImageFile(path, folders, fault, entry=entry.name))
        elif not is_folder:
            found.ignored.append(shown)
        elif entry.is_symlink() and not follow_links:
            target = Path(os.path.realpath(entry.path))
            if target.is_relative_to(top):  # it is entered where it is
                found.ignored.append(shown + "/")
            else:
                fault = f"a link to the folder {target}; {FOLLOW}"
                found.closed.append(ImageFile(Path(entry.path), folders, fault))
        else:
            yield entry


def _find_fault(entry: os.DirEntry[str], top: Path, follow_links: bool) -> str | None:
    if not entry.name.isprintable():
        return "its name has signs that cannot be shown, or is not UTF-8; rename it"
    if entry.is_symlink() and not follow_links:
        target = Path(os.path.realpath(entry.path))
        if not target.is_relative_to(top):
            return f"a link that leaves the folder, to {target}; {FOLLOW}"
    if entry.is_file():
        return None
    if is_image_folder(Path(entry.path)):
        return None
    return "a folder with an image's name" if entry.is_dir() else "no regular file, or a link to nothing"
