"""The fields of one node of a taxonomy file: its name, label, GO id and flags, each checked on its own."""

from __future__ import annotations

import re
from typing import TypeAlias

from hpa_hier.files.yaml_file import Value, YamlDocument

Path: TypeAlias = "tuple[str, ...]"  # the keys that lead to a node in the file
Fields: TypeAlias = "dict[str, Value]"

NODE_FIELDS = ("label", "go", "description", "open", "also_under")
_GO = re.compile(r"GO:[0-9]{7}")
_NAME_SIGNS = {"/": "slash", ",": "comma", "|": "bar", ";": "semicolon", '"': "double quote", "\\": "backslash"}
_LABEL_SIGNS = re.compile(r"[\s,|;\"\\]")
_MAX_NAME = 100  # characters


def check_name(document: YamlDocument, path: Path) -> None:
    """Refuse a node name that could not be a table's column or could not be read."""
    name = path[-1]
    problem = None
    if not name:
        problem = "is empty"
    elif name != name.strip():
        problem = "begins or ends with a blank"
    elif "\n" in name or "\r" in name:
        problem = "holds a line end"
    elif not name.isprintable():
        problem = "holds a sign that cannot be seen"
    elif len(name) > _MAX_NAME:
        problem = f"has {len(name)} characters, more than {_MAX_NAME}"
    else:
        sign = next((word for sign, word in _NAME_SIGNS.items() if sign in name), None)
        problem = f"holds a {sign}" if sign else None
    if problem:
        raise document.error(f"the node name {quoted(name)} {problem}; names become table columns, so rename it", *path)


def label_of(document: YamlDocument, path: Path, fields: Fields) -> str | None:
    """Return what the annotation file calls the node, as text: `label: 7` is "7", and `label: 07` is "07"."""
    if "label" not in fields:
        return None
    value = fields["label"]
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise document.error(
            f"'label' must be a whole number or a text, got {kind_of(value)}; quote a text", *path, "label"
        )
    label = str(value)
    if not label or not label.isprintable() or len(label) > _MAX_NAME or _LABEL_SIGNS.search(label):
        raise document.error(
            f"the label {quoted(label)} must be a word without blanks, commas, bars, semicolons and quotes, "
            "which part the labels of a table; node names are understood in tables too",
            *path,
            "label",
        )
    return label


def go_of(document: YamlDocument, path: Path, fields: Fields) -> str | None:
    """Return the Gene Ontology id."""
    value = fields.get("go")
    if "go" in fields and (not isinstance(value, str) or not _GO.fullmatch(value)):
        raise document.error(f"'go' must be such as GO:0005654, got {kind_of(value)}", *path, "go")
    return value if isinstance(value, str) else None


def open_of(document: YamlDocument, path: Path, fields: Fields) -> bool:
    """Return whether the group may be annotated without a known leaf below it."""
    value = fields.get("open", False)
    if not isinstance(value, bool):
        raise document.error(f"'open' must be true or false, got {kind_of(value)}", *path, "open")
    return value


def description_of(document: YamlDocument, path: Path, value: Value) -> str:
    """Return a description, or "" where there is none."""
    if value is not None and not isinstance(value, str):
        raise document.error(f"'description' must be a text, got {kind_of(value)}; quote it", *path)
    return value or ""


def also_under_of(document: YamlDocument, path: Path, fields: Fields) -> tuple[str, ...]:
    """Return the names of further parents; whether there are such nodes is checked once all nodes are known."""
    value = fields.get("also_under", [])
    names = value if isinstance(value, list) else None
    if names is None or not all(isinstance(name, str) for name in names):
        raise document.error(
            f"'also_under' must be a list of groups such as [Nucleus], got {kind_of(value)}", *path, "also_under"
        )
    return tuple(str(name) for name in names)


def quoted(text: str) -> str:
    """Return text in quotes on one line, cut where it is long."""
    shown = text if len(text) <= _MAX_NAME else text[:_MAX_NAME] + "…"
    return repr(shown)


def kind_of(value: object) -> str:
    """Return what a value is, in words for a message."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return f"the list {quoted(str(value))[1:-1]}" if value else "an empty list"
    if isinstance(value, bool):
        return str(value).lower()
    return quoted(value) if isinstance(value, str) else str(value)
