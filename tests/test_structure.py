"""The house: imports run downward only, and nothing heavy comes with the package."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "hpa_hier"

# Each room may import from the rooms below it; rooms on one line do not know each other.
FLOORS = [
    {"errors", "nearest"},
    {"files", "shipped_files"},
    {"yaml_file"},
    {"settings"},
    {"training_config"},
    {"config", "command"},
    {"recipe_file"},
    {"taxonomy"},
    {"data", "models"},
    {"simulate"},
    {"members"},
    {"ensemble"},
    {"evaluate"},
]
COMMANDS = {"train", "demo", "report"}  # and every __main__.py and commands.py


def _floor(room: str) -> int:
    return next(height for height, rooms in enumerate(FLOORS) if room in rooms)


def _rooms_imported(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import hides its room"
            module = node.module or ""
            names = [f"{module}.{alias.name}" for alias in node.names] if module == "hpa_hier" else [module]
        rooms |= {name.split(".")[1] for name in names if name.startswith("hpa_hier.")}
    return rooms - {"__version__"}


def _modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py" or path.parent != PACKAGE)


def test_imports_run_downward_only() -> None:
    wrong = []
    for path in _modules():
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room in COMMANDS or path.name in ("__main__.py", "commands.py"):
            continue
        for imported in _rooms_imported(path) - {room}:
            if imported in COMMANDS or _floor(imported) >= _floor(room):
                wrong.append(f"{path.relative_to(ROOT)} imports {imported}")
    assert wrong == []


@pytest.mark.parametrize("path", _modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_file_says_first_what_it_holds(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert docstring, f"{path} has no docstring"
    assert docstring.splitlines()[0].endswith(".")


def test_the_package_alone_imports_nothing_heavy() -> None:
    code = (
        "import sys, hpa_hier, hpa_hier.taxonomy, hpa_hier.config, hpa_hier.data;"
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


COMMAND_LINES = [
    ["hpa_hier.demo"],
    ["hpa_hier.train"],
    ["hpa_hier.report"],
    ["hpa_hier.taxonomy"],
    ["hpa_hier.taxonomy", "check"],
    ["hpa_hier.data"],
    *(["hpa_hier.data", verb] for verb in ("simulate", "pack", "split", "balance", "audit")),
    ["hpa_hier.ensemble"],
    *(["hpa_hier.ensemble", verb] for verb in ("fit", "predict", "evaluate", "explain")),
]


@pytest.mark.parametrize("command", COMMAND_LINES, ids=" ".join)
def test_help_needs_no_heavy_library(command: list[str]) -> None:
    code = (
        "import runpy, sys\n"
        f"sys.argv = {['x', *command[1:], '--help']!r}\n"
        "try:\n"
        f"    runpy.run_module({command[0]!r}, run_name='__main__', alter_sys=True)\n"
        "except SystemExit as end:\n"
        "    status = end.code\n"
        "heavy = [m for m in ('torch', 'pandas', 'cv2', 'sklearn', 'matplotlib', 'scipy') if m in sys.modules]\n"
        "sys.exit(status or (f'{heavy}' if heavy else 0))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage: python -m " + command[0] in done.stdout
