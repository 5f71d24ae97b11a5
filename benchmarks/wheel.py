"""Does the wheel work on each Python that it names, torch and all?

    python benchmarks/wheel.py [--python python3.11 python3.12 …] [--keep DIR]

Builds the source distribution and from it the wheel. Then, for each interpreter, one after another: makes an
environment in a temporary folder, installs the wheel with all that it depends on, and there, outside of the checkout,
prints the help of every command, imports every module, checks the taxonomies, simulates images, packs the same images,
trains, fits, evaluates and reports a run of three small networks on them, and lets the bundled ensemble predict them.
Prints a row for each: what failed, the digest of the pack, and how far answers and weights are from those of the first.
Exit status 1 if something failed, a pack differs or a label does. About 6 GB of disk and 2 minutes of one core for each
interpreter, besides the download.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
MINORS = range(11, 15)  # as `requires-python` says
COUNT, SIZE = 60, 64  # images, pixels
RECIPE = """
run: tried
data: {image_size: 32}
training: {backbone: small_cnn, width: 8, max_steps: 20, batch_size: 16}
split: {folds: 0}
members: [{name: leaf, level: leaf}, {name: coarse, level: coarse}, {name: leaf-s1, level: leaf, seed: 1}]
ensemble: {members: [leaf, coarse], baseline: [leaf, leaf-s1]}
"""
WALK = """
import importlib, json, pkgutil, re
from importlib.metadata import requires, version
import hpa_hier
extra = [re.match("[A-Za-z0-9-]+", one)[0] for one in requires("hpa-hier") if "extra ==" in one]
extras = {one.replace("-", "_").lower() for one in extra}
done, without, failed = 0, set(), []
for module in pkgutil.walk_packages(hpa_hier.__path__, "hpa_hier."):
    if module.name.endswith("__main__"):
        continue
    try:
        importlib.import_module(module.name)
        done += 1
    except ModuleNotFoundError as error:
        name = (error.name or "").split(".")[0]
        without.add(name) if name in extras else failed.append(f"{module.name}: {error}")
    except Exception as error:
        failed.append(f"{module.name}: {error!r}")
print(json.dumps({"file": hpa_hier.__file__, "modules": done, "without": sorted(without), "failed": failed,
                  "torch": version("torch"), "numpy": version("numpy")}))
"""
COMMANDS = """
import json
from importlib import import_module
from hpa_hier.cli.main import COMMANDS, SHORT
lines = [["--help"], *([name, "--help"] for name in (*COMMANDS, *SHORT))]
for name in COMMANDS:
    lines += [[name, one, "--help"] for one in import_module(f"hpa_hier.cli.{name}").parser().summaries]
print(json.dumps(lines))
"""


@dataclass
class Tried:
    """What one interpreter did with the wheel."""

    version: str
    failed: list[str] = field(default_factory=list)
    helps: int = 0
    modules: int = 0
    without: list[str] = field(default_factory=list)  # what modules of extras lack
    torch: str = ""
    numpy: str = ""
    pack: str = ""  # digest
    answers: dict[str, list[str]] = field(default_factory=dict)  # file -> rows of the bundled ensemble's answers
    weights: list[np.ndarray] = field(default_factory=list)  # of the members trained there


def find_interpreters() -> list[str]:
    """Return the interpreters of this machine that the wheel names, one for each version."""
    found = []
    for minor in MINORS:
        pyenv = sorted(
            Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob(f"versions/3.{minor}.*/bin/python")
        )
        here = [sys.executable] if sys.version_info[:2] == (3, minor) else []
        for one in [*here, f"python3.{minor}", *map(str, pyenv)]:
            if _version(one).startswith(f"3.{minor}."):
                found.append(one)
                break
    return found


def _version(interpreter: str) -> str:
    code = "import platform; print(platform.python_version())"
    try:
        done = subprocess.run([interpreter, "-c", code], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


class _Environment:
    """An environment of one interpreter, in a folder, where commands run outside of the checkout."""

    def __init__(self, interpreter: str, folder: Path) -> None:
        self.folder, self.tried = folder, Tried(_version(interpreter))
        subprocess.run([interpreter, "-m", "venv", str(folder / "venv")], check=True)
        self.python = folder / "venv" / "bin" / "python"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "HPA_HIER"))}
        self.environment = kept | {"OMP_NUM_THREADS": "1", "HPA_HIER_CACHE": str(folder / "cache")}

    def run(self, *words: object) -> str:
        """Run a command, and return what it printed; note it if it failed."""
        command = [str(self.python), *map(str, words)]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            last = (done.stderr.strip() or done.stdout.strip() or "no words").splitlines()[-1]
            self.tried.failed.append(f"{' '.join(map(str, words))[:80]}: status {done.returncode}: {last[:300]}")
        return done.stdout if done.returncode == 0 else ""

    def command(self, *words: object) -> str:
        return self.run("-m", "hpa_hier", *words)


def build(folder: Path) -> Path:
    """Return the wheel, made of the source distribution, which is made of the checkout."""
    maker = folder / "maker"
    subprocess.run([sys.executable, "-m", "venv", str(maker)], check=True)
    subprocess.run([str(maker / "bin" / "python"), "-m", "pip", "install", "--quiet", "build"], check=True)
    made = subprocess.run(
        [str(maker / "bin" / "python"), "-m", "build", "--outdir", str(folder / "dist"), str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise SystemExit(f"error: no wheel could be built:\n{made.stdout[-2000:]}{made.stderr[-2000:]}")
    shutil.rmtree(maker)
    for file in sorted((folder / "dist").iterdir()):
        print(f"{file.name}: {file.stat().st_size / 1e6:.1f} MB", file=sys.stderr)
    return next((folder / "dist").glob("*.whl"))


def try_wheel(wheel: Path, interpreter: str, folder: Path, drawn: Path) -> Tried:
    """Install a wheel for one interpreter, and try all that it promises.

    Args:
        wheel: the file.
        interpreter: a command.
        folder: an empty one.
        drawn: the images that are packed and predicted; they are simulated first if they are not there.
    """
    here = _Environment(interpreter, folder)
    tried = here.tried
    here.run("-m", "pip", "install", "--quiet", wheel)
    here.run("-m", "pip", "check")
    if tried.failed:
        return tried
    walked = json.loads(here.run("-c", WALK) or "{}")
    tried.modules, tried.without = walked.get("modules", 0), walked.get("without", [])
    tried.torch, tried.numpy = walked.get("torch", ""), walked.get("numpy", "")
    tried.failed += walked.get("failed", [])
    if not walked.get("file", "").startswith(str(folder)):
        tried.failed.append(f"imported {walked.get('file')}, which is not the wheel's")
    for words in json.loads(here.run("-c", COMMANDS) or "[]"):
        tried.helps += "usage: " in here.command(*words)
    for name in ("hpa28", "hpa28_organelle7", "hpa19_single_cell"):
        here.command("taxonomy", "check", f"hierarchy/{name}.yaml")
    here.command("data", "simulate", "--count", COUNT, "--size", SIZE, "--out", "drawn")
    if not drawn.exists():
        shutil.copytree(folder / "drawn", drawn)
    labels = drawn / "labels.csv"
    here.command("data", "pack", "--images", drawn, "--labels", labels, "--size", "32", "--out", "packed")
    tried.pack = _digest(folder / "packed")
    (folder / "recipe.yaml").write_text(RECIPE)
    here.command(
        *("run", "--images", drawn, "--labels", labels, "--config", "recipe.yaml", "--device", "cpu", "--out", "mine")
    )
    tried.weights = list(_weights(folder / "artifacts" / "mine" / "members"))
    here.command("ensemble", "predict", "--run", "pretrained", "--images", drawn, "--device", "cpu", "--out", "answers")
    for name in ("probabilities.csv", "submission.csv"):
        if (file := folder / "answers" / name).exists():
            tried.answers[name] = file.read_text(encoding="utf-8").splitlines()
    return tried


def _digest(pack: Path) -> str:
    """Return a digest of a pack's samples."""
    digest = hashlib.sha256()
    for file in sorted([*pack.glob("*.npy"), *pack.glob("samples.csv")]):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _weights(members: Path) -> Iterator[np.ndarray]:
    from safetensors.numpy import load_file

    for file in sorted(members.rglob("model.safetensors")):
        for _, values in sorted(load_file(file).items()):
            yield values.astype(np.float64)


