"""YAML as people edit it, read strictly: plain data with line numbers, and nothing that can run, explode or guess.

The subset: mappings, lists and scalars. No anchors, aliases, merges, tags or second documents; no key twice; at most
`MAX_DEPTH` levels and `MAX_VALUES` keys and values. Keys are text. Unquoted scalars follow YAML 1.2: `true`, `false`,
`null`, whole numbers and decimal numbers are what they look like; everything else is text (`no`, `on`, `012`, `12:30`
and `2024-01-01` too).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from hpa_hier.errors import UserError
from hpa_hier.files.text_file import read_text

Value: TypeAlias = "dict[str, Value] | list[Value] | str | int | float | bool | None"
Key: TypeAlias = "str | int"  # a mapping's key, or a list item's index

MAX_BYTES = 1_000_000  # a taxonomy of all of GO's cellular components has a third of this
MAX_DEPTH = 32  # mappings and lists inside each other
MAX_VALUES = 60_000  # keys, values, mappings and lists; each takes 25 µs
_WIDTH = 120  # characters of a line that is written
_MAX_DIGITS = 18  # longer runs of digits are identifiers rather than numbers, and stay text

_NO_TEXT = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
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
    """A YAML text's value, with the line of each part of it."""

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

    def at(self, *keys: Key) -> Value:
        """Return the value at a path of keys and list places.

        >>> parse_yaml("a: [b, c]", "x.yaml").at("a", 1)
        'c'
        """
        value = self.value
        for key in keys:
            value = value[key]  # type: ignore[index]
        return value

    def error(self, problem: str, *keys: Key) -> UserError:
        """Return an error that begins with the file and the line of `keys`."""
        return UserError(f"{self.source}:{self.line(*keys)}: {problem}")


def read_yaml(path: Path) -> YamlDocument:
    """Read a YAML file that a person wrote.

    Raises:
        UserError: no such file, not a readable UTF-8 text file, too large, or not in the strict subset of YAML.
    """
    return parse_yaml(read_text(path, "YAML", MAX_BYTES), str(path))


def parse_yaml(text: str, source: str) -> YamlDocument:
    r"""Parse one YAML document in the strict subset; an empty text's value is None.

    Raises:
        UserError: with `source:line` and what to do.

    >>> parse_yaml("answer: no\nlabel: 012\nshare: 1e-3", "x.yaml").value
    {'answer': 'no', 'label': '012', 'share': 0.001}
    """
    _check_text(text, source)
    loader = _Loader(text, source)
    try:
        return YamlDocument(loader.convert(loader.get_single_node(), ()), source, loader.lines)
    except yaml.MarkedYAMLError as error:
        raise UserError(_syntax_message(error, source)) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # ValueError: "\U99999999" is no character
        raise UserError(f"{source}:{loader.last_line}: not valid YAML ({_one_line(error)}); correct it there") from None


def write_yaml(value: Value) -> str:
    """Return plain data as YAML text that `parse_yaml` reads back as the same value; innermost blocks on one line.

    >>> print(write_yaml({"run": "demo", "augment": {"gain": 0.5}, "taxonomy": "012"}), end="")
    run: demo
    augment: {gain: 0.5}
    taxonomy: '012'
    """
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, default_flow_style=None, allow_unicode=True, width=_WIDTH)


def write_line(value: Value) -> str:
    """Return plain data as YAML on one line.

    >>> write_line({"name": "leaf", "training": {"sizes": [96, 128]}}), write_line("no")
    ('{name: leaf, training: {sizes: [96, 128]}}', "'no'")
    """
    how: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "width": 1 << 20}
    text: str = yaml.dump([value], Dumper=_Dumper, default_flow_style=True, **how)
    return text.removeprefix("- ").rstrip("\n")


def _check_text(text: str, source: str) -> None:
    """Refuse what the scanner would report in words of its own, or not at all: control characters, tabs as indent."""
    found = _NO_TEXT.search(text) or _TAB_INDENT.search(text)
    if found:
        line = text.count("\n", 0, found.start()) + 1
        problem = "a tab in the indentation; YAML needs spaces, so replace it by spaces"
        if found.re is _NO_TEXT:
            cause = "a NUL byte: this is no text file" if found[0] == "\0" else f"the control character {found[0]!a}"
            problem = f"holds {cause}; remove it, or name a YAML file"
        raise UserError(f"{source}:{line}: {problem}")


