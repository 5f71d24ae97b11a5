"""A small run folder with finished members whose scores are drawn, and a folder of images to predict."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from ensemble_cases import draw_members, draw_truth

from hpa_hier import __version__
from hpa_hier.data.pack.pack import Pack
from hpa_hier.data.pack.simulated_pack import write_simulated_pack
from hpa_hier.ensemble.scores.scores import Scores, Truth
from hpa_hier.files.atomic import sha256, write_json, write_text
from hpa_hier.runs.manifest import FORMAT, Manifest, write_manifest
from hpa_hier.runs.run import Run
from hpa_hier.settings.recipe import EnsembleSettings, MemberSettings, Recipe
from hpa_hier.taxonomy import Taxonomy

CHANNELS = ("red", "green", "blue", "yellow")
SIZE = 16
TAXONOMY = """taxonomy: small
levels: {coarse: 1, leaf: leaves}
tree:
  Nucleus:
    Nucleoplasm: {label: 0}
    Nucleoli: {label: 2}
    Nuclear speckles: {label: 4}
  Cytoplasm:
    Cytosol: {label: 25}
    Centrosome: {label: 19, also_under: [Nucleus]}
"""


class SmallRun:
    """A run under `home/artifacts/small`: 90 samples, a coarse, a majority, a minority and two leaf members."""

    def __init__(self, home: Path, seed: int = 0, unknown: float = 0.0) -> None:
        rng = np.random.default_rng(seed)
        self.home, self.folder = home, home / "artifacts" / "small"
        self.file = home / "small.yaml"
        write_text(self.file, TAXONOMY)
        self.taxonomy = Taxonomy.load(self.file)
        truth = draw_truth(rng, self.taxonomy, 90, unknown)
        self.truth = Truth(tuple(sorted(truth.ids)), truth.present, truth.known)
        self.parts = np.array(["train", "calibration", "test"])[np.arange(90) % 3]
        self._write_pack(rng)
        self.members = {one.name: one for one in draw_members(rng, self.truth, self.taxonomy)}
        for name in self.members:
            self.write_member(name)

    @property
    def run(self) -> Run:
        """The run as it is on disk now."""
        return Run(self.folder, self.recipe)

    @property
    def recipe(self) -> Recipe:
        return Recipe(
            run="small",
            artifacts=str(self.home / "artifacts"),
            taxonomy=str(self.file),
            members=tuple(MemberSettings(name=name, level="leaf") for name in self.members),
            ensemble=EnsembleSettings(
                members=("coarse", "majority", "minority", "leaf"),
                baseline=("leaf", "leaf-s1"),
                calibrate="platt",
                aggregate="mean",
                refine=False,
                thresholds="f1",
                bootstrap=20,
                folds=0,
            ),
        )

    def write_member(self, name: str, **changed: object) -> None:
        scores = self.members[name]
        folder = self.folder / "members" / name
        folder.mkdir(parents=True, exist_ok=True)
        held = self.parts != "train"
        np.savez(
            folder / "scores.npz",
            ids=np.array(scores.ids)[held],
            part=self.parts[held],
            nodes=np.array(scores.nodes),
            logits=scores.logits[held].astype(np.float32),
        )
        write_text(folder / "taxonomy.yaml", TAXONOMY)
        kind = "majority" if name == "majority" else "minority" if name == "minority" else None
        selector = {"partition": kind} if kind else {"level": "coarse" if name == "coarse" else "leaf"}
        facts = {
            "format": FORMAT,
            "version": __version__,
            "name": name,
            "selector": selector,
            "nodes": scores.nodes,
            "meanings": {node: self.taxonomy.meaning(node) for node in scores.nodes},
            "taxonomy": self.taxonomy.name,
            "seed": 0,
            "head": "flat",
            "backbone": "small_cnn",
            "width": 8,
            "channels": CHANNELS,
            "image_size": SIZE,
            "intensity": "depth",
            "mean": (0.0,) * 4,
            "std": (1.0,) * 4,
            "pack_digest": self.pack.digest,
            "split_digest": "5511755117551175",
            "settings": {},
            "weights_sha256": None,
            "parameters": 1000,
            "images_seen": 900,
            "steps": 30,
            "seconds": 1.5,
            "epochs": 3,
            "best_epoch": 2,
            "stopped": "all steps",
            "device": "cpu",
            "precision": "32-true",
            "files": {file: sha256(folder / file) for file in ("scores.npz", "taxonomy.yaml")},
        }
        known = {key: value for key, value in (facts | changed).items() if key in Manifest.model_fields}
        write_manifest(folder, Manifest.model_validate(known))

    def _write_pack(self, rng: np.random.Generator) -> None:
        path = self.home / "pack"
        images = [rng.integers(0, 256, (4, SIZE, SIZE), dtype=np.uint8) for _ in self.truth.ids]
        column = self.taxonomy.column
        nodes = [
            [leaf for leaf in self.taxonomy.leaves if row[column[leaf]]] or [self.taxonomy.leaves[0]]
            for row in self.truth.present
        ]
        write_simulated_pack(
            path, images, self.truth.ids, nodes, [""] * 90, CHANNELS, self.taxonomy, "drawn for a test"
        )
        self.pack = Pack.open(path)
        write_json(
            self.folder / "run.json",
            {
                "pack": str(path),
                "pack_digest": self.pack.digest,
                "split_digest": "b" * 16,
                "taxonomy": "small",
                "simulated": True,
            },
        )


class MeanOfPixels:
    """Stands in for a trained member: each logit is a weighted mean of the image's channels."""

    def __init__(self, scores: Scores) -> None:
        self.nodes = scores.nodes
        self._weights = np.random.default_rng(len(scores.nodes)).normal(size=(4, len(scores.nodes)))

    def logits(self, images: np.ndarray) -> np.ndarray:
        assert images.dtype == np.uint8
        assert images.shape[1:] == (4, SIZE, SIZE)
        means = images.reshape(len(images), 4, -1).sum(axis=2, dtype=np.int64) / SIZE**2 / 64
        rows = [sum(row[c] * self._weights[c] for c in range(4)) for row in means - 2]
        return np.asarray(rows, np.float32).reshape(len(images), -1)


def write_images(folder: Path, count: int, channels: tuple[str, ...] = CHANNELS) -> None:
    """Competition files of `count` samples, each of its own brightness."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    for i in range(count):
        for channel in channels:
            image = rng.integers(0, int(rng.integers(2, 257)), (SIZE, SIZE)).astype(np.uint8)
            cv2.imwrite(str(folder / f"image-{i:02d}_{channel}.png"), image)
