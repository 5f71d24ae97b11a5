"""What a node's name and fields may be, and how a message describes what they are."""

from __future__ import annotations

import re

from hpa_hier.files.yaml_file import Key, YamlDocument

NODE_FIELDS = {  # field → what it must be, with the cure
    "label": ("a whole number or a text", "; quote a text"),
    "go": ("such as GO:0005654", ""),
    "description": ("a text", "; quote it"),
    "open": ("true or false", ""),
    "also_under": ("a list of groups such as [Nucleus]", ""),
    "aliases": ("a list of further names such as [Golgi, Golgi complex]", ""),
}
_GO = re.compile(r"GO:[0-9]{7}")
_NAME_SIGNS = {"/": "slash", ",": "comma", "|": "'|'", ";": "semicolon", '"': "double quote", "\\": "backslash"}
SEPARATORS = re.compile(r"[,|;]")  # between the labels of a table's cell
_MAX_NAME = 100  # characters


def check_name(document: YamlDocument, path: tuple[Key, ...], name: str) -> None:
    """Refuse a node name that could not be a table's column or could not be read."""
    problem = ""
    signs = [word for sign, word in _NAME_SIGNS.items() if sign in name]
    if not name:
        problem = "is empty"
    elif name != name.strip():
        problem = "begins or ends with a space"
    elif "\n" in name or "\r" in name:
        problem = "contains a line end"
    elif not name.isprintable():
        problem = "contains a non-printing character"
    elif len(name) > _MAX_NAME:
        problem = f"has {len(name)} characters, more than {_MAX_NAME}"
    elif signs:
        problem = f"contains a {signs[0]}"
    if problem:
        raise document.error(f"the node name {quote(name)} {problem}; names become table columns, so rename it", *path)


def check_field(document: YamlDocument, key: str, value: object, *path: Key) -> None:
    """Refuse a field of a node, or of the file, that is not what it must be."""
    sound = {
        "label": isinstance(value, int | str) and not isinstance(value, bool),
        "go": isinstance(value, str) and _GO.fullmatch(value),
        "description": value is None or isinstance(value, str),
        "open": isinstance(value, bool),
        "also_under": isinstance(value, list) and all(isinstance(name, str) for name in value),
        "aliases": isinstance(value, list) and all(isinstance(name, str | int) and name is not True for name in value),
    }
    if not sound[key]:
        meant, cure = NODE_FIELDS[key]
        raise document.error(f"'{key}' must be {meant}, got {describe_value(value)}{cure}", *path, key)
    for index, word in enumerate([str(value)] if key == "label" else value if isinstance(value, list) else ()):
        if key in ("label", "aliases") and (problem := describe_word_problem(str(word))):
            what = "label" if key == "label" else "alias"
            raise document.error(f"the {what} {quote(str(word))} {problem}", *path, key, index)


def describe_word_problem(word: str) -> str:
    """Say why a label or alias could not be found in a table, "" where it could."""
    if not word:
        return "is empty; write the word that tables use"
    if word != word.strip():
        return "begins or ends with a space; tables are read without these"
    if len(word) > _MAX_NAME:
        return f"has {len(word)} characters, more than {_MAX_NAME}"
    if not word.isprintable():
        return "contains a line end or another sign that is not printed; remove it"
    if SEPARATORS.search(word):
        return "must be without commas, '|' and semicolons, which separate the labels of a table; replace them"
    return ""


def quote(text: str) -> str:
    """Return text in quotes on one line, cut where it is long."""
    return repr(text if len(text) <= _MAX_NAME else text[:_MAX_NAME] + "…")


def describe_value(value: object) -> str:
    """Describe a value in a message."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return f"the list {quote(str(value))[1:-1]}" if value else "an empty list"
    if isinstance(value, bool):
        return str(value).lower()
    return quote(value) if isinstance(value, str) else str(value)
