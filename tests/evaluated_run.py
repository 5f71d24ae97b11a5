"""A run folder as training, fitting and evaluating leave it, with made-up answers, for tests of results and report."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hpa_hier.data.labels.table import Targets
from hpa_hier.data.pack.pack import Pack
from hpa_hier.data.pack.simulated_pack import write_simulated_pack
from hpa_hier.data.split.split import make_split, write_split
from hpa_hier.ensemble.trivial import TrivialBaseline
from hpa_hier.files.atomic import write_json, write_text, write_with
from hpa_hier.runs.manifest import Manifest, write_manifest
from hpa_hier.settings.recipe import SplitSettings
from hpa_hier.taxonomy import Taxonomy

MEMBERS = ("coarse", "majority", "minority", "leaf", "leaf-s1")
CHANNELS = ("red", "green", "blue", "yellow")
FLAT = ("leaf", "leaf-s1", "leaf-s2", "leaf-s3", "leaf-s4")


def make_run(folder: Path, count: int = 400, size: int = 64, seed: int = 0, flat: bool = True) -> Path:
    """Make a run of random blobs with answers that are right more often than not; returns the run folder."""
    rng = np.random.default_rng(seed)
    taxonomy = Taxonomy.load("hierarchy/hpa28.yaml")
    names = _label_sets(taxonomy, count, rng)
    ids = [f"cell-{k:05d}" for k in range(count)]
    groups = [f"HPA{k // 2:06d}" for k in range(count)]
    images = (_blobs(rng, size) for _ in range(count))
    write_simulated_pack(folder / "pack", images, ids, names, groups, CHANNELS, taxonomy, "blobs for a test")
    pack = Pack.open(folder / "pack")
    run = folder / "run"
    targets = pack.targets(taxonomy)
    split = make_split(ids, targets.present, groups, SplitSettings(fractions=(0.4, 0.2, 0.4)))
    write_split(run / "split.csv", split, SplitSettings(fractions=(0.4, 0.2, 0.4)))
    write_text(run / "taxonomy.yaml", taxonomy.text)
    write_json(
        run / "run.json",
        {
            "pack": str(folder / "pack"),
            "pack_digest": pack.digest,
            "split_digest": split.digest,
            "taxonomy": taxonomy.name,
        },
    )
    for k, name in enumerate(dict.fromkeys(MEMBERS + (FLAT if flat else ()))):
        _write_member(run / "members" / name, k, taxonomy, rng)
    rows = split.part_rows("test")
    held_out = targets.present[split.part_rows("calibration")]
    _write_evaluation(run, [ids[row] for row in rows], targets.present[rows], held_out, taxonomy, rng, flat)
    write_json(run / "ensemble" / "evaluation.json", _facts(pack.digest, split.digest, flat))
    return run


def _label_sets(taxonomy: Taxonomy, count: int, rng: np.random.Generator) -> list[tuple[str, ...]]:
    leaves = np.array(taxonomy.leaves)
    share = 1 / (1 + np.arange(len(leaves))) ** 1.1
    rng.shuffle(share)
    share[-1] = 0  # one class that nobody has
    sizes = rng.choice([1, 2, 3], count, p=[0.5, 0.4, 0.1])
    return [tuple(str(n) for n in rng.choice(leaves, k, replace=False, p=share / share.sum())) for k in sizes]


def _blobs(rng: np.random.Generator, size: int) -> np.ndarray:
    y, x = np.mgrid[:size, :size] / size
    image = np.zeros((4, size, size))
    for _ in range(6):
        cy, cx = rng.uniform(0.1, 0.9, 2)
        away = np.hypot(y - cy, x - cx)
        image[0] += np.exp(-((away / 0.12) ** 2)) * (0.6 + 0.4 * np.sin(60 * x + 40 * cy))
        image[1] += np.exp(-((away / 0.10) ** 2)) * rng.uniform(0, 1, away.shape)
        image[2] += away < 0.06
        image[3] += np.exp(-((away / 0.15) ** 2)) * 0.5
    return np.clip(image * 150 + rng.normal(8, 3, image.shape), 0, 255).astype(np.uint8)


def _write_member(folder: Path, k: int, taxonomy: Taxonomy, rng: np.random.Generator) -> None:
    nodes = taxonomy.level("coarse") if folder.name == "coarse" else taxonomy.leaves
    write_manifest(
        folder,
        Manifest(
            format=1,
            version="0",
            name=folder.name,
            selector={"level": "leaf"},
            nodes=nodes,
            meanings={},
            taxonomy=taxonomy.name,
            seed=k,
            head="flat",
            backbone="small_cnn",
            width=16,
            channels=CHANNELS,
            image_size=64,
            intensity="depth",
            mean=(0.0,) * 4,
            std=(1.0,) * 4,
            pack_digest="",
            split_digest="",
            settings={"balance": "none"},
            weights_sha256=None,
            parameters=123_456 + k,
            images_seen=40_000,
            steps=1_250,
            seconds=71.5 + k,
            epochs=20,
            best_epoch=17,
            stopped="early",
            device="cpu",
            precision="32",
            files={},
        ),
    )
    epochs = 20
    train = 0.7 * np.exp(-np.arange(epochs) / 6) + 0.05 + rng.normal(0, 0.004, epochs)
    held = train + 0.05 + np.linspace(0, 0.06, epochs)
    score = 0.6 * (1 - np.exp(-np.arange(epochs) / 7)) + rng.normal(0, 0.01, epochs)
    lines = ["epoch,train_loss,calibration_loss,calibration_macro_f1,learning_rate,seconds"]
    lines += [f"{e + 1},{train[e]:.5f},{held[e]:.5f},{score[e]:.5f},0.001,3.5" for e in range(epochs)]
    write_text(folder / "history.csv", "\n".join(lines) + "\n")


def _answers(
    present: np.ndarray, taxonomy: Taxonomy, rng: np.random.Generator, skill: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    logits = np.where(present, skill, -skill - 1.5) + rng.normal(0, 1.9, present.shape)
    raw = 1 / (1 + np.exp(-logits))
    probs = raw.copy()
    for group, children in taxonomy.bottom_up:
        probs[:, group] = np.maximum(probs[:, group], probs[:, list(children)].max(axis=1))
    return raw, probs, taxonomy.close(probs >= 0.4)


def _write_evaluation(
    run: Path,
    ids: list[str],
    present: np.ndarray,
    held_out: np.ndarray,
    taxonomy: Taxonomy,
    rng: np.random.Generator,
    flat: bool,
) -> None:
    raw, probs, decided = _answers(present, taxonomy, rng, 1.7)
    arrays = {
        "ids": np.array(ids),
        "nodes": np.array(taxonomy.nodes),
        "targets": present,
        "known": np.ones_like(present),
        "raw": raw,
        "probs": probs,
        "present": decided,
        "thresholds": np.full(len(taxonomy.nodes), 0.4),
        "member_names": np.array(MEMBERS),
    }
    if flat:
        flat_raw, flat_probs, flat_decided = _answers(present, taxonomy, rng, 1.6)
        arrays |= {"flat_raw": flat_raw, "flat_probs": flat_probs, "flat_present": flat_decided}
        arrays |= {"flat_thresholds": np.full(len(taxonomy.nodes), 0.4)}
    trivial = TrivialBaseline.fit(Targets(held_out, np.ones_like(held_out)), taxonomy)
    arrays |= {"trivial_probs": trivial.probs, "trivial_present": trivial.present}
    write_with(run / "ensemble" / "evaluation.npz", lambda handle: np.savez(handle, **arrays))


def _facts(pack_digest: str, split_digest: str, flat: bool) -> dict[str, object]:
    cost = {"nodes": 28, "images_seen": 40_000, "parameters": 123_456, "seconds": 72.0}
    return {
        "split_digest": split_digest,
        "pack_digest": pack_digest,
        "part": "test",
        "simulated": True,
        "members": dict.fromkeys(MEMBERS, cost),
        "flat_members": dict.fromkeys(FLAT, cost) if flat else {},
    }