def _syntax_message(error: yaml.MarkedYAMLError, source: str) -> str:
    mark = error.problem_mark or error.context_mark
    where = f"{source}:{mark.line + 1 if mark else 1}"
    if error.problem == "but found another document":
        return f"{where}: a second document begins here ('---'); a file holds one, so remove it"
    problem = _one_line(error.problem or error.context or "unreadable")
    if "'\\t'" in problem:
        return f"{where}: a tab where YAML needs spaces; replace it by spaces"
    cure = "check the indentation, brackets and quotes of this line and the one before"
    if "mapping values are not allowed" in problem:
        cure = "check its indentation, and quote text that holds ': '"
    return f"{where}: not valid YAML ({problem}); {cure}"


def _one_line(message: object) -> str:
    """Return a message of the YAML library as one line of printable ASCII."""
    return " ".join(ascii(str(message))[1:-1].replace("\\n", " ").replace("\\'", "'").replace("\\\\", "\\").split())


class _Loader(yaml.SafeLoader):
    """Composes nodes, of which none is an alias or carries an anchor or a tag, and converts them to values."""

    def __init__(self, text: str, source: str) -> None:
        super().__init__(text)
        self.source = source
        self.lines: dict[tuple[Key, ...], int] = {}
        self.last_line = 1  # of the node that is read
        self._depth = 0
        self._count = 0

    def compose_document(self) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if event.tags:
            raise self._error(event, "a %TAG directive; tags are not allowed, so remove it")
        return super().compose_document()

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        self.last_line = event.start_mark.line + 1
        problem = None
        if isinstance(event, yaml.AliasEvent):
            problem = f"the alias '*{event.anchor}'; aliases are not allowed, so write the text out here"
        elif event.anchor is not None:
            problem = f"the anchor '&{event.anchor}'; anchors are not allowed, so remove it"
        elif event.tag is not None:
            problem = f"the tag {_one_line(event.tag)!r}; tags are not allowed, so remove it"
        elif isinstance(event, yaml.CollectionStartEvent) and self._depth >= MAX_DEPTH:
            problem = f"more than {MAX_DEPTH} levels inside each other; make the file flatter"
        elif self._count >= MAX_VALUES:
            problem = f"more than {MAX_VALUES:,} keys and values, which no recipe or taxonomy needs; make it shorter"
        if problem:
            raise self._error(event, problem)
        self._depth += 1
        self._count += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def convert(self, node: yaml.Node | None, path: tuple[Key, ...]) -> Value:
        """Return a node's value, and note the lines of what is below it."""
        if node is None:
            return None
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.ScalarNode):
            text = self._text(node)
            return plain_value(text) if node.style is None else text
        if isinstance(node, yaml.SequenceNode):
            return [self.convert(item, (*path, index)) for index, item in enumerate(node.value)]
        value: dict[str, Value] = {}
        for key, item in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self._error(key, "a list or mapping as a key; a key must be text")
            if key.value == "<<" and key.style is None:
                raise self._error(key, "the merge key '<<'; merges are not allowed, so write the fields out")
            name = self._text(key)
            if name in value:
                problem = f"'{_one_line(name)}' appears twice, first on line {self.lines[*path, name]}"
                raise self._error(key, f"{problem}; rename or remove one")
            self.lines[*path, name] = key.start_mark.line + 1
            value[name] = self.convert(item, (*path, name))
        return value

    def _text(self, node: yaml.ScalarNode) -> str:
        bad = _CONTROL.search(node.value)
        if bad:
            raise self._error(node, f"the control character {bad[0]!a} in a text; remove it")
        return str(node.value)

    def _error(self, at: yaml.Event | yaml.Node, problem: str) -> UserError:
        assert at.start_mark is not None
        return UserError(f"{self.source}:{at.start_mark.line + 1}: {problem}")


class _Dumper(yaml.SafeDumper):
    """Writes what other readers, too, take for the same: text that looks like something else is quoted."""

    def ignore_aliases(self, data: object) -> bool:
        return True

    def represent(self, data: object) -> None:
        node = self.represent_data(data)
        if isinstance(node, yaml.CollectionNode):
            node.flow_style = False  # the whole is no single line, however short
        self.serialize(node)


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    bare = plain_value(text) == text
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if bare else "'")


_Dumper.add_representer(str, _represent_text)


def plain_value(text: str) -> Value:
    """Return the value of an unquoted scalar."""
    if text in _WORDS:
        return _WORDS[text]
    if len(text) <= _MAX_DIGITS and _WHOLE.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text) and not _WHOLE.fullmatch(text):
        number = float(text)
        return number if math.isfinite(number) else text
    return text
