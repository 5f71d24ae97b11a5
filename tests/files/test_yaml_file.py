"""The strict YAML reader: what scalars mean, where things stand, and all that is refused."""

# ruff: noqa: E501  (messages stand whole, as a person reads them)

from __future__ import annotations

import math
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpa_hier.errors import UserError
from hpa_hier.files.yaml_file import MAX_DEPTH, parse_yaml, read_yaml


def value(text: str) -> object:
    return parse_yaml(text, "x.yaml").value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None),
        ("12", 12), ("-3", -3), ("0", 0), ("0.5", 0.5), (".5", 0.5), ("1e-3", 0.001), ("1.", 1.0),
        ("no", "no"), ("on", "on"), ("Yes", "Yes"), ("012", "012"), ("07", "07"), ("0x1F", "0x1F"), ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"), ("1_000", "1_000"), (".inf", ".inf"), (".nan", ".nan"), ("1e999", "1e999"),
        ("9" * 5000, "9" * 5000), ("GO:0005654", "GO:0005654"), ("=", "="), ('"12"', "12"), ("'true'", "true"),
    ],
)  # fmt: skip
def test_scalars_are_what_they_look_like(text: str, expected: object) -> None:
    got = value(f"key: {text}")
    assert got == {"key": expected}
    assert type(got["key"]) is type(expected)


def test_keys_are_text() -> None:
    assert value("1: a\ntrue: b\nnull: c") == {"1": "a", "true": "b", "null": "c"}


def test_every_part_knows_its_line() -> None:
    document = parse_yaml("# first\na: 1\nb:\n  c:\n    - 2\n    - {d: 3}\n", "x.yaml")
    assert [document.line(*keys) for keys in (("a",), ("b", "c"), ("b", "c", 1), ("b", "c", 1, "d"))] == [2, 4, 6, 6]
    assert document.line("b", "gone", "deeper") == 3  # the nearest thing around it


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", "x.yaml:2: 'a' appears twice, first on line 1; rename or remove one"),
        ("1: a\n'1': b", "x.yaml:2: '1' appears twice, first on line 1; rename or remove one"),
        ("a: &x 1", "x.yaml:1: the anchor '&x'; anchors are not allowed, so remove it"),
        ("a:\n  - 1\n  - *x", "x.yaml:3: the alias '*x'; aliases are not allowed, so write the text out here"),
        ("a: {}\nb:\n  <<: {c: 1}", "x.yaml:3: the merge key '<<'; merges are not allowed, so write the fields out"),
        ("a: !!python/object:os.system 1", "x.yaml:1: the tag 'tag:yaml.org,2002:python/object:os.system'; tags are not"),
        ("a: !!timestamp x", "x.yaml:1: the tag 'tag:yaml.org,2002:timestamp'; tags are not allowed"),
        ("%TAG ! tag:x,2000:\n---\na: 1", "x.yaml:1: a %TAG directive; tags are not allowed, so remove it"),
        ("a: 1\n---\nb: 2", "x.yaml:2: a second document begins here ('---'); a file holds one, so remove it"),
        ("[a, b]: 1", "x.yaml:1: a list or mapping as a key; a key must be text"),
        ("{{a: 1}: 2}", "x.yaml:1: a list or mapping as a key; a key must be text"),
        ("a:\n\tb: 1", "x.yaml:2: a tab in the indentation; YAML needs spaces, so replace it by spaces"),
        ("a:\n  \tb: 1", "x.yaml:2: a tab in the indentation; YAML needs spaces, so replace it by spaces"),
        ("a: 1\nb:\tc: 2", "x.yaml:2: a tab where YAML needs spaces; replace it by spaces"),
        ("a: [1, 2\nb: 3", "x.yaml:2: not valid YAML (expected ',' or ']', but got ':'); check the indentation"),
        ("a: 'open", "x.yaml:1: not valid YAML (found unexpected end of stream); check the indentation, brackets and quotes"),
        ("a: 1\n b: 2", "x.yaml:2: not valid YAML (mapping values are not allowed here); check its indentation"),
        ("ok: 1\na: \x00", "x.yaml:2: holds a NUL byte: this is no text file; remove it, or name a YAML file"),
        ("ok: 1\na: \x1b[31m", "x.yaml:2: holds the control character '\\x1b'; remove it, or name a YAML file"),
        ('a: "\\e[31m"', "x.yaml:1: the control character '\\x1b' in a text; remove it"),
        ('ok: 1\na: "\\uD800"', "x.yaml:2: the control character '\\ud800' in a text; remove it"),
        ('a: "\\UFFFFFFFF"', "x.yaml:1: not valid YAML"),
        ("%YAML " + "9" * 5000 + ".1\n---\na: 1", "x.yaml:1: not valid YAML"),
        ("a: @b", "x.yaml:1: not valid YAML (found character '@' that cannot start any token)"),
        ("[" * 500, f"x.yaml:1: more than {MAX_DEPTH} levels inside each other; make the file flatter"),
        ("- " * 40 + "a", f"x.yaml:1: more than {MAX_DEPTH} levels inside each other; make the file flatter"),
    ],
)  # fmt: skip
def test_what_is_not_plain_yaml_is_refused_with_line_and_cure(text: str, message: str) -> None:
    with pytest.raises(UserError, match="^" + re.escape(message)):
        parse_yaml(text, "x.yaml")


