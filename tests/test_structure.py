"""The house: imports run downward only, and nothing heavy comes with the package."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import networkx as nx
import pytest

from hpa_hier.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "hpa_hier"

# Each room may import from the rooms above it in this list; rooms on one line do not know each other.
FLOORS = [
    {"errors"},
    {"files"},
    {"places"},
    {"metrics", "taxonomy", "settings"},
    {"data", "models"},
    {"simulate", "ensemble"},
    {"runs"},
    {"members"},
    {"training", "predict"},
    {"evaluate"},
    {"classifier"},
    {"serve"},
    {"cli"},
]
FRONTS = {"hpa_hier.train", "hpa_hier.report", "hpa_hier.demo"}  # and every __main__: three lines each, for `python -m`
LARGEST_ROOM = 12  # files


def _modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py" or path.parent != PACKAGE)


def _module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports() -> dict[str, set[str]]:
    """Return which modules of the package each one imports, late imports included."""
    paths = {_module_name(path): path for path in _modules()}
    imports: dict[str, set[str]] = {}
    for name, path in paths.items():
        imports[name] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imports[name] |= {alias.name for alias in node.names if alias.name in paths}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}:{node.lineno}: a relative import hides its room"
                full = {f"{node.module}.{alias.name}" for alias in node.names}
                imports[name] |= {one if one in paths else str(node.module) for one in full} & paths.keys()
        imports[name].discard(name)
    return imports


def _is_front(name: str) -> bool:
    return name in FRONTS or name.endswith("__main__")


def _floor(name: str) -> int:
    return next(height for height, rooms in enumerate(FLOORS) if name.split(".")[1] in rooms)


def test_imports_run_downward_only_and_in_no_circle_between_files() -> None:
    imports = {name: below for name, below in _imports().items() if not _is_front(name)}
    upward = [
        f"{name} imports {other}"
        for name, below in imports.items()
        for other in below
        if _is_front(other) or (name.split(".")[1] != other.split(".")[1] and _floor(other) >= _floor(name))
    ]
    assert upward == []
    graph = nx.DiGraph([(name, other) for name, below in imports.items() for other in below])
    assert [sorted(circle) for circle in nx.strongly_connected_components(graph) if len(circle) > 1] == []


def test_a_room_has_at_most_a_dozen_files() -> None:
    rooms = Counter(path.parent for path in _modules() if path.name != "__init__.py")
    assert {str(room): count for room, count in rooms.items() if count > LARGEST_ROOM} == {}


def test_tests_mirror_the_package() -> None:
    files = {path.relative_to(PACKAGE).with_suffix("").as_posix() for path in _modules()}
    tests = {path.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")}
    rooms = {
        path
        for path in tests
        if path.parent != Path() and path.parts[0] not in ("benchmarks", "cases", "docs", "faults")
    }
    named = {(path.parent / path.stem.removeprefix("test_")).as_posix(): path for path in rooms}
    assert sorted(str(path) for name, path in named.items() if name not in files) == []


@pytest.mark.parametrize("path", _modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_file_says_first_what_it_holds(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert docstring, f"{path} has no docstring"
    assert docstring.splitlines()[0].endswith(".")


def test_the_package_alone_imports_nothing_heavy() -> None:
    code = (
        "import sys, hpa_hier, hpa_hier.taxonomy, hpa_hier.settings.recipe, hpa_hier.data;"
        "print([m for m in ('torch', 'pandas', 'cv2', 'sklearn', 'matplotlib') if m in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


def test_no_way_in_for_code_from_a_file() -> None:
    forbidden = (
        *("pickle.load", "joblib.load", "allow_pickle=True", "weights_only=False", "yaml.load(", "yaml.unsafe_load"),
        *("torchvision.io", "torchvision.ops", "shell=True"),
    )
    wrong = [
        f"{path.relative_to(ROOT)}: {word}"
        for folder in (PACKAGE, ROOT / "benchmarks")
        for path in folder.rglob("*.py")
        for word in forbidden
        if word in path.read_text(encoding="utf-8")
    ]
    assert wrong == []


HEAVY = ("torch", "pandas", "cv2", "sklearn", "matplotlib", "scipy", "numpy", "pydantic", "networkx", "joblib")
COMMAND_LINES = [
    ["hpa_hier"],
    *(["hpa_hier", name] for name in COMMANDS),
    ["hpa_hier", "data", "pack"],
    ["hpa_hier.demo"],
    ["hpa_hier.train"],
    ["hpa_hier.report"],
    ["hpa_hier.taxonomy"],
    ["hpa_hier.taxonomy", "check"],
    ["hpa_hier.data"],
    *(["hpa_hier.data", verb] for verb in ("simulate", "pack", "split", "balance", "audit")),
    ["hpa_hier.ensemble"],
    *(["hpa_hier.ensemble", verb] for verb in ("fit", "predict", "evaluate", "explain", "export")),
    ["hpa_hier", "members", "export"],
]


@pytest.mark.parametrize("command", COMMAND_LINES, ids=" ".join)
def test_help_comes_within_half_a_second_and_needs_no_heavy_library(command: list[str]) -> None:
    code = (
        "import runpy, sys, time\n"
        f"sys.argv = {['x', *command[1:], '--help']!r}\n"
        "try:\n"
        f"    runpy.run_module({command[0]!r}, run_name='__main__', alter_sys=True)\n"
        "except SystemExit as end:\n"
        "    status = end.code\n"
        f"heavy = [m for m in {HEAVY} if m in sys.modules]\n"
        "spent = time.process_time()  # seconds; by the clock a busy machine takes longer\n"
        "sys.exit(status or (f'{heavy}, {spent:.2f} s' if heavy or spent > 0.5 else 0))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage: python -m " + " ".join(command) in done.stdout
