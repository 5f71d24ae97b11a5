"""Measure the package's structure: size, rooms, imports, settings, functions, examples.

    python benchmarks/structure.py [--package hpa_hier]

Prints one line a measure. `--package` also takes the package folder of another checkout. Needs ruff on the path or in
this environment; the settings' part imports the checkout's `hpa_hier.settings` in a process of its own.
"""

from __future__ import annotations

import argparse
import ast
import json
import statistics
import subprocess
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import networkx as nx

# Each room may import from the rooms before it; rooms of one row do not know each other. As in tests/test_structure.py.
FLOORS = (
    *(("errors",), ("files",), ("metrics", "taxonomy", "settings"), ("data", "models"), ("simulate", "ensemble")),
    *(("runs",), ("members",), ("training", "predict"), ("evaluate",), ("serve",), ("cli",)),
)
_SETTINGS = """
import json, sys
from pathlib import Path
import typing
try:
    from hpa_hier.settings.recipe import Recipe
    from hpa_hier.settings.recipe_file import load_recipe
except ImportError:
    from hpa_hier.config import Recipe
    from hpa_hier.recipe_file import load_recipe
from pydantic import BaseModel

def leaves(model, prefix=""):
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value, field.annotation

def choices(annotation):
    if typing.get_origin(annotation) is typing.Literal:
        return {str(one) for one in typing.get_args(annotation)}
    return set().union(*map(choices, typing.get_args(annotation)), set())

default = Recipe()
settings = {name: value for name, value, _ in leaves(default)}
named = {(name, choice) for name, _, kind in leaves(default) for choice in choices(kind)}
changed, chosen = set(), {(name, str(value)) for name, value in settings.items()}
def look(recipe):
    for name, value, _ in leaves(recipe):
        for one in value if isinstance(value, (tuple, list)) else (value,):
            chosen.add((name, str(one)))
        if value != settings[name]:
            changed.add(name)
for path in sorted(Path("configs").rglob("*.yaml")):
    recipe = load_recipe(str(path))
    look(recipe)
    for member in recipe.members or ():
        merge = getattr(recipe, "member_training", None) or recipe.training_of
        look(recipe.model_copy(update={"training": merge(member)}))
print(json.dumps([len(settings), len(settings.keys() - changed), len(named), len(named - chosen)]))
"""


@dataclass(frozen=True)
class Module:
    """One file of the package."""

    name: str
    path: Path
    text: str

    @property
    def tree(self) -> ast.Module:
        """The parsed file."""
        return ast.parse(self.text)


def read_package(package: Path) -> list[Module]:
    """Read every file of a package."""
    modules = []
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        modules.append(Module(name, path, path.read_text(encoding="utf-8")))
    return modules


def count_lines(modules: Sequence[Module]) -> dict[str, int]:
    """Count lines of all kinds: a line with code and a comment is code."""
    docstrings = comments = blank = 0
    for module in modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
                first = node.body[0]
                docstrings += (first.end_lineno or first.lineno) - first.lineno + 1
        blank += sum(not line.strip() for line in module.text.splitlines())
        with module.path.open("rb") as handle:
            comments += sum(
                token.type == tokenize.COMMENT and not token.line[: token.start[1]].strip()
                for token in tokenize.tokenize(handle.readline)
            )
    lines = sum(len(module.text.splitlines()) for module in modules)
    return {"lines": lines, "docstring lines": docstrings, "comment lines": comments, "blank lines": blank}


def import_graph(modules: Sequence[Module]) -> nx.DiGraph:
    """Return which file imports which, late imports included; the package's own file and the fronts are left out."""
    names = {module.name for module in modules}
    graph = nx.DiGraph()
    graph.add_nodes_from(names)
    for module in modules:
        for node in ast.walk(module.tree):
            found: set[str] = set()
            if isinstance(node, ast.Import):
                found = {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                full = {f"{node.module}.{alias.name}" for alias in node.names}
                found = {one if one in names else node.module for one in full}
            graph.add_edges_from((module.name, other) for other in found & names - {module.name})
    graph.remove_nodes_from([name for name in names if name.endswith("__main__") or "." not in name])
    return graph


def upward_imports(graph: nx.DiGraph) -> list[tuple[str, str]]:
    """Return imports of a room that is not below; rooms that FLOORS does not name are left out."""
    floor = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}

    def room(name: str) -> str:
        return name.split(".")[1] if "." in name else ""

    return [
        (one, other)
        for one, other in graph.edges
        if room(one) != room(other) and room(one) in floor and room(other) in floor
        if floor[room(other)] >= floor[room(one)]
    ]


