"""Scarcity: what is said before training of how few images there are, with its numbers."""

from __future__ import annotations

from hpa_hier.data.labels.scarcity import ImageCounts, describe_scarcity


def counts(images: int, *parts: tuple[int, int, int], folds: int = 0) -> ImageCounts:
    return ImageCounts.from_parts({f"c{i}": part for i, part in enumerate(parts)}, images, folds)


def test_a_small_set_is_told_what_it_lacks_and_what_helps() -> None:
    few = counts(82, *[(3, 0, 0)] * 11, *[(2, 1, 1)] * 15, *[(0, 0, 0)] * 2)
    assert describe_scarcity(few, ["folds (--folds 5)"]) == [
        "82 images for 28 classes; none has more than 3 to learn from, 11 have no test image, 2 no image at all",
        "  so classes are told apart poorly, and their figures rest on an image or two: trust groups and safe answers "
        "more",
        "  what helps: folds (--folds 5); merging classes in the taxonomy; more images, above all of c11, c12, c13, "
        "c14",
    ]


def test_under_folds_all_but_the_test_part_is_learnt_from() -> None:
    assert "none has more than 4 to learn from" in describe_scarcity(counts(12, (3, 1, 2), (3, 1, 2), folds=5))[0]
    assert "none has more than 3 to learn from" in describe_scarcity(counts(12, (3, 1, 2), (3, 1, 2)))[0]


def test_one_common_class_does_not_hide_that_the_others_are_rare() -> None:
    lines = describe_scarcity(counts(60, (30, 5, 5), (7, 1, 2), (5, 1, 0), (2, 1, 1)))
    assert lines[0] == "60 images for 4 classes; half have 5 or fewer to learn from, 1 has no test image"


def test_a_large_set_is_only_told_which_class_has_no_test_image() -> None:
    assert describe_scarcity(counts(900, (300, 60, 60), (300, 60, 60))) == []
    assert describe_scarcity(counts(900, (300, 60, 60), (300, 60, 60), (2, 1, 0))) == [
        "900 images for 3 classes; 1 has no test image: no figure for c2"
    ]
    assert describe_scarcity(counts(900, (300, 60, 60), (300, 60, 60), (0, 0, 0))) == []
