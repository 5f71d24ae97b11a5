"""Mutation testing: how many small changes of the code do its tests notice?

    python benchmarks/mutants.py [--rooms taxonomy metrics ensemble] [--each 100] [--seed 0] [--survivors]

Draws --each changes in each room: a comparison, an operator or a condition turned around, a number one larger, a
`return` without its value, a `raise` or a call left out. Each is tried in a process of its own, where the changed file
takes the place of the true one: first by the examples in its docstrings, then by the tests of the same name, then by
all of the room, until one fails; a change that lets them run for --patience times as long as the true code counts as
noticed. Where rooms of whole behaviour stand above a file (as the ensemble over the metrics) their tests are not asked,
so the share is a lower bound. Prints the share that was noticed, with its 95 % interval (Clopper and Pearson), and with
--survivors what was not, line by line: some of these change nothing that a caller could see. About 40 minutes of one
core. Needs an operating system that can fork.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.util
import io
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from pathlib import Path

import numpy as np
from scipy.stats import beta

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "hpa_hier"
ROOMS = ("taxonomy", "metrics", "ensemble")
SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.And: ast.Or,
    ast.Or: ast.And,
}
PATIENCE, LEAST = 5.0, 20.0  # times what the true code takes, and seconds


@dataclass(frozen=True)
class Mutant:
    """One change of one file."""

    file: Path
    line: int
    what: str
    source: str  # the changed file, without comments

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line}: {self.what}"


def list_changes(tree: ast.Module) -> Iterator[tuple[ast.AST, str, Callable[[ast.AST], ast.AST | None]]]:
    """Yield each node that can be changed, what is changed, and the function that makes the other node of it."""
    skipped = _find_skipped(tree)
    for node in ast.walk(tree):
        if node in skipped:
            continue
        match node:
            case ast.Compare(ops=[op]) if type(op) in SWAPS:
                yield node, _names(op), lambda one: _with(one, ops=[SWAPS[type(one.ops[0])]()])  # type: ignore[attr-defined]
            case ast.BinOp(op=op) | ast.BoolOp(op=op) | ast.AugAssign(op=op) if type(op) in SWAPS:
                yield node, _names(op), lambda one: _with(one, op=SWAPS[type(one.op)]())  # type: ignore[attr-defined]
            case ast.UnaryOp(op=ast.Not() | ast.USub()):
                yield node, f"no {type(node.op).__name__}", lambda one: one.operand  # type: ignore[attr-defined]
            case ast.If() | ast.IfExp() | ast.While() if not isinstance(node.test, ast.Compare):
                yield node, "condition negated", lambda one: _with(one, test=ast.UnaryOp(ast.Not(), one.test))  # type: ignore[attr-defined]
            case ast.Constant(value=bool()):
                yield node, f"{node.value} to {not node.value}", lambda one: ast.Constant(not one.value)  # type: ignore[attr-defined]
            case ast.Constant(value=int() | float()):
                yield node, f"{node.value} to {node.value + 1}", lambda one: ast.Constant(one.value + 1)  # type: ignore[attr-defined]
            case ast.Return(value=ast.expr() as value) if not (isinstance(value, ast.Constant) and value.value is None):
                yield node, "return None", lambda _: ast.Return(ast.Constant(None))
            case ast.Raise():
                yield node, "raise left out", lambda _: ast.Pass()
            case ast.Expr(value=ast.Call()):
                yield node, "call left out", lambda _: ast.Pass()


def _names(op: ast.AST) -> str:
    return f"{type(op).__name__} to {SWAPS[type(op)].__name__}"


def _with(node: ast.AST, **changed: object) -> ast.AST:
    other = copy.copy(node)
    for name, value in changed.items():
        setattr(other, name, value)
    return other


def _find_skipped(tree: ast.Module) -> set[ast.AST]:
    """Return the nodes that say nothing at run time: annotations, imports for types, decorators' arguments."""
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        parts: list[ast.AST] = []
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            every = [*node.args.args, *node.args.kwonlyargs, *node.args.posonlyargs]
            parts = [one.annotation for one in every if one.annotation] + ([node.returns] if node.returns else [])
            parts += node.decorator_list
        elif isinstance(node, ast.ClassDef):
            parts = [*node.decorator_list]
        elif isinstance(node, ast.AnnAssign):
            parts = [node.annotation]
        elif isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            parts = [node]
        elif isinstance(node, ast.keyword) and node.arg in ("strict", "frozen", "kind"):
            parts = [node.value]
        skipped.update(inner for part in parts for inner in ast.walk(part))
    return skipped


def change(tree: ast.Module, number: int) -> tuple[int, str]:
    """Make one of the changes of `list_changes` in a tree; return its line, and what it is.

    >>> tree = ast.parse("y = x < 2")
    >>> change(tree, 0), ast.unparse(tree)
    ((1, 'Lt to LtE'), 'y = x <= 2')
    """
    node, what, make = list(list_changes(tree))[number]
    new = ast.copy_location(make(node) or ast.Pass(), node)
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if value is node:
                setattr(parent, name, new)
            elif isinstance(value, list):
                value[:] = [new if one is node else one for one in value]
    return getattr(node, "lineno", 0), what


