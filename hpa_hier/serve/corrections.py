"""Corrections: labels that people gave to images, kept on disk with the images, as `ensemble adapt` takes them."""

from __future__ import annotations

import csv
import hashlib
import io
import re
import shutil
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hpa_hier.data.images.channels import CHANNELS
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import write_bytes, write_text
from hpa_hier.files.csv_file import read_csv
from hpa_hier.files.lock import lock_folder
from hpa_hier.files.shell import command, path_from_here
from hpa_hier.files.spelling import did_you_mean
from hpa_hier.files.tables import safe_cell
from hpa_hier.serve.catalog import Listed, find_label_nodes
from hpa_hier.serve.safety.refusal import Refusal, one_line
from hpa_hier.taxonomy import Taxonomy

TABLE, IMAGES = "labels.csv", "images"
_COLUMNS = ("id", "labels", "note", "when")
_NOT_LABELS = "note,when"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # of a run
_ONE = threading.Lock()  # requests of this process; another process is refused
_BETWEEN = "|"  # names of one image


@dataclass(frozen=True)
class Corrections:
    """The corrections of one ensemble's answers: `labels.csv`, and `images/<id>_<channel>.png`."""

    folder: Path

    @classmethod
    def of(cls, home: Path, listed: Listed) -> Corrections:
        """Return those of an ensemble, below the folder for all."""
        return cls(home / listed.name)

    @property
    def table(self) -> Path:
        """The label table."""
        return self.folder / TABLE

    @property
    def images(self) -> Path:
        """The folder of images."""
        return self.folder / IMAGES

    def rows(self) -> list[dict[str, str]]:
        """Return the table's rows, with whatever columns people have added; () where there is none yet."""
        if not self.table.is_file():
            return []
        table = read_csv(self.table)
        lacking = [name for name in _COLUMNS[:2] if name not in table.header]
        if lacking:
            raise UserError(f"{self.table}: no column '{lacking[0]}'; put it back, or move the file")
        return [dict(zip(table.header, row, strict=True)) for row in table.rows]

    def keep(self, sample: str, planes: Mapping[str, Path], labels: Sequence[str], note: str = "") -> str:
        """Keep a sample's labels with its images, and return the id that it has there.

        A sample whose pixels are there already gets the new labels; another one of the same id gets an id of its own.

        Args:
            sample: its id.
            planes: PNG file of each channel.
            labels: names of nodes.
            note: what the user wrote beside.
        """
        with _ONE, lock_folder(self.folder, "correcting into", flag="--corrections "):
            rows = self.rows()
            kept = self._find_id(sample, planes, rows)
            for channel, file in planes.items():
                write_bytes(self._file(kept, channel), file.read_bytes())
            row = {"id": kept, "labels": _BETWEEN.join(labels), "note": one_line(note), "when": _now()}
            place = next((i for i, one in enumerate(rows) if one["id"] == kept), len(rows))
            rows[place : place + 1] = [{**(rows[place] if place < len(rows) else {}), **row}]
            self._write(rows)
        return kept

    def remove(self, kept: str) -> None:
        """Take one correction back."""
        with _ONE, lock_folder(self.folder, "correcting into", flag="--corrections "):
            self._write([row for row in self.rows() if row["id"] != kept])
            for channel in CHANNELS:
                self._file(kept, channel).unlink(missing_ok=True)

    def count(self) -> Counter[str]:
        """Count images by node."""
        return Counter(node for row in self.rows() for node in row["labels"].split(_BETWEEN) if node)

    def _file(self, kept: str, channel: str) -> Path:
        return self.images / f"{kept}_{channel}.png"

    def _find_id(self, sample: str, planes: Mapping[str, Path], rows: Sequence[Mapping[str, str]]) -> str:
        """Return the id under which these pixels are kept, or a free one."""
        taken = {row["id"].casefold(): row["id"] for row in rows}
        own, number = _digest(planes), 1
        while True:
            name = sample if number == 1 else f"{sample}~{number}"
            other = taken.get(name.casefold())
            if other is None:
                return name
            files = {channel: self._file(other, channel) for channel in CHANNELS}
            if _digest({channel: file for channel, file in files.items() if file.is_file()}) == own:
                return other
            number += 1

    def _write(self, rows: Sequence[Mapping[str, str]]) -> None:
        columns = list(dict.fromkeys([*_COLUMNS, *(name for row in rows for name in row)]))
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([safe_cell(row.get(name, "")) for name in columns] for row in rows)
        write_text(self.table, text.getvalue())


