"""Mutation testing: how many small changes of the code do its tests notice?

    python -m pip install coverage
    python benchmarks/mutants.py [--rooms taxonomy metrics ensemble] [--each 150] [--seed 0] [--part 1/5]

Draws --each lines of each room, every line on which something can be changed equally likely, and changes one thing on
each: a comparison, an operator or a condition turned around, a number one larger, a `return` without its value, a
`raise` or a call left out. What says nothing at run time, or says it only to people, is left alone: texts, docstrings,
annotations, imports for types, decorators, what a `raise` says, `__all__`, `if __name__ == "__main__"`.

Each change is tried in a process of its own, where the changed file takes the place of the true one: by the examples in
its docstrings, then by the tests of its room that reach its line (as coverage says of one run of the true code), the
quickest first, then by all others of these tests' files, until one fails. A test that takes five times its processor
time and five seconds more has failed: a loop may have no end. Tests of other rooms are not asked, so that the share is
a lower bound, and properties are tried on the same examples each time (hypothesis's `derandomize`, no shrinking).
Prints the share that was noticed with Wilson's 95 % interval, of all changes and of those in code, without constants: a
number with a name in capitals is a choice, and a test of its value would repeat it. Then every change that no test
noticed. Needs an operating system that can fork.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.util
import io
import json
import math
import os
import resource
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, settings
from scipy.stats import binomtest

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
PATIENCE, LEAST, FOREVER = (
    5,
    5,
    900,
)  # times a test's processor time, and seconds more; seconds by the clock, for a wait
STARTING = 30  # seconds of processor time for importing, collecting and the examples of docstrings
SILENT_KEYWORDS = (
    "strict",
    "frozen",
    "slots",
    "kind",
    "stacklevel",
)  # they change what a caller sees in no working code
HEAVY = ("scipy.stats", "scipy.optimize", "scipy.special", "pandas", "networkx", "sklearn.metrics", "torch", "cv2")
FLAGS = (
    *("-x", "-q", "--no-header", "-o", "addopts=", "--import-mode=importlib", "-p", "no:cacheprovider"),
    *("-p", "_hypothesis_pytestplugin", "--hypothesis-profile=mutants", "--strict-markers"),
    *("-m", "not slow and not gpu and not cluster and not faults"),
)


@dataclass(frozen=True)
class Mutant:
    """One change of one file."""

    file: Path
    lines: range  # of the true file, that hold what is changed
    what: str
    source: str  # the changed file, without comments
    is_constant: bool = False  # a number with a name in capitals: a choice, beside which others would be right, too

    def __str__(self) -> str:
        line = self.file.read_text(encoding="utf-8").splitlines()[self.lines.start - 1].strip()
        return f"{self.file.relative_to(ROOT)}:{self.lines.start}: {self.what}: {line}"


@dataclass(frozen=True)
class Reach:
    """Which tests reach which lines of a room, and what each test takes."""

    tests: dict[str, dict[int, list[str]]]  # file -> line -> tests; "" among them: read while it is imported
    seconds: dict[str, float]  # of processor time

    def choose(self, mutant: Mutant) -> list[str]:
        """Return the tests that reach a change, quickest first; where importing reads it, all that use the file."""
        lines = self.tests.get(str(mutant.file), {})
        reaching = {test for line in mutant.lines for test in lines.get(line, ())}
        if "" in reaching:
            reaching |= {test for tests in lines.values() for test in tests}
        return self._quickest_first(reaching - {""})

    def list_others(self, chosen: Collection[str]) -> list[str]:
        """Return the other tests of the files of some: what one of them keeps for a file, others use."""
        files = {_file(test) for test in chosen}
        return self._quickest_first({test for test in self.seconds if _file(test) in files} - set(chosen))

    def _quickest_first(self, tests: Collection[str]) -> list[str]:
        return sorted(tests, key=lambda test: (self.seconds[test], test))


def _file(test: str) -> str:
    return test.split("::")[0]


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
    """Return the nodes that say nothing at run time, or only to people; see the head of this file."""
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        parts: list[ast.AST] = []
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            starred = [one for one in (node.args.vararg, node.args.kwarg) if one]
            every = [*node.args.args, *node.args.kwonlyargs, *node.args.posonlyargs, *starred]
            parts = [one.annotation for one in every if one.annotation] + ([node.returns] if node.returns else [])
            parts += node.decorator_list
        elif isinstance(node, ast.ClassDef):
            parts = [*node.decorator_list]
        elif isinstance(node, ast.AnnAssign):
            parts = [node.annotation]
        elif isinstance(node, ast.Raise):
            parts = [node.exc] if node.exc else []
        elif (isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "__name__ == '__main__'")) or (
            isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        ):
            parts = [node]
        elif isinstance(node, ast.keyword) and node.arg in SILENT_KEYWORDS:
            parts = [node.value]
        skipped.update(inner for part in parts for inner in ast.walk(part))
    return skipped


def find_constants(tree: ast.Module) -> set[ast.AST]:
    """Return the nodes of values that have a name in capitals, at a file's top."""
    constants: set[ast.AST] = set()
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value and ast.unparse(target).isupper():
            constants.update(ast.walk(node.value))
    return constants


