"""YAML as people edit it, read strictly: plain data with line numbers, and nothing that can run, explode or guess.

The subset: mappings, lists and scalars. No anchors, aliases, merges, tags or second documents; no key twice; at most
`MAX_DEPTH` levels. Keys are text. Unquoted scalars follow YAML 1.2: `true`, `false`, `null`, whole numbers and decimal
numbers are what they look like; everything else is text (`no`, `on`, `012`, `12:30` and `2024-01-01` too).
"""

from __future__ import annotations

import math
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import yaml

from hpa_hier.errors import UserError

Value: TypeAlias = "dict[str, Value] | list[Value] | str | int | float | bool | None"
Key: TypeAlias = "str | int"  # a mapping's key, or a list item's index

MAX_BYTES = 1_000_000  # a taxonomy of all of GO's cellular components has a third of this
MAX_DEPTH = 32  # mappings and lists inside each other
_MAX_DIGITS = 18  # longer runs of digits are identifiers rather than numbers, and stay text

_TAB_INDENT = re.compile(r"^ *\t[ \t]*[^ \t\r\n]", re.MULTILINE)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # a scalar may hold tabs and line ends only
_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass(frozen=True)
class YamlDocument:
    """A YAML text's value, with the line that each part of it stands on."""

    value: Value
    source: str  # the file as the user named it; errors begin with it
    lines: dict[tuple[Key, ...], int] = field(repr=False)  # path → 1-based line

    def line(self, *keys: Key) -> int:
        r"""Return the 1-based line of a key or list item; of the nearest thing around it where there is none.

        >>> parse_yaml("a: 1\nb:\n  c: [2, 3]", "x.yaml").line("b", "c", 1)
        3
        """
        while keys and keys not in self.lines:
            keys = keys[:-1]
        return self.lines.get(keys, 1)

    def error(self, problem: str, *keys: Key) -> UserError:
        """Return a UserError that begins with the file and the line of `keys`."""
        return UserError(f"{self.source}:{self.line(*keys)}: {problem}")


def read_yaml(path: Path, *, max_bytes: int = MAX_BYTES) -> YamlDocument:
    """Read a YAML file that a person wrote.

    Args:
        path: the file; errors name it as given here.
        max_bytes: larger files are refused before they are read.

    Raises:
        UserError: no such file, not a readable UTF-8 text file, too large, or not in the strict subset of YAML.
    """
    return parse_yaml(read_text(path, max_bytes=max_bytes), str(path))