def describe_distance(one: Tried, first: Tried) -> str:
    """Return how far an interpreter's answers and weights are from those of the first one."""
    if one is first:
        return "–"
    rows, others = (_numbers(tried.answers.get("probabilities.csv", [])) for tried in (one, first))
    answers = f"{np.abs(rows - others).max():.1e}" if rows.shape == others.shape and rows.size else "other images"
    alike = [mine.shape == theirs.shape for mine, theirs in zip(one.weights, first.weights, strict=False)]
    if not alike or not all(alike) or len(one.weights) != len(first.weights):
        return f"{answers}; other weights"
    weights = max(np.abs(mine - theirs).max() for mine, theirs in zip(one.weights, first.weights, strict=True))
    return f"{answers}; {weights:.1e}"


def _numbers(rows: Sequence[str]) -> np.ndarray:
    return np.array([[float(cell) for cell in row[1:]] for row in list(csv.reader(rows))[1:]])


def main() -> None:
    """Build the wheel, try it on each interpreter, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", nargs="+", help="interpreters (default: those of 3.11 to 3.14 that are found)")
    parser.add_argument("--keep", type=Path, help="folder for the wheel and the source distribution")
    options = parser.parse_args()
    interpreters = options.python or find_interpreters()
    for one in interpreters:
        if not _version(one):
            raise SystemExit(f"error: --python {one}: no interpreter that runs; give its path")
    missing = [
        f"3.{minor}" for minor in MINORS if not any(_version(one).startswith(f"3.{minor}.") for one in interpreters)
    ]
    done: list[Tried] = []
    with tempfile.TemporaryDirectory() as top:
        wheel = build(Path(top))
        if options.keep:
            shutil.copytree(Path(top, "dist"), options.keep, dirs_exist_ok=True)
        print("| Python | torch, numpy | failed | helps | modules | without an extra | pack | answers; weights |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
        for one in interpreters:
            with tempfile.TemporaryDirectory() as folder:
                tried = try_wheel(wheel, one, Path(folder), Path(top, "drawn"))
            done.append(tried)
            first = done[0]
            if tried.pack != first.pack:
                tried.failed.append(f"the pack has digest {tried.pack}, not {first.pack}")
            if tried.answers.get("submission.csv") != first.answers.get("submission.csv"):
                tried.failed.append("the bundled ensemble calls other labels")
            cells = [tried.version, f"{tried.torch}, {tried.numpy}", str(len(tried.failed)), str(tried.helps)]
            cells += [str(tried.modules), " ".join(tried.without), tried.pack, describe_distance(tried, first)]
            print(f"| {' | '.join(cells)} |", flush=True)
            for problem in tried.failed:
                print(f"{tried.version}: {problem}", file=sys.stderr, flush=True)
    if missing:
        print(f"\nNot tried, since there is none here: {', '.join(missing)}.")
    raise SystemExit(any(tried.failed for tried in done))


if __name__ == "__main__":
    main()