def change(tree: ast.Module, number: int) -> tuple[range, str]:
    """Make one of the changes of `list_changes` in a tree; return its lines, and what it is.

    >>> tree = ast.parse("y = x < 2")
    >>> change(tree, 0), ast.unparse(tree)
    ((range(1, 2), 'Lt to LtE'), 'y = x <= 2')
    """
    node, what, make = list(list_changes(tree))[number]
    new = ast.copy_location(make(node) or ast.Pass(), node)
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if value is node:
                setattr(parent, name, new)
            elif isinstance(value, list):
                value[:] = [new if one is node else one for one in value]
    return _lines(node), what


def _lines(node: ast.AST) -> range:
    """Return the lines of a node; of a condition not those that it decides about."""
    last = node.test if isinstance(node, (ast.If, ast.While)) else node
    return range(node.lineno, last.end_lineno + 1)  # type: ignore[attr-defined]


def draw_mutants(room: str, count: int, rng: np.random.Generator) -> list[Mutant]:
    """Return one change on each of `count` different lines of a room's files; every line is equally likely."""
    lines: dict[tuple[Path, int], list[int]] = defaultdict(list)
    for file in sorted((PACKAGE / room).rglob("*.py")):
        for number, (node, _, _) in enumerate(list_changes(ast.parse(file.read_text(encoding="utf-8")))):
            lines[file, node.lineno].append(number)  # type: ignore[attr-defined]
    places = sorted(lines)
    mutants = []
    for place in sorted(rng.choice(len(places), size=min(count, len(places)), replace=False)):
        file, _ = places[place]
        tree, number = ast.parse(file.read_text(encoding="utf-8")), int(rng.choice(lines[places[place]]))
        is_constant = list(list_changes(tree))[number][0] in find_constants(tree)
        where, what = change(tree, number)
        mutants.append(Mutant(file, where, what, ast.unparse(ast.fix_missing_locations(tree)), is_constant))
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


class _Measuring:
    """Notes for each test which lines it reaches, and its processor time."""

    def __init__(self, room: str) -> None:
        from coverage import Coverage

        self.seconds: dict[str, float] = {}
        self.failed: list[str] = []
        self.coverage = Coverage(data_file=None, config_file=False, include=[str(PACKAGE / room / "*")])
        self.coverage.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item):  # type: ignore[no-untyped-def]
        self.coverage.switch_context(item.nodeid)
        began = time.process_time()
        result = yield
        self.seconds[item.nodeid] = time.process_time() - began
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(f"{report.nodeid}: {report.longreprtext.strip().splitlines()[-1]}")

    def keep(self, file: Path) -> None:
        """Write what was noted, as `Reach` holds it."""
        self.coverage.stop()
        data = self.coverage.get_data()
        tests = {one: data.contexts_by_lineno(one) for one in data.measured_files()}
        file.write_text(json.dumps({"tests": tests, "seconds": self.seconds, "failed": self.failed}))


class _Choosing:
    """Leaves out some tests, orders the others, and ends the process at one that takes too long."""

    def __init__(self, order: dict[str, int], seconds: dict[str, float]) -> None:
        self.order, self.seconds = order, seconds

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        chosen = [item for item in items if item.nodeid in self.order]
        items[:] = sorted(chosen, key=lambda item: self.order[item.nodeid])

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        _allow(LEAST + PATIENCE * self.seconds[item.nodeid])


def _allow(seconds: float) -> None:
    """End this process when it has taken so much more processor time."""
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time() + seconds), hard))


