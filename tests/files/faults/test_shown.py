"""Text of others as it is shown."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hpa_hier.files.faults.shown import show, show_error


@given(st.text(max_size=40))
def test_what_is_shown_holds_no_control_sign_and_can_be_encoded(text: str) -> None:
    shown = show(text)
    assert all(sign.isprintable() or sign in "\n\t" or ord(sign) >= 0xA0 for sign in shown)
    assert "\x1b" not in shown
    shown.encode("utf-8")
    assert show(shown) == shown


def test_plain_text_stays_as_it_is() -> None:
    assert show("Zelle µm – ≥ 4 × 128\n\tnächste") == "Zelle µm – ≥ 4 × 128\n\tnächste"


def test_a_line_of_a_megabyte_becomes_one_that_can_be_read() -> None:
    shown = show_error(f"x.yaml:1: the anchor '&{'a' * 1_000_000}'; anchors are not allowed, so remove it")
    assert len(shown) < 1600
    assert shown.startswith("x.yaml:1: the anchor '&aaa")
    assert shown.endswith("aaa'; anchors are not allowed, so remove it")
