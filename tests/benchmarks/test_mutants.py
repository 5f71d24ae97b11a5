"""Mutation testing: what is changed, where, and which tests are asked."""

import ast
import os
import time

import numpy as np
from mutants import (
    ROOT,
    Mutant,
    Reach,
    change,
    describe_share,
    draw_mutants,
    find_constants,
    in_a_process,
    list_changes,
)

SOURCE = '''
"""Text is left alone."""
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import numpy
def f(x: "int | None" = 3) -> bool:
    """Say 1 < 2."""
    if x in (4,):
        raise ValueError(f"no {x + 1}")
    print(x)
    return not x
__all__ = ["f"][:1]
if __name__ == "__main__":
    f(5)
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
    assert len({(one.file, one.lines.start) for one in first}) == 20
    assert len({one.source for one in first}) == 20
    assert all(compile(one.source, str(one.file), "exec") for one in first)


def test_the_quickest_of_the_tests_that_reach_a_line_come_first_and_then_the_others_of_their_files():
    seconds = {"a.py::slow": 3.0, "a.py::quick": 0.1, "a.py::other": 1.0, "b.py::far": 0.0}
    file = ROOT / "one.py"
    reach = Reach(
        {str(file): {1: [""], 4: ["a.py::slow"], 5: ["a.py::quick", "a.py::slow"], 6: ["a.py::other"]}}, seconds
    )
    assert reach.choose(Mutant(file, range(4, 6), "", "")) == ["a.py::quick", "a.py::slow"]
    assert reach.list_others(["a.py::slow"]) == ["a.py::quick", "a.py::other"]
    assert reach.choose(Mutant(file, range(1, 2), "", "")) == ["a.py::quick", "a.py::other", "a.py::slow"]
    assert reach.choose(Mutant(file, range(9, 10), "", "")) == []


def test_a_change_is_tried_in_a_process_of_its_own_and_an_error_there_is_noticed():
    assert in_a_process(lambda: 0) == 0
    assert in_a_process(lambda: 1 // 0) == 1
    assert in_a_process(lambda: os.kill(os.getpid(), 9) or time.sleep(60) or 0) == 1


def test_the_share_comes_with_its_interval():
    assert describe_share(90, 100) == "0.90 [0.83, 0.94]"
    assert describe_share(5, 5) == "1.00 [0.57, 1.00]"


def test_a_constant_is_a_value_with_a_name_in_capitals_at_the_top_of_a_file():
    tree = ast.parse("_FAR = 2.0 + 1\nNEAR: int = 3\nfar = 4\ndef f(x=5):\n    HERE = 6\n")
    numbers = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and node in find_constants(tree)]
    assert sorted(numbers) == [1, 2.0, 3]
