"""A world to break: drawn images, a pack, a run whose three members were trained, fitted and evaluated."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from faults.forked import run
from tiny_run import CHANNELS, SIZE, TAXONOMY

from hpa_hier.files.atomic import read_json, write_json, write_text

RECIPE = """run: tiny
artifacts: {home}/artifacts
taxonomy: {home}/toy.yaml
data: {{pack: {home}/pack, image_size: 32}}
partition: {{majority_min_images: 10}}
split: {{folds: 0}}
training: {{width: 4, epochs: 1, batch_size: 16, learning_rate: 0.003}}
members:
  - {{name: coarse, level: coarse}}
  - {{name: leaf, level: leaf}}
  - {{name: leaf-s1, level: leaf, seed: 1}}
ensemble: {{members: [coarse, leaf], baseline: [leaf, leaf-s1], bootstrap: 20, folds: 2}}
report: {{gallery: 2}}
"""
SHORT_DEMO = """run: demo
artifacts: {home}/demo
data: {{image_size: 32}}
simulate: {{count: 60, image_size: 32}}
split: {{folds: 0}}
training: {{width: 4, max_steps: 2, batch_size: 16}}
members: [{{name: coarse, level: coarse}}, {{name: leaf, level: leaf}}]
ensemble: {{members: [coarse, leaf], baseline: [], use_baseline: false, bootstrap: 20, folds: 2}}
report: {{gallery: 2, heat_maps: 0}}
"""
# What `evaluate` writes, below the world's folder.
EVALUATED = tuple(f"artifacts/tiny/ensemble/{name}" for name in ("evaluation.npz", "evaluation.json", "results.json"))
_NOT_COMPARED = re.compile(r"(^|/)(\.?lock|train\.log|.*\.lock)$")
# A pack's request holds the times of change of its images, which the demo draws again.
_TIMES = re.compile(
    rb'"(seconds|pack_seconds|train_seconds|request|sha256|checksum|ensemble_sha256|history\.csv)": [^,\n}]*'
    rb'|data-label="time"[^<]*'
)


class World:
    """Everything below one folder, which tests copy."""

    def __init__(self, home: Path, count: int = 64) -> None:
        self.home = home
        self.images, self.labels, self.taxonomy = home / "images", home / "labels.csv", home / "toy.yaml"
        self.pack, self.recipe, self.new = home / "pack", home / "recipe.yaml", home / "new"
        self.vectors = home / "vectors.csv"
        self.run = home / "artifacts" / "tiny"
        self.count = count

    @property
    def config(self) -> tuple[str, ...]:
        """The flags that name the recipe."""
        return ("--config", str(self.recipe))

    def draw(self) -> None:
        """Write the images, the labels, the taxonomy and the recipe."""
        rng = np.random.default_rng(0)
        present = rng.random((self.count, 4)) < [0.5, 0.4, 0.4, 0.3]
        present[~present.any(axis=1), 0] = True
        rows = ["Id,Target,antibody"]
        for place in (self.images, self.new):
            place.mkdir(parents=True, exist_ok=True)
        for i, row in enumerate(present):
            planes = rng.normal(60, 20, (4, SIZE, SIZE)).clip(0, 255)
            planes[1] = (planes[1] / 4 + 50 * np.flatnonzero(row).mean()).clip(0, 255)
            planes[1, : 4 * int(row.sum()), :4] = 255
            for channel, plane in zip(CHANNELS, planes.astype(np.uint8), strict=True):
                cv2.imwrite(str(self.images / f"s{i:04d}_{channel}.png"), plane)
                if i < 6:
                    cv2.imwrite(str(self.new / f"s{i:04d}_{channel}.png"), plane)
            rows.append(f"s{i:04d},{' '.join(map(str, np.flatnonzero(row)))},ab{i // 2}")
        write_text(self.labels, "\n".join(rows) + "\n")
        features = present @ rng.normal(0, 3, (4, 6)) + rng.normal(size=(self.count, 6))
        numbers = [",".join(f"{value:.4f}" for value in row) for row in features]
        rows = ["id,f0,f1,f2,f3,f4,f5", *(f"s{i:04d},{row}" for i, row in enumerate(numbers))]
        write_text(self.vectors, "\n".join(rows) + "\n")
        write_text(self.taxonomy, TAXONOMY)
        self.write_recipe()

    def make(self) -> None:
        """Draw it, pack it, train three members, fit and evaluate."""
        self.draw()
        members = (self.train_words(name) for name in ("coarse", "leaf", "leaf-s1"))
        last = (self.ensemble_words("fit"), self.ensemble_words("evaluate"))
        for words in (self.pack_words(), *members, *last):
            done = run(*words)
            assert done.status == 0, done.text

    def write_recipe(self) -> None:
        """Write the recipe, whose paths are those of this folder."""
        write_text(self.recipe, RECIPE.format(home=self.home))

    def copy(self, home: Path) -> World:
        """Return a copy in another folder, which replaces what is there; images are not copied."""
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        for one in (self.labels, self.taxonomy, self.vectors):
            shutil.copy(one, home)
        for one in ("pack", "artifacts"):
            if (self.home / one).exists():
                shutil.copytree(self.home / one, home / one, symlinks=True)
        other = World(home, self.count)
        other.images, other.new = self.images, self.new
        other.write_recipe()
        for path in home.rglob("*"):  # recipes and facts that name the folder
            if path.name == "config.yaml":
                path.write_text(path.read_text().replace(str(self.home), str(home)))
            elif path.name == "run.json":
                facts = read_json(path)
                write_json(path, facts | {"pack": facts["pack"].replace(str(self.home), str(home))})
        return other

    def pack_words(self) -> list[object]:
        flags = ["--images", self.images, "--labels", self.labels, "--taxonomy", self.taxonomy]
        return ["data", "pack", *flags, "--size", SIZE, "--out", self.pack, "--threads", 1]

    def train_words(self, member: str = "leaf", *more: object) -> list[object]:
        return ["train", "--member", member, "--device", "cpu", *self.config, *more]

    def ensemble_words(self, command: str, *more: object) -> list[object]:
        return ["ensemble", command, "--run", self.run, *more]

    def predict_words(self, *more: object) -> list[object]:
        flags = ["--images", self.new, "--out", self.home / "answers", "--device", "cpu"]
        return ["ensemble", "predict", "--run", self.run, *flags, *more]

    def whole_words(self, *more: object) -> list[object]:
        """Return the words of `run`, whose recipe names neither a pack nor a run."""
        recipe = self.home / "whole.yaml"
        lines = self.recipe.read_text().splitlines()
        kept = [line for line in lines if not line.startswith(("run:", "artifacts:", "taxonomy:"))]
        recipe.write_text("\n".join(kept).replace(f"pack: {self.pack}, ", "") + "\n")
        source = ["--images", self.images, "--labels", self.labels, "--taxonomy", self.taxonomy, "--config", recipe]
        return ["run", *source, "--out", self.home / "whole", "--device", "cpu", *more]

    def short_demo_words(self) -> list[object]:
        """Return the words of the smallest `demo`: of two members."""
        recipe = self.home / "demo.yaml"
        recipe.write_text(SHORT_DEMO.format(home=self.home))
        return ["demo", "--config", recipe]

    def demo_words(self) -> list[object]:
        """Return the words of a small `demo` with all its members."""
        changes = (
            *("simulate.count=120", "simulate.image_size=32", "data.image_size=32", "training.max_steps=2"),
            *("training.width=4", "report.heat_maps=0", f"artifacts={self.home / 'demo'}"),
        )
        return ["demo", *(word for change in changes for word in ("--set", change))]


def without(*parts: str) -> Callable[[World], None]:
    """Return what removes some files and folders of a world."""

    def prepare(world: World) -> None:
        for part in parts:
            path = world.home / part
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    return prepare


def snapshot(folder: Path) -> dict[str, str]:
    """Return the digest of every file below a folder, but for what differs between equal runs: times and locks."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and not path.is_symlink() and not _NOT_COMPARED.search(name) and ".tmp" not in name:
            found[name] = hashlib.sha256(_without_times(path)).hexdigest()[:12]
    return found