def read_text(path: Path, *, max_bytes: int = MAX_BYTES) -> str:
    """Read a text file that a person wrote: UTF-8, with or without a byte order mark.

    Raises:
        UserError: the file is absent, not a regular file, unreadable, too large or not UTF-8.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise UserError(f"{path}: this is a folder; name a YAML file")
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"{path}: not an ordinary file; name a YAML file")
        _check_size(path, status.st_size, max_bytes)
        with path.open("rb") as handle:
            content = handle.read(max_bytes + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path}: no such file; check the path") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise UserError(f"{str(path)!r}: cannot be read ({error})") from None
    _check_size(path, len(content), max_bytes)  # it may have grown since
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}:{line}: byte 0x{content[error.start]:02x} is not UTF-8 text; save the file as UTF-8"
        ) from None


def parse_yaml(text: str, source: str) -> YamlDocument:
    r"""Parse YAML text in the strict subset.

    Args:
        text: one YAML document.
        source: what errors call it.

    Returns:
        The value with its lines; an empty text's value is None.

    Raises:
        UserError: with `source:line` and what to do.

    >>> parse_yaml("answer: no\nlabel: 012\nshare: 1e-3", "x.yaml").value
    {'answer': 'no', 'label': '012', 'share': 0.001}
    """
    _check_text(text, source)
    reader = _Reader(source)
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            reader.take(event)
    except yaml.MarkedYAMLError as error:
        raise UserError(_syntax_message(error, source)) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # ValueError: "\U99999999" is no character
        raise UserError(f"{source}:{reader.last_line}: not valid YAML ({_one_line(error)}); correct it there") from None
    return YamlDocument(reader.value, source, reader.lines)


def _check_size(path: Path, size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise UserError(
            f"{path}: {size:,} bytes, more than the {max_bytes:,} that such a file may have; is it the right file?"
        )


def _check_text(text: str, source: str) -> None:
    """Refuse what the scanner would report in words of its own, or not at all: control characters, tabs as indent."""
    bad = re.search(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text)
    if bad:
        line = text.count("\n", 0, bad.start()) + 1
        cause = "a NUL byte: this is no text file" if bad[0] == "\0" else f"the control character {bad[0]!a}"
        raise UserError(f"{source}:{line}: holds {cause}; remove it, or name a YAML file")
    tab = _TAB_INDENT.search(text)
    if tab:
        line = text.count("\n", 0, tab.start()) + 1
        raise UserError(f"{source}:{line}: a tab in the indentation; YAML needs blanks, so replace it by blanks")


def _syntax_message(error: yaml.MarkedYAMLError, source: str) -> str:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    problem = _one_line(error.problem or error.context or "unreadable")
    if "'\\t'" in problem:
        return f"{source}:{line}: a tab where YAML needs blanks; replace it by blanks"
    cure = "check the indentation, brackets and quotes of this line and the one before"
    if "mapping values are not allowed" in problem:
        cure = "check its indentation, and quote text that holds ': '"
    return f"{source}:{line}: not valid YAML ({problem}); {cure}"


def _one_line(message: object) -> str:
    """Return a message of the YAML library as one line of printable ASCII."""
    return " ".join(ascii(str(message))[1:-1].replace("\\n", " ").replace("\\'", "'").replace("\\\\", "\\").split())


@dataclass
class _Open:
    """A mapping or list whose end has not come yet."""

    value: dict[str, Value] | list[Value]
    path: tuple[Key, ...]
    key: str | None = None  # a mapping's key that waits for its value


class _Reader:
    """Builds values from parser events, one by one, without recursion."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.value: Value = None
        self.lines: dict[tuple[Key, ...], int] = {}
        self.last_line = 1
        self._stack: list[_Open] = []
        self._documents = 0

    def take(self, event: yaml.Event) -> None:
        """Take the next event of the YAML parser."""
        if event.start_mark is not None:
            self.last_line = event.start_mark.line + 1
        if isinstance(event, yaml.DocumentStartEvent):
            self._start_document(event)
        elif isinstance(event, yaml.AliasEvent):
            raise self._error(f"the alias '*{event.anchor}'; aliases are not allowed, so write the text out here")
        elif isinstance(event, yaml.NodeEvent):
            self._check_plain(event)
            if isinstance(event, yaml.ScalarEvent):
                self._scalar(event)
            else:
                self._start({} if isinstance(event, yaml.MappingStartEvent) else [])
        elif isinstance(event, yaml.CollectionEndEvent):
            self._stack.pop()

    def _start_document(self, event: yaml.DocumentStartEvent) -> None:
        self._documents += 1
        if self._documents > 1:
            raise self._error("a second document begins here ('---'); a file holds one, so remove it")
        if event.tags:
            raise self._error("a %TAG directive; tags are not allowed, so remove it")

    def _check_plain(self, event: yaml.NodeEvent) -> None:
        if event.anchor is not None:
            raise self._error(f"the anchor '&{event.anchor}'; anchors are not allowed, so remove it")
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise self._error(f"the tag {_one_line(tag)!r}; tags are not allowed, so remove it")

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        bad = _CONTROL.search(event.value)
        if bad:
            raise self._error(f"the control character {bad[0]!a} in a text; remove it")
        inside = self._stack[-1] if self._stack else None
        if inside is not None and isinstance(inside.value, dict) and inside.key is None:
            self._key(inside, event)
        else:
            self._place(plain_value(event.value) if event.style is None else event.value)

    def _key(self, inside: _Open, event: yaml.ScalarEvent) -> None:
        key = event.value
        if key == "<<" and event.style is None:
            raise self._error("the merge key '<<'; merges are not allowed, so write the fields out")
        path = (*inside.path, key)
        if path in self.lines:
            first = self.lines[path]
            raise self._error(f"'{_one_line(key)}' stands here twice, first on line {first}; rename or remove one")
        self.lines[path] = self.last_line
        inside.key = key

    def _start(self, value: dict[str, Value] | list[Value]) -> None:
        inside = self._stack[-1] if self._stack else None
        if inside is not None and isinstance(inside.value, dict) and inside.key is None:
            raise self._error("a list or mapping as a key; a key must be text")
        if len(self._stack) >= MAX_DEPTH:
            raise self._error(f"more than {MAX_DEPTH} levels inside each other; make the file flatter")
        path = self._place(value)
        self._stack.append(_Open(value, path))

    def _place(self, value: Value) -> tuple[Key, ...]:
        """Put a value where the parser stands and return its path."""
        if not self._stack:
            self.value = value
            self.lines[()] = self.last_line
            return ()
        inside = self._stack[-1]
        if isinstance(inside.value, list):
            path = (*inside.path, len(inside.value))
            self.lines[path] = self.last_line
            inside.value.append(value)
            return path
        assert inside.key is not None
        path = (*inside.path, inside.key)
        inside.value[inside.key] = value
        inside.key = None
        return path

    def _error(self, problem: str) -> UserError:
        return UserError(f"{self.source}:{self.last_line}: {problem}")


def plain_value(text: str) -> Value:
    """Return what an unquoted scalar stands for."""
    if text in _WORDS:
        return _WORDS[text]
    if len(text) <= _MAX_DIGITS and _WHOLE.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text) and not _WHOLE.fullmatch(text):
        number = float(text)
        return number if math.isfinite(number) else text
    return text