def check_labels(tree: Taxonomy, names: Sequence[str]) -> list[str]:
    """Return nodes that an image can be labelled with, by whatever the tree calls them, in its order.

    Raises:
        Refusal: there is none, one is unknown or a group that is no label, or the tree allows one only.
    """
    able = find_label_nodes(tree)
    found = set()
    for name in names:
        node = tree.find_node(name)
        if node not in able:
            near = did_you_mean(name, able)
            cure = near or "; GET /ensembles/NAME lists them"
            if node:
                cure = f"; it is a group, name a place below it: {', '.join(tree.leaves_below(node)[:5])}"
            raise Refusal("cannot", f"'{name[:80]}' is no label of '{tree.name}'{cure}")
        found.add(node)
    if not found:
        raise Refusal("cannot", "no label; name one or more, or say unsure")
    if tree.exclusive and len(found) > 1:
        raise Refusal("cannot", f"'{tree.name}' has one label an image; got {', '.join(sorted(found))}")
    return [node for node in able if node in found]


def adapt_command(
    listed: Listed, kept: Corrections, artifacts: Path, out: str | None, may_be_missing: Sequence[str] = ()
) -> tuple[str, Path]:
    """Return the command that adapts an ensemble to its corrections, and the folder of the new run.

    Raises:
        Refusal: the new run's name cannot be one, or is taken.
    """
    home = listed.folder.name if listed.name == listed.folder.name else listed.name.replace("~", "-")
    names = [out] if out else [f"{home}-corrected", *(f"{home}-corrected-{n}" for n in range(2, 1000))]
    if out and not _NAME.fullmatch(out):
        raise Refusal("cannot", f"'{out[:80]}' cannot be a run's name; use letters, digits, '.', '-' and '_'")
    folder = next((artifacts / name for name in names if not (artifacts / name).exists()), None)
    if folder is None:
        raise Refusal("conflict", f"{artifacts / names[0]}: is there already; name another run")
    line = command(
        "ensemble",
        "adapt",
        run=listed.folder,
        images=path_from_here(kept.images.absolute()),
        labels=path_from_here(kept.table.absolute()),
        ignore_columns=_NOT_LABELS,
        may_be_missing=",".join(may_be_missing) or None,
        out=str(Path(path_from_here(folder.absolute()))),
    )
    return line, folder


def missing_channels(listed: Listed, kept: Corrections) -> list[str]:
    """Return the channels that some corrected images lack, beside those that training images lacked."""
    spec, found = listed.spec, []
    ids = [row["id"] for row in kept.rows()]
    for channel in spec.channels:
        lacking = any(not (kept.images / f"{one}_{channel}.png").is_file() for one in ids)
        if channel not in spec.may_be_missing and lacking:
            found.append(channel)
    return found


def describe(listed: Listed, kept: Corrections, artifacts: Path) -> dict[str, Any]:
    """Return what is kept for an ensemble, and the command that adapts it; see `GET /corrections/{ensemble}`."""
    rows = kept.rows()
    line = adapt_command(listed, kept, artifacts, None, missing_channels(listed, kept))[0] if rows else None
    return {
        "folder": str(kept.folder.absolute()),
        "table": str(kept.table.absolute()),
        "count": len(rows),
        "classes": dict(kept.count()),
        "rows": [
            {"labels": row["labels"].split(_BETWEEN), **{name: row.get(name, "") for name in ("id", "note", "when")}}
            for row in rows
        ],
        "command": line,
        "reason": None if rows else "nothing is corrected yet",
    }


def clear_folder(folder: Path) -> None:
    """Make an empty folder for planes on their way."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _digest(files: Mapping[str, Path]) -> str:
    digest = hashlib.sha256()
    for channel in sorted(files):
        digest.update(f"{channel}\0{files[channel].stat().st_size}\0".encode())
        digest.update(files[channel].read_bytes())
    return digest.hexdigest()


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
