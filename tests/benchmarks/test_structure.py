"""The measures of structure: against a package of a few lines that is counted by hand."""

from __future__ import annotations

import ast

import pytest
from structure import body_lines, count_lines, functions, import_graph, is_fixed_tuple, read_package, upward_imports

ATOMIC = """\"Writing.\"
from hpa_hier.taxonomy import tree


def write() -> None:
    \"Write.\"
    # why
    tree.load()
"""
TREE = """\"\"\"A tree.

Of nodes.
\"\"\"


def load() -> None:
    from hpa_hier.files import atomic

    atomic.write()
"""
FILES = {
    "__init__.py": '"""A package."""\n',
    "files/__init__.py": '"""Files."""\n',
    "files/atomic.py": ATOMIC,
    "taxonomy/__init__.py": '"""Trees."""\n',
    "taxonomy/tree.py": TREE,
    "taxonomy/__main__.py": '"""Front."""\nfrom hpa_hier.taxonomy import tree\n',
}


@pytest.fixture
def modules(tmp_path):
    for name, text in FILES.items():
        (tmp_path / "hpa_hier" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "hpa_hier" / name).write_text(text, encoding="utf-8")
    return read_package(tmp_path / "hpa_hier")


def test_lines_are_counted_by_kind(modules):
    assert count_lines(modules) == {"lines": 23, "docstring lines": 10, "comment lines": 1, "blank lines": 6}


def test_late_imports_count_and_those_that_run_up_are_found(modules):
    graph = import_graph(modules)
    assert set(graph.edges) == {
        ("hpa_hier.files.atomic", "hpa_hier.taxonomy.tree"),
        ("hpa_hier.taxonomy.tree", "hpa_hier.files.atomic"),
    }
    assert upward_imports(graph) == [("hpa_hier.files.atomic", "hpa_hier.taxonomy.tree")]


def test_a_body_is_counted_without_its_docstring(modules):
    assert sorted(body_lines(function) for function in functions(modules)) == [1, 3]
    assert body_lines(ast.parse('def f():\n    """Say."""\n').body[0]) == 0


def test_tuples_of_fixed_shape_are_not_lists_of_any_length():
    texts = {"tuple[int, str]": True, "tuple[int, ...]": False, "tuple[int]": False, "list[int]": False}
    assert {text: is_fixed_tuple(ast.parse(text, mode="eval").body) for text in texts} == texts
