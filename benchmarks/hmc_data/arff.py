"""ARFF files of hierarchical multi-label data sets: numbers, nominal values, and one attribute of classes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hpa_hier.errors import UserError
from hpa_hier.files.spelling import did_you_mean

MAX_BYTES = 1 << 30
_NUMERIC = ("numeric", "real", "integer")
_ATTRIBUTE = re.compile(
    r"""@attribute\s+(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^\s{]+))(?:\s+|(?=\{))(.*)""", re.I | re.S
)
_QUOTED = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_TOKEN = re.compile(rf"(?<![^\s,{{])(?:{_QUOTED})|(\s+%)|.", re.S)  # a quoted value, where a comment begins, a sign
_PAIR = re.compile(rf"(?:(?<=\s)(?:{_QUOTED})|[^,])+")  # of a sparse row: number and value, which may be quoted
_LINE_END = re.compile(r"\r\n|\n|\r")
_CELL = re.compile(r"""\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^,]*?))\s*(?:,|$)""")


@dataclass(frozen=True)
class Arff:
    """A file's samples.

    Attributes:
        source: the file, as errors call it.
        features: F names; a nominal attribute has one for each of its values, `name=value`.
        values: (B, F) float32; NaN where a value is missing, in all columns of a nominal attribute alike.
        classes: the entries of the hierarchical attribute, as written.
        annotations: the classes of each of B samples, as written.
        lines: 1-based line of each sample.
    """

    source: str
    features: tuple[str, ...]
    values: np.ndarray
    classes: tuple[str, ...]
    annotations: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]


@dataclass(frozen=True)
class _Attribute:
    name: str
    values: tuple[str, ...] | None  # of a nominal attribute; None: a number
    classes: tuple[str, ...] | None  # of the hierarchical attribute


def read_arff(path: Path) -> Arff:
    """Read an ARFF file with exactly one `hierarchical` attribute.

    Keywords are understood in any case; names and values may be quoted, rows may be sparse (`{3 1.5, 7 a}`, what is not
    named is 0 or the first nominal value). A sample's classes are separated by `@`.

    Raises:
        UserError: the file is absent or not ARFF; with the line where there is one.
    """
    lines = _LINE_END.split(_text(path))  # not `splitlines`, which breaks values at signs such as U+0085
    attributes, first = _header(path, lines)
    found = [place for place, attribute in enumerate(attributes) if attribute.classes is not None]
    if len(found) != 1:
        raise UserError(f"{path}: {len(found)} attributes are `hierarchical`; exactly one must hold the classes")
    features, offsets = _features(attributes)
    rows = [(number, _drop_comment(line.strip())) for number, line in enumerate(lines[first:], first + 1)]
    rows = [(number, line) for number, line in rows if line and not line.startswith("%")]
    if not rows:
        raise UserError(f"{path}: there is no sample below @DATA")
    values = np.zeros((len(rows), len(features)), np.float32)
    annotations = []
    for i, (number, line) in enumerate(rows):
        where = f"{path}:{number}"
        cells = _sparse(line, attributes, where) if line.startswith("{") else _dense(line, len(attributes), where)
        annotations.append(_annotation(cells[found[0]], where))
        _fill(values[i], cells, attributes, offsets, where)
    classes = attributes[found[0]].classes or ()
    return Arff(str(path), features, values, classes, tuple(annotations), tuple(number for number, _ in rows))


def _drop_comment(text: str) -> str:
    """Return a type or a row without the comment behind it; a `%` in quotes is none."""
    if "%" not in text:
        return text
    comment = next((token for token in _TOKEN.finditer(text) if token[1]), None)
    return text[: comment.start()].strip() if comment else text


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path}: more than {MAX_BYTES:,} bytes; is it the right file?")
        return path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: byte {error.start:,} is not UTF-8 text; an ARFF file is text") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None


def _header(path: Path, lines: list[str]) -> tuple[list[_Attribute], int]:
    """Return the attributes, and the number of lines up to and with @DATA."""
    attributes: list[_Attribute] = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        keyword = text.split(None, 1)[0].casefold() if text else ""
        if keyword == "@data":
            if not attributes:
                raise UserError(f"{path}:{number}: @DATA comes before any @ATTRIBUTE")
            return attributes, number
        if keyword == "@attribute":
            attributes.append(_attribute(text, f"{path}:{number}"))
            if attributes[-1].name in [one.name for one in attributes[:-1]]:
                raise UserError(f"{path}:{number}: a second attribute called {attributes[-1].name!r}; rename one")
        elif keyword and keyword != "@relation" and not keyword.startswith("%"):
            raise UserError(
                f"{path}:{number}: {text[:40]!r} is not ARFF; a header holds @RELATION and @ATTRIBUTE lines"
            )
    raise UserError(f"{path}: no @DATA line; an ARFF file has one between its header and its samples")


def _attribute(text: str, where: str) -> _Attribute:
    match = _ATTRIBUTE.fullmatch(text)
    if not match:
        raise UserError(f"{where}: {text[:40]!r} lacks a name or a type, as in `@ATTRIBUTE width numeric`")
    name, kind = _unquoted(match[1], match[2], match[3]), _drop_comment(match[4]).strip()
    word = kind.split(None, 1)[0].casefold()
    if kind.startswith("{"):
        if not kind.endswith("}"):
            raise UserError(f"{where}: the values of {name!r} are not closed by a brace")
        return _Attribute(name, tuple(_cells(kind[1:-1])), None)
    if word in _NUMERIC:
        return _Attribute(name, None, None)
    if word == "hierarchical":
        entries = tuple(entry.strip() for entry in kind[len(word) :].strip(" \t{}").split(","))
        entries = tuple(entry for entry in entries if entry)
        if not entries:
            raise UserError(f"{where}: the hierarchical attribute {name!r} lists no class")
        return _Attribute(name, None, entries)
    raise UserError(
        f"{where}: attribute {name!r} is of type {word!r}; numeric, nominal ({{a,b}}) and hierarchical can be used"
    )


def _features(attributes: list[_Attribute]) -> tuple[tuple[str, ...], list[int]]:
    """Return the features' names, and the first column of each attribute."""
    names: list[str] = []
    offsets = []
    for attribute in attributes:
        offsets.append(len(names))
        if attribute.values is not None:
            names.extend(f"{attribute.name}={value}" for value in attribute.values)
        elif attribute.classes is None:
            names.append(attribute.name)
    return tuple(names), offsets