def in_a_process(work: Callable[[], int]) -> int:
    """Return the status of a process of its own that does some work; 1 if it must be ended."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        sys.dont_write_bytecode = True
        os.chdir(ROOT)
        status = 1
        with Path(os.devnull).open("w") as silent, redirect_stdout(silent), redirect_stderr(io.StringIO()):
            os.dup2(silent.fileno(), 1)
            os.dup2(silent.fileno(), 2)
            try:
                status = work()
            except BaseException:
                status = 1
            finally:
                os._exit(status)
    end, done, status = time.monotonic() + FOREVER, 0, 1
    while not done and time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        time.sleep(0.01)
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)  # what the tests left running, too
    if not done:
        os.waitpid(pid, 0)
    return int(status != 0)


def measure(room: str) -> Reach:
    """Run the tests of a room on the true code, and return which lines each of them reaches.

    Raises:
        SystemExit: they fail as they are.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "reach.json")

        def work() -> int:
            noting = _Measuring(room)
            status = int(pytest.main([*FLAGS, str(ROOT / "tests" / room)], plugins=[noting]))
            noting.keep(file)
            return status

        status = in_a_process(work)
        found = json.loads(file.read_text()) if file.exists() else {"failed": ["the tests could not be run"]}
        if status or found["failed"]:
            raise SystemExit(f"tests/{room}: fail as they are; fix them first: {'; '.join(found['failed'])}")
    tests = {name: {int(line): some for line, some in lines.items()} for name, lines in found["tests"].items()}
    return Reach(tests, found["seconds"])


def notice(mutant: Mutant, reach: Reach) -> bool:
    """Return whether an example of the changed file or a test of its room fails, or takes too long."""
    near = reach.choose(mutant)
    others = reach.list_others(near)

    def work() -> int:
        _allow(STARTING)
        finder = _Replaced(mutant)
        sys.meta_path.insert(0, finder)
        return int(_examples_fail(finder.name) or any(_fails(tests, reach) for tests in (near, others) if tests))

    return in_a_process(work) != 0


def _fails(tests: Collection[str], reach: Reach) -> bool:
    files = sorted({str(ROOT / _file(test)) for test in tests})
    order = {test: place for place, test in enumerate(tests)}
    return pytest.main([*FLAGS, *files], plugins=[_Choosing(order, reach.seconds)]) != 0


def _examples_fail(name: str) -> bool:
    import doctest

    return doctest.testmod(importlib.import_module(name)).failed > 0


def describe_share(noticed: int, tried: int) -> str:
    """Return a share with its 95 % interval (Wilson).

    >>> describe_share(90, 100)
    '0.90 [0.83, 0.94]'
    """
    interval = binomtest(noticed, tried).proportion_ci(method="wilson")
    return f"{noticed / tried:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def main(arguments: Sequence[str] | None = None) -> None:
    """Try the changes of each room, and print a table and what was not noticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rooms", nargs="+", default=ROOMS, help="of hpa_hier/")
    parser.add_argument("--each", type=int, default=150, help="changes in each room")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--part", default="1/1", help="such as 2/5: the second of five parts of them, to try in turns")
    options = parser.parse_args(arguments)
    part, parts = map(int, options.part.split("/"))
    sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "benchmarks")]
    os.environ |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"}
    settings.register_profile(
        "mutants", derandomize=True, database=None, deadline=None, phases=[Phase.explicit, Phase.generate]
    )
    for heavy in HEAVY:
        importlib.import_module(heavy)  # once, for all processes
    head = "| room | seed | changes | noticed | share | of these in code | noticed | share |"
    print(f"{head}\n{'| --- ' * 8}|", flush=True)
    survivors = []
    for room in options.rooms:
        reach = measure(room)
        mutants = draw_mutants(room, options.each, np.random.default_rng(options.seed))[part - 1 :: parts]
        left, tally = [], []
        for number, mutant in enumerate(mutants, 1):
            began = time.monotonic()
            tally.append((notice(mutant, reach), mutant.is_constant))
            if not tally[-1][0]:
                left.append(f"- {mutant}" + ("" if reach.choose(mutant) else " (no test reaches it)"))
                print(left[-1], file=sys.stderr, flush=True)
            print(f"{room} {number}: {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
        row = [room, str(options.seed)]
        for some in (tally, [one for one in tally if not one[1]]):
            noticed = sum(was for was, _ in some)
            row += [str(len(some)), str(noticed), describe_share(noticed, len(some))]
        print(f"| {' | '.join(row)} |", flush=True)
        survivors += left
    print("\nNot noticed:\n\n" + "\n".join(survivors))


if __name__ == "__main__":
    main()