def test_an_alias_bomb_is_refused_at_once() -> None:
    bomb = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    began = time.perf_counter()
    with pytest.raises(UserError, match=r"^x.yaml:1: the anchor '&a'; anchors are not allowed"):
        parse_yaml(bomb, "x.yaml")
    assert time.perf_counter() - began < 1


def test_thousands_of_brackets_do_not_exhaust_the_stack() -> None:
    with pytest.raises(UserError, match="more than 32 levels"):
        parse_yaml("\n".join(" " * i + "a:" for i in range(5000)), "x.yaml")


def test_a_50_mb_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    with path.open("wb") as handle:
        handle.truncate(50_000_000)  # zeros, which reading would complain of
    with pytest.raises(UserError, match="50,000,000 bytes, more than the 1,000,000 that such a file may have"):
        read_yaml(path)


def test_what_is_no_readable_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.yaml: no such file; check the path"):
        read_yaml(tmp_path / "gone.yaml")
    with pytest.raises(UserError, match="this is a folder; name a YAML file"):
        read_yaml(tmp_path)
    (tmp_path / "x").write_text("a: 1")
    with pytest.raises(UserError, match=r"x/below\.yaml: no such file"):
        read_yaml(tmp_path / "x" / "below.yaml")
    with pytest.raises(UserError, match="cannot be read"):
        read_yaml(tmp_path / "a\0b")
    with pytest.raises(UserError, match="cannot be read"):
        read_yaml(tmp_path / ("n" * 5000))


def test_another_encoding_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes("ok: 1\nname: Zellk\xf6rper\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"latin\.yaml:2: byte 0xf6 is not UTF-8 text; save the file as UTF-8"):
        read_yaml(path)


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    path = tmp_path / "windows.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    document = read_yaml(path)
    assert document.value == {"a": 1, "b": 2}
    assert document.line("b") == 2


def test_more_values_than_a_tree_of_classes_has_are_refused_before_they_cost_much() -> None:
    with pytest.raises(UserError, match=r"x\.yaml:2: more than 60,000 keys and values, which no recipe or taxonomy"):
        parse_yaml("a: [" + "1," * 59_996 + "\n1,1,1]", "x.yaml")


@settings(max_examples=500)
@given(st.text(max_size=60) | st.text(alphabet="ab:{}[],-?*&!|>'\"%@` \n\t#0.~<", max_size=60))
def test_any_text_is_read_or_refused_in_our_words(text: str) -> None:
    got, message = _read_or_refused(text)
    if message is None:
        assert got is None or isinstance(got, str | int | float | dict | list)
        assert not (isinstance(got, float) and not math.isfinite(got))
    else:
        assert message.startswith("x.yaml:")
        assert "\n" not in message
        assert message.encode("utf-8")


def _read_or_refused(text: str) -> tuple[object, str | None]:
    try:
        return value(text), None
    except UserError as error:
        return None, str(error)