def _cells(text: str) -> Iterator[str]:
    """Split at commas outside quotes."""
    if "'" not in text and '"' not in text:
        yield from (cell.strip() for cell in text.split(","))
        return
    place = 0
    while place <= len(text):
        match = _CELL.match(text, place)
        if not match:  # an apostrophe inside a word, or a quote that is not closed
            end = text.find(",", place)
            end = len(text) if end < 0 else end
            yield text[place:end].strip()
            place = end + 1
            continue
        yield _unquoted(match[1], match[2], match[3])
        if match.end() == len(text) and not text.endswith(","):
            return
        place = match.end() if match.end() < len(text) else len(text) + 1
    if text.endswith(","):
        yield ""


def _unquoted(single: str | None, double: str | None, bare: str | None) -> str:
    quoted = single if single is not None else double
    return (bare or "") if quoted is None else re.sub(r"\\(.)", r"\1", quoted)


def _dense(line: str, count: int, where: str) -> list[str]:
    cells = list(_cells(line if "," in line else line.replace("\t", ",")))
    if len(cells) == count + 1 and not cells[-1]:
        cells.pop()  # a comma behind the last value
    if len(cells) == count + 1 and cells[-1].startswith("{"):
        raise UserError(f"{where}: a weight {cells[-1]} behind the row; weights are not used, so remove it")
    if len(cells) != count:
        raise UserError(f"{where}: {len(cells)} values where the header has {count} attributes")
    return cells


def _sparse(line: str, attributes: list[_Attribute], where: str) -> list[str]:
    """Return a value for each attribute of a row that names only some, by their number from 0."""
    cells = [attribute.values[0] if attribute.values else "0" for attribute in attributes]
    for place, attribute in enumerate(attributes):
        if attribute.classes is not None:
            cells[place] = ""
    if not line.endswith("}"):
        raise UserError(f"{where}: a sparse row that is not closed by a brace")
    given: set[int] = set()
    for pair in _PAIR.findall(line[1:-1]):
        index, value = (*pair.split(None, 1), "", "")[:2]
        if not index:
            continue
        if not index.isdecimal() or int(index) >= len(attributes):
            raise UserError(
                f"{where}: {index!r} is not an attribute's number; they run from 0 to {len(attributes) - 1}"
            )
        if int(index) in given:
            raise UserError(f"{where}: attribute {index} has two values in one row; remove one")
        given.add(int(index))
        cells[int(index)] = next(_cells(value), "")
    return cells


def _annotation(cell: str, where: str) -> tuple[str, ...]:
    classes = tuple(name.strip() for name in cell.split("@"))
    classes = tuple(dict.fromkeys(name for name in classes if name))
    if not classes or classes == ("?",):
        raise UserError(f"{where}: a sample without a class; remove the row, or annotate it with the root")
    return classes


def _fill(row: np.ndarray, cells: list[str], attributes: list[_Attribute], offsets: list[int], where: str) -> None:
    """Write a sample's values into its row, (F,) zeros."""
    for cell, attribute, column in zip(cells, attributes, offsets, strict=True):
        if attribute.classes is not None:
            continue
        if attribute.values is None:
            row[column] = np.nan if cell == "?" else _number(cell, attribute.name, where)
        elif cell in attribute.values:
            row[column + attribute.values.index(cell)] = 1
        elif cell == "?":
            row[column : column + len(attribute.values)] = np.nan
        else:
            raise UserError(
                f"{where}: {cell!r} is none of the values of {attribute.name!r}{did_you_mean(cell, attribute.values)}"
            )


def _number(cell: str, name: str, where: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        raise UserError(
            f"{where}: {cell[:40]!r} is not a number, which {name!r} needs; a missing value is `?`"
        ) from None
    if not abs(value) < 3e38:
        raise UserError(f"{where}: {name!r} is {cell}; values must be finite, and a missing one is `?`")
    return value
