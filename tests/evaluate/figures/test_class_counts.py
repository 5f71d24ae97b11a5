"""Training images by class: every class has its point before and after, also one that nobody has."""

from __future__ import annotations

from hpa_hier.evaluate.figures.class_counts import draw_class_counts
from hpa_hier.evaluate.training_record import ClassCount


def test_each_class_has_its_counts_before_and_after_and_zero_stays_in_the_picture():
    axes = draw_class_counts([ClassCount("Cytosol", 100, 120), ClassCount("Aggresome", 0, 0)]).axes[0]
    lines = {line.get_label(): list(line.get_xdata()) for line in axes.lines}
    assert lines == {"images": [100, 0], "in a balanced epoch": [120, 0]}
    assert axes.get_xlim()[0] <= 0
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Cytosol", "Aggresome"]


def test_a_run_whose_pack_is_absent_has_no_picture():
    assert draw_class_counts([]) is None
