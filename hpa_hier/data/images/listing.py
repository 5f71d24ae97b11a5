"""Listings: CSV tables that say where the files of each sample are, as SubCell and CellProfiler take them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

from hpa_hier.data.images.channels import CHANNELS, ChannelHint, find_channel, split_name
from hpa_hier.data.images.grouping import FileGroup
from hpa_hier.data.images.reader import UnreadableImage, holds_parts
from hpa_hier.data.images.readers import find_fetch_fault, find_reader, is_image_folder, split_suffix
from hpa_hier.data.images.walk import ImageFile
from hpa_hier.data.labels.ids import find_id
from hpa_hier.errors import UserError
from hpa_hier.files.csv_file import CsvTable, read_csv
from hpa_hier.files.remote.path import is_remote, to_path

LISTINGS = (".csv", ".tsv")
_LETTERS = {channel[0]: channel for channel in CHANNELS}  # SubCell's r_image, y_image, b_image, g_image
_IDS = frozenset({"outputprefix", "prefix", "id", "imageid", "sample", "sampleid", "name", "imagename"})
_WHOLE = frozenset({"image", "path", "file", "filename", "filepath", "imagepath", "imagefile"})
_ABOUT = re.compile(r"\b(image|img|path|file|filename|filepath|channel|ch)\b")
_FOLDER = "pathname"  # CellProfiler has Image_PathName_DAPI beside Image_FileName_DAPI
_EMPTY = frozenset({"", "nan", "na", "none", "null", "-"})


def read_listing(path: Path, hint: ChannelHint) -> list[FileGroup]:
    """Read a table of paths: a row a sample, a column a channel, or one column for files of all channels.

    A column is a channel by its name, as in `r_image`, `green`, `path_DAPI` or a name that `--channels` gives. The id
    is in `output_prefix`, `id`, `name` and the like, else the files' own. Paths are relative to the table's folder or
    to the working directory. A row that begins with `#` is a comment, but for the header, which may begin so.

    Raises:
        UserError: the table cannot be read, or no column holds paths.
    """
    table = read_csv(path)
    columns = _find_columns(table, hint)
    groups: dict[tuple[tuple[str, ...], str], FileGroup] = {}
    for row, line in zip(table.rows, table.lines, strict=True):
        if row[0].startswith("#"):
            continue
        group = _read_row(path, line, columns.read(row), hint)
        first = groups.setdefault((group.folders, group.name), group)
        if first is not group:
            first.fault = first.fault or (ImageFile(path), f"a second row for it in line {line}")
    return list(groups.values())


class _Row(NamedTuple):
    """What a row tells."""

    id: str  # "" where it gives none
    files: dict[str | None, str]  # by channel; None: of all channels


@dataclass(frozen=True)
class _Columns:
    """Where a table keeps what, as column numbers."""

    files: Mapping[int, str | None]  # the channel of each column of files; None: all channels
    folders: Mapping[str | None, int]  # of files, where these are in columns of their own, by channel
    id: int | None

    def read(self, row: Sequence[str]) -> _Row:
        """Return what a row tells."""
        named = {channel: row[j] for j, channel in self.files.items() if row[j].lower() not in _EMPTY}
        files = {c: _join(row[self.folders[c]] if c in self.folders else "", name) for c, name in named.items()}
        return _Row("" if self.id is None else find_id(row[self.id]), files)


def _find_columns(table: CsvTable, hint: ChannelHint) -> _Columns:
    header = [_simplify(name) for name in table.header]
    folders = {
        _find_channel(name.replace(_FOLDER, "path"), hint): j for j, name in enumerate(header) if _FOLDER in name
    }
    files: dict[int, str | None] = {
        j: channel
        for j, name in enumerate(header)
        if _FOLDER not in name and _holds_files(table, j) and (channel := _find_channel(name, hint))
    }
    for channel in CHANNELS:
        same = [table.header[j] for j, one in files.items() if one == channel]
        if len(same) > 1:
            cure = f"say which with --channels, as in --channels {channel}={same[0]}"
            raise UserError(f"{table.source}:1: the columns {', '.join(same)} are all channel {channel}; {cure}")
    files = files or {j: None for j, name in enumerate(header) if name.replace(" ", "") in _WHOLE}
    if not files:
        names = ", ".join(map(repr, table.header[:8]))
        cure = "name columns of paths red, green, blue and yellow, or r_image and so on, or say --channels green=NAME"
        raise UserError(f"{table.source}:1: no column of image files among {names}; {cure}")
    named = (j for j, name in enumerate(header) if name.replace(" ", "") in _IDS and j not in files)
    return _Columns(files, folders, next(named, None))


def _read_row(table: Path, line: int, row: _Row, hint: ChannelHint) -> FileGroup:
    """Return a row's files; a channel without a cell is one that the sample lacks."""
    first = next(iter(row.files.values()), f"line {line}")
    name = row.id or split_name(find_id(first), hint)[0]
    folders = () if row.id else tuple(re.split(r"[/\\]+", first.strip("/\\"))[:-1])
    group = FileGroup(name, folders)
    if not row.files:
        group.add(ImageFile(table), None, f"line {line} names no file")
    for channel, cell in row.files.items():
        file, fault = _find_file(table, cell)
        group.add(ImageFile(file), channel, f"{fault} (line {line})" if fault else None)
    return group


