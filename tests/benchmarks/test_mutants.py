"""Mutation testing: what is changed, where, and which tests are asked."""

import ast

import numpy as np
from mutants import PACKAGE, Mutant, change, choose_tests, draw_mutants, interval, list_changes

SOURCE = '''
"""Text is left alone."""
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import numpy
def f(x: "int | None" = 3) -> bool:
    """Say 1 < 2."""
    if x in (4,):
        raise ValueError("no")
    print(x)
    return not x
'''


def test_each_change_alters_one_thing_and_none_what_says_nothing_at_run_time():
    true = ast.unparse(ast.parse(SOURCE))
    found = {}
    for number, _ in enumerate(list_changes(ast.parse(SOURCE))):
        tree = ast.parse(SOURCE)
        _, what = change(tree, number)
        text = ast.unparse(ast.fix_missing_locations(tree))
        changed = [new for old, new in zip(true.splitlines(), text.splitlines(), strict=True) if old != new]
        assert len(changed) == 1, what
        found[what] = changed[0].strip()
    assert found == {
        "3 to 4": "def f(x: 'int | None'=4) -> bool:",
        "In to NotIn": "if x not in (4,):",
        "4 to 5": "if x in (5,):",
        "raise left out": "pass",
        "call left out": "pass",
        "return None": "return None",
        "no Not": "return x",
    }


def test_a_draw_is_repeatable_and_each_of_its_changes_is_another_and_compiles():
    first, again = (draw_mutants("metrics", 20, np.random.default_rng(3)) for _ in range(2))
    assert first == again
    assert len({one.source for one in first}) == 20
    assert all(compile(one.source, str(one.file), "exec") for one in first)


def test_the_nearest_tests_come_first():
    near, room = choose_tests(Mutant(PACKAGE / "metrics" / "scores.py", 1, "", ""))
    assert near[0].endswith("tests/metrics/test_scores.py")
    assert room[0].endswith("tests/metrics")


def test_the_interval_is_that_of_a_share():
    low, high = interval(90, 100)
    assert low < 0.9 < high
    assert interval(0, 5)[0] == 0
    assert interval(5, 5)[1] == 1