def draw_mutants(room: str, count: int, rng: np.random.Generator) -> list[Mutant]:
    """Return `count` different changes of the files of a room, each equally likely."""
    files = sorted((PACKAGE / room).rglob("*.py"))
    places = [
        (file, number)
        for file in files
        for number, _ in enumerate(list_changes(ast.parse(file.read_text(encoding="utf-8"))))
    ]
    chosen = rng.choice(len(places), size=min(count, len(places)), replace=False)
    mutants = []
    for file, number in (places[place] for place in sorted(chosen)):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        line, what = change(tree, number)
        mutants.append(Mutant(file, line, what, ast.unparse(ast.fix_missing_locations(tree))))
    return mutants


class _Replaced(MetaPathFinder):
    """Finds one module in a text instead of in its file."""

    def __init__(self, mutant: Mutant) -> None:
        parts = mutant.file.relative_to(ROOT).with_suffix("").parts
        self.name, self.mutant = ".".join(parts[:-1] if parts[-1] == "__init__" else parts), mutant

    def find_spec(self, name: str, path: object = None, target: object = None):  # type: ignore[no-untyped-def]
        if name != self.name:
            return None
        package = self.mutant.file.name == "__init__.py"
        spec = importlib.util.spec_from_loader(name, self, origin=str(self.mutant.file), is_package=package)
        if spec:
            spec.has_location = True
            if package:
                spec.submodule_search_locations = [str(self.mutant.file.parent)]
        return spec

    def create_module(self, spec: object) -> None:
        return None

    def exec_module(self, module: object) -> None:
        exec(compile(self.mutant.source, str(self.mutant.file), "exec"), vars(module))


def choose_tests(mutant: Mutant) -> list[list[str]]:
    """Return the rounds of tests for a change, the nearest first."""
    inside = mutant.file.relative_to(PACKAGE)
    mirrored = ROOT / "tests" / inside.parent / f"test_{inside.name}"
    room = ROOT / "tests" / inside.parts[0]
    rounds = [[str(mirrored)]] if mirrored.exists() else []
    return [*rounds, [str(room)]]


def notice(mutant: Mutant | None, rounds: Sequence[Sequence[str]], patience: float) -> bool:
    """Run tests in a process of its own, with the changed file; return whether one failed or it took too long."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        os._exit(_run_tests(mutant, rounds))
    end = time.monotonic() + patience
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status != 0
        time.sleep(0.02)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return True


def _run_tests(mutant: Mutant | None, rounds: Sequence[Sequence[str]]) -> int:
    import pytest

    sys.dont_write_bytecode = True
    if mutant:
        finder = _Replaced(mutant)
        sys.meta_path.insert(0, finder)
    os.chdir(ROOT)
    with Path(os.devnull).open("w") as silent, redirect_stdout(silent), redirect_stderr(io.StringIO()):
        os.dup2(silent.fileno(), 1)
        os.dup2(silent.fileno(), 2)
        try:
            if mutant and _examples_fail(finder.name):
                return 1
            for tests in rounds:
                flags = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "-p", "no:randomly", "--no-header"]
                if pytest.main([*flags, *tests]) not in (0, 5):
                    return 1
        except BaseException:
            return 1
    return 0


def _examples_fail(name: str) -> bool:
    import doctest

    return doctest.testmod(importlib.import_module(name)).failed > 0


def interval(noticed: int, tried: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Clopper and Pearson).

    >>> [round(end, 3) for end in interval(10, 10)]
    [0.692, 1.0]
    """
    low = beta.ppf(0.025, noticed, tried - noticed + 1) if noticed else 0.0
    high = beta.ppf(0.975, noticed + 1, tried - noticed) if noticed < tried else 1.0
    return float(low), float(high)


def main() -> None:
    """Try the changes of each room, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rooms", nargs="+", default=ROOMS, help="of hpa_hier/")
    parser.add_argument("--each", type=int, default=100, help="changes in each room")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--survivors", action="store_true", help="list the changes that no test noticed")
    options = parser.parse_args()
    sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "benchmarks")]
    for heavy in ("pytest", "hypothesis", "scipy.stats", "scipy.optimize", "pandas", "networkx", "sklearn.metrics"):
        importlib.import_module(heavy)  # once, for all processes
    lines, survivors = ["| room | changes | noticed | share |", "| --- | --- | --- | --- |"], []
    for room in options.rooms:
        began = time.monotonic()
        if notice(None, [[str(ROOT / "tests" / room)]], 1e6):
            raise SystemExit(f"tests/{room}: fail as they are; mend them first")
        patience = max(LEAST, PATIENCE * (time.monotonic() - began))
        mutants = draw_mutants(room, options.each, np.random.default_rng(options.seed))
        noticed = 0
        for number, mutant in enumerate(mutants, 1):
            if notice(mutant, choose_tests(mutant), patience):
                noticed += 1
            else:
                survivors.append(mutant)
                print(f"not noticed: {mutant}", file=sys.stderr, flush=True)
            if number % 10 == 0:
                print(f"{room}: {noticed} of {number} noticed", file=sys.stderr, flush=True)
        low, high = interval(noticed, len(mutants))
        share = f"{noticed / len(mutants):.2f} [{low:.2f}, {high:.2f}]"
        lines.append(f"| {room} | {len(mutants)} | {noticed} | {share} |")
    print("\n".join(lines))
    if options.survivors:
        print("\n".join(f"- {mutant}" for mutant in survivors))


if __name__ == "__main__":
    main()
