"""A start from the bundled ensemble: its nearest member's backbone, and the head's rows of nodes that both have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file

from hpa_hier.errors import UserError
from hpa_hier.files.shipped import pretrained_folder
from hpa_hier.models.heads.head import Flat, Head
from hpa_hier.runs.manifest import WEIGHTS, check_files, read_manifest
from hpa_hier.settings.training import TrainingSettings

_HEAD = "head.linear."


def start_from_shipped(settings: TrainingSettings, meanings: Mapping[str, str]) -> TrainingSettings:
    """Return the settings under which a member starts from the bundled member that answers for most of its nodes.

    Args:
        settings: of the member, with `init: pretrained`.
        meanings: node → digest of what it means, of the member's nodes.

    Raises:
        UserError: the recipe asks for another start or network too, the ensemble was taken out of this installation, or
            its files have changed.
    """
    home = pretrained_folder()
    if home is None:
        raise UserError(
            "training.init: pretrained: no ensemble comes with this installation; set it to none (--init none), or "
            "make the ensemble: benchmarks/pretrained.py"
        )
    for name in ("weights", "pretrained"):
        if getattr(settings, name):
            raise UserError(f"training.init: pretrained and training.{name} both initialise the backbone; give one")
    known = {path.parent: read_manifest(path.parent) for path in sorted((home / "members").glob("*/member.json"))}
    # A leaf member where none has any: it has seen all 28 classes, so its features serve every member. Of two alike the
    # smaller network, which a few images train further sooner.
    shared = {at: len({*one.meanings.values()} & {*meanings.values()}) for at, one in known.items()}
    folder = max(known, key=lambda at: (shared[at], len(known[at].nodes), -known[at].parameters))
    manifest = known[folder]
    check_files(folder, manifest, (WEIGHTS,))
    default = TrainingSettings()
    for name, theirs in (("backbone", manifest.backbone), ("width", manifest.width)):
        if getattr(settings, name) not in (getattr(default, name), theirs):
            raise UserError(
                f"training.init: pretrained has {name} {theirs}, and training.{name} is {getattr(settings, name)}; "
                "leave that out, or set training.init to none (--init none)"
            )
    weights = str(folder / WEIGHTS)
    return settings.model_copy(update={"backbone": manifest.backbone, "width": manifest.width, "weights": weights})


def start_head(head: Head, meanings: Mapping[str, str], weights: Path) -> int:
    """Let a flat head start from a bundled member's rows of the nodes that mean the same; return how many those are.

    Args:
        head: of the new network, its rows as `meanings`.
        meanings: node → digest of what it means.
        weights: of the bundled member, its manifest beside it.
    """
    manifest = read_manifest(weights.parent)
    theirs = {manifest.meanings[node]: row for row, node in enumerate(manifest.nodes)}
    pairs = [(row, theirs[digest]) for row, digest in enumerate(meanings.values()) if digest in theirs]
    if not (isinstance(head, Flat) and pairs and manifest.head == "flat"):
        return 0
    kept = load_file(weights)
    mine, others = (torch.tensor(rows) for rows in zip(*pairs, strict=True))
    with torch.no_grad():
        for name, parameter in head.linear.named_parameters():
            parameter[mine] = kept[f"{_HEAD}{name}"][others].to(parameter)  # it may be kept in half precision
    return len(pairs)
