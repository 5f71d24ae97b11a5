"""Image names: which image a row of a label table means, where images of several folders are called alike."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hpa_hier.data.labels.ids import find_id

_SIGNS = re.compile(r"[\W_]+")
_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")
_LISTED = 3  # folders that a message names


class ImageName(NamedTuple):
    """A name that an image is known by."""

    id: str
    name: str  # of a file of it, without suffix, with or without its channel
    folders: tuple[str, ...] = ()  # that the file is in


@dataclass(frozen=True)
class ImageNames:
    """The names of all images in a folder.

    >>> wells = [ImageName("plate1_a", "a", ("plate1",)), ImageName("plate2_a", "a", ("plate2",)), ImageName("b", "b")]
    >>> ImageNames(wells).find_ids(["plate2/a.png", "a.png", "b", "c.tif"], ["plate"], [[""], ["1"], [""], [""]])
    (['plate2_a', 'plate1_a', 'b', 'c'], {})
    """

    known: Iterable[ImageName]  # gone over again each time that rows are read, so that no list need be kept

    def find_ids(
        self, cells: Sequence[str], header: Sequence[str], rows: Sequence[Sequence[str]]
    ) -> tuple[list[str], dict[int, str]]:
        """Find the id of the image that each row means.

        A cell may be an id, a name, or a path in any of the ways systems write them. Where images of several folders
        have the name, the one is meant whose folders stand in the path or in other cells of the row: `plate1` or
        `1` below the header `plate` means the folder `plate1`, `Plate_01` too.

        Args:
            cells: what each row has for an id.
            header: of the other cells.
            rows: each row's cells, as many as the header has.

        Returns:
            The ids, those of unknown images too; and for rows that fit several images alike, the reason.
        """
        images = _Index(self.known)
        ids: list[str] = []
        unclear: dict[int, str] = {}
        claims: dict[str, list[tuple[int, int]]] = {}  # id → (how well it fits, row) of those that give a path
        for i, (cell, row) in enumerate(zip(cells, rows, strict=True)):
            name, above = find_id(cell), _list_folders(cell)
            words = {_simplify(word) for word in (*above, *row)}
            words |= {_simplify(title + word) for title, word in zip(header, row, strict=False) if word}
            leading, score = images.find_fitting(name, words, bool(above))
            ids.append(leading[0] if len(leading) == 1 else name)
            if len(leading) > 1:
                unclear[i] = _describe_unclear(name, [images.folders[name][one] for one in leading])
            elif leading and above:
                claims.setdefault(leading[0], []).append((score, i))
        for claimed in claims.values():
            best = max(score for score, _ in claimed)
            for score, i in claimed:
                if score < best:  # another row gives this image's folder: this one's image is not there
                    ids[i] = "_".join((*_list_folders(cells[i])[-1:], find_id(cells[i])))
        return ids, unclear


class _Index:
    """Which images are called how."""

    def __init__(self, known: Iterable[ImageName]) -> None:
        self.folders: dict[str, dict[str, tuple[str, ...]]] = {}  # name → id → folders
        for one in known:
            self.folders.setdefault(one.name, {}).setdefault(one.id, one.folders)
        for one in known:
            self.folders.setdefault(one.id, {one.id: one.folders})

    def find_fitting(self, name: str, words: set[str], is_path: bool) -> tuple[list[str], int]:
        """Return the ids of the images that a name and words beside it fit best, and how many folders they name."""
        folders = self.folders.get(name, {})
        scores = {one: sum(_simplify(part) in words for part in above) for one, above in folders.items()}
        best = max(scores.values(), default=0)
        leading = [one for one, score in scores.items() if score == best]
        nearest = min((len(folders[one]) for one in leading), default=0)
        if best or is_path or not nearest:
            leading = [one for one in leading if len(folders[one]) == nearest]
        return leading, best


def _list_folders(cell: str) -> list[str]:
    return [part for part in re.split(r"[/\\]", cell)[:-1] if part not in ("", ".", "..")]


def _simplify(word: str) -> str:
    """Return a folder's or a plate's name without case, signs and leading zeros of numbers."""
    return _ZEROS.sub("", _SIGNS.sub("", word.casefold()))


def _describe_unclear(name: str, folders: Sequence[tuple[str, ...]]) -> str:
    places = ["/".join(one) or "the folder itself" for one in folders]
    more = f" and {len(places) - _LISTED:,} more" if len(places) > _LISTED else ""
    example = "/".join((*max(folders, key=len), name))
    return f"{name} is in {', '.join(places[:_LISTED])}{more}; write the path, as in {example}, or a column of plates"
