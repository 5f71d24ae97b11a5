"""Problems: doubts are counted over batches, with the first images that have them."""

from __future__ import annotations

from hpa_hier.data.labels.problems import Doubts


def test_doubts_are_counted_with_the_first_ids():
    doubts = Doubts()
    doubts.add("abcd", [("x",)] * 4)
    doubts.add("ef", [("y", "x"), ("x",)])
    assert doubts.lines() == ("6 of 6 images: x (a, b, c and 3 more)", "1 of 6 images: y (e)")
    assert Doubts().lines() == ()


def test_what_follows_a_colon_is_not_told_apart() -> None:
    doubts = Doubts()
    doubts.add(("a", "b"), (("unlike the others: too dark",), ("unlike the others: too bright",)))
    assert doubts.lines() == ("2 of 2 images: unlike the others (a, b)",)
