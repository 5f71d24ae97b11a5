"""Notebooks: they run from beginning to end, and what is kept of a run names nothing of the machine it was made on."""

from __future__ import annotations

import ast
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from pages import ROOT, name

nbformat = pytest.importorskip("nbformat", reason="pip install 'hpa-hier[docs]'")
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
LARGEST = 400_000  # bytes, pictures included


def code(path: Path) -> list[str]:
    """Return the text of a notebook's cells of code."""
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def test_there_are_two() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["first_look", "own_tree_embeddings"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_it_parses_and_what_it_imports_exists(path: Path) -> None:
    nbformat.validate(nbformat.read(path, as_version=4))
    for cell in code(path):
        for node in ast.walk(ast.parse(cell)):
            if isinstance(node, ast.Import):
                assert all(find_spec(alias.name) for alias in node.names), ast.unparse(node)
            elif isinstance(node, ast.ImportFrom):
                module = import_module(str(node.module))
                assert all(hasattr(module, alias.name) for alias in node.names), ast.unparse(node)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_what_is_kept_of_its_run_has_pictures_and_no_errors_or_paths(path: Path) -> None:
    assert path.stat().st_size < LARGEST
    outputs = [out for cell in nbformat.read(path, as_version=4).cells for out in cell.get("outputs", ())]
    assert any("image/png" in out.get("data", {}) for out in outputs)
    assert not [out for out in outputs if out.output_type == "error" or out.get("name") == "stderr"]
    assert not [out for out in outputs if "/home/" in str(out.get("text")) or "/tmp/" in str(out.get("text"))]


@pytest.mark.slow
@pytest.mark.timeout(280)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_it_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient", reason="pip install 'hpa-hier[docs]'")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