def list_temporary(folder: Path) -> list[str]:
    """Return the temporary files that were left below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if ".tmp" in path.name)


def _without_addresses(path: Path) -> bytes:
    """Return a skops file's content without what it says of the process that wrote it: ids of objects, and the time."""
    with zipfile.ZipFile(path) as archive:
        schema = archive.read("schema.json").decode()
        arrays = {name.partition(".")[0]: archive.read(name) for name in archive.namelist() if name != "schema.json"}
    ids = dict.fromkeys(re.findall(r'"__id__": (\d+)', schema))
    for number, one in enumerate(ids):
        schema = schema.replace(one, f"#{number}")
    return schema.encode() + b"".join(arrays[one] for one in ids if one in arrays)


def _without_times(path: Path) -> bytes:
    content = path.read_bytes()
    if path.name == "history.csv":
        return b"\n".join(line.rsplit(b",", 1)[0] for line in content.splitlines())
    if path.name == "member.json":
        facts = json.loads(content)
        facts.pop("seconds", None)
        facts.pop("checksum", None)
        files = facts.get("files", {})
        facts["files"] = {name: files[name] for name in files if not name.endswith(("history.csv", ".skops"))}
        return json.dumps(facts, sort_keys=True).encode()
    if path.suffix == ".skops":
        return _without_addresses(path)
    return _TIMES.sub(b"", content) if path.suffix in (".json", ".html") else content
