"""Every head with every loss that goes with it, and a pack small enough to train each in a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
from tiny_run import CHANNELS, SIZE, TAXONOMY

from hpa_hier.data.pack.simulated_pack import write_simulated_pack
from hpa_hier.settings.training import WEIGHTED_LOSSES, TrainingSettings
from hpa_hier.taxonomy import Taxonomy

ARCFACE: dict[str, Any] = {"head": "arcface", "arcface": {"embedding": 8, "neighbours": 5}}


def every_head_and_loss() -> dict[str, dict[str, Any]]:
    """Return training settings by a name: each head with each loss, but for pairs that are refused."""
    kinds: dict[str, dict[str, Any]] = {"arcface": ARCFACE}
    heads, losses = (get_args(TrainingSettings.model_fields[name].annotation) for name in ("head", "loss"))
    for head in heads:
        for loss in losses:
            refused = head == "arcface" or (head == "chain" and loss in ("max_constraint", "logit_adjusted"))
            if not refused:
                own = {"class_weights": {"Dots": 2.0}} if loss in WEIGHTED_LOSSES else {}
                kinds[f"{head}-{loss}"] = {"head": head, "loss": loss, **own}
    return kinds


def write_antibodies(folder: Path, count: int = 96) -> None:
    """Write a pack of noisy images, four of each antibody, brighter by leaf."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "toy.yaml").write_text(TAXONOMY)
    taxonomy, generator = Taxonomy.load(folder / "toy.yaml"), np.random.default_rng(0)
    leaf = np.arange(count) // 4 % 4
    images = generator.integers(0, 60, (count, 4, SIZE, SIZE)) + 40 * leaf[:, None, None, None]
    ids, nodes = [f"d{i:03d}" for i in range(count)], [(taxonomy.leaves[one],) for one in leaf]
    groups = [f"a{i // 4}" for i in range(count)]
    made = iter(images.astype(np.uint8)), ids, nodes, groups, CHANNELS, taxonomy, "noise"
    write_simulated_pack(folder / "pack", *made)