def _join(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}" if folder else name


def _find_file(table: Path, cell: str) -> tuple[Path, str | None]:
    """Return the file that a cell names, and what is wrong with it; that a remote one is not there shows later."""
    try:
        remote = to_path(cell)
    except UserError as error:
        return Path(cell.partition("://")[0]), str(error)
    if not is_remote(remote) and is_remote(table) and not Path(cell).is_absolute():
        remote = table.parent / cell
    if is_remote(remote):
        named = "" if split_suffix(remote.name)[1] else f"{remote} is no image by its name"
        return remote, named or find_fetch_fault(remote)
    forms = [Path(cell), *([Path(*PureWindowsPath(cell).parts)] if "\\" in cell else [])]
    for file in (place / form for place in (table.parent, Path()) for form in forms):
        if file.exists():
            return _open_only_part(file, cell)
    where = "" if forms[0].is_absolute() else f" in {table.parent.absolute()} or {Path.cwd()}"
    return forms[0], f"no file {cell}{where}"


def _open_only_part(file: Path, cell: str) -> tuple[Path, str | None]:
    """Return the one image of a file, and what is wrong with it."""
    if not split_suffix(file.name)[1] and not is_image_folder(file):
        return file, f"{cell} is no image by its name"
    reader = find_reader(file)
    if not holds_parts(reader):
        return file, None
    try:
        parts = reader.parts(file)
    except UnreadableImage as error:
        return file, error.reason
    several = f"{cell} holds {len(parts)} images, and a row is one; give the file itself in the place of the table"
    return (parts[0].path, None) if len(parts) == 1 else (file, several)


def _simplify(name: str) -> str:
    """Return a header in small letters, its words separated by spaces.

    >>> _simplify("#r_image"), _simplify("Image_FileName_DAPI")
    ('r image', 'image filename dapi')
    """
    return re.sub(r"[\W_]+", " ", name.lower()).strip()


def _holds_files(table: CsvTable, column: int) -> bool:
    """Tell whether cells of a column are files of images by their names: `protein` may be a column of genes."""
    cells = (row[column].rstrip("/\\") for row in table.rows)
    return any(split_suffix(cell)[1] for cell in cells) or bool(_ABOUT.search(_simplify(table.header[column])))


def _find_channel(name: str, hint: ChannelHint) -> str | None:
    """Return the channel that a header means: the whole of it, or what is left without `image`, `path` and so on."""
    if name in hint.names:
        return hint.names[name]
    rest = " ".join(_ABOUT.sub(" ", name).split())
    if rest != name and rest in _LETTERS:
        return _LETTERS[rest]
    return find_channel(rest, hint) if rest else None