def functions(modules: Sequence[Module]) -> Iterator[ast.FunctionDef]:
    """Yield every function and method."""
    for module in modules:
        yield from (node for node in ast.walk(module.tree) if isinstance(node, ast.FunctionDef))


def body_lines(function: ast.FunctionDef) -> int:
    """Count a body's lines without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def is_fixed_tuple(annotation: ast.expr | None) -> bool:
    """Tell whether a parameter is annotated as a tuple of several anonymous values, such as `tuple[int, str]`.

    >>> [is_fixed_tuple(ast.parse(text, mode="eval").body) for text in ("tuple[int, str]", "tuple[int, ...]")]
    [True, False]
    """
    if not isinstance(annotation, ast.Subscript) or ast.unparse(annotation.value) != "tuple":
        return False
    values = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else []
    return len(values) > 1 and ast.unparse(values[1]) != "..."


def count_settings(root: Path) -> list[int]:
    """Return settings, those that no recipe changes, enumerated choices, and those that no recipe makes."""
    done = subprocess.run([sys.executable, "-c", _SETTINGS], cwd=root, capture_output=True, text=True, check=True)
    counts: list[int] = json.loads(done.stdout)
    return counts


def measure(package: Path) -> dict[str, object]:
    """Measure a package; its recipes and tests are looked for beside it."""
    modules, tests = read_package(package), package.parent / "tests"
    files = [module for module in modules if module.path.name != "__init__.py"]
    graph = import_graph(modules)
    rooms = Counter(module.path.parent.relative_to(package).as_posix() for module in files)
    room, largest = rooms.most_common(1)[0]
    bodies = sorted(body_lines(function) for function in functions(modules))
    parameters = [one for f in functions(modules) for one in (*f.args.posonlyargs, *f.args.args, *f.args.kwonlyargs)]
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "C901", "--output-format", "json"]
    # mccabe's default limit is 10
    complex_ones = json.loads(subprocess.run([*ruff, package], capture_output=True, text=True, check=False).stdout)
    settings, unchanged, choices, unused = count_settings(package.parent)
    examples = [module for module in modules if ">>> " in module.text]
    stems = {path.stem.removeprefix("test_") for path in tests.rglob("test_*.py")}
    mirrored = [one for one in files if {one.path.stem, f"{one.path.parent.name}_{one.path.stem}"} & stems]
    texts = [path.read_text(encoding="utf-8") for path in tests.rglob("test_*.py")]
    doctests = [text for text in texts if "import doctest" in text]
    runs_all = any("rglob" in text for text in doctests)
    return {
        "files": len(files),
        **count_lines(modules),
        "largest room (files)": f"{largest} ({room})",
        "circles between files": sum(len(one) > 1 for one in nx.strongly_connected_components(graph)),
        "imports that run up": len(upward_imports(graph)),
        "files with a single importer": sum(
            graph.in_degree(module.name) == 1 for module in files if module.name in graph
        ),
        "settings": settings,
        "settings no recipe changes": unchanged,
        "choices": choices,
        "choices no recipe makes": unused,
        "function body lines: median": statistics.median(bodies),
        "function body lines: 95th percentile": bodies[int(0.95 * len(bodies))],
        "function body lines: longest": bodies[-1],
        "functions over complexity 10": len(complex_ones),
        "tuple-typed parameters": sum(is_fixed_tuple(one.annotation) for one in parameters),
        "modules with doctests": len(examples),
        "modules whose doctests run": len(examples)
        if runs_all
        else sum(one.name.partition(".")[2] in text for one in examples for text in doctests),
        "test files": len(texts),
        "files with a test of their name": len(mirrored),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", type=Path, default=Path(__file__).resolve().parents[1] / "hpa_hier", metavar="DIR")
    for name, value in measure(parser.parse_args(arguments).package.resolve()).items():
        print(f"{name:<38} {value:,}" if isinstance(value, int) else f"{name:<38} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
