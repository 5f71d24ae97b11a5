"""Heads: what a trained member's head sees of samples, and the same member with other rows in its head."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from hpa_hier.data.pack.pack import Pack
from hpa_hier.files.atomic import sha256, write_bytes, write_text
from hpa_hier.files.faults.folder import list_files
from hpa_hier.members.estimators.member import EstimatorMember
from hpa_hier.members.score import Member, score
from hpa_hier.members.tta import Tta, TtaMember, augmented_copies
from hpa_hier.metrics.arrays import Floats
from hpa_hier.models.heads.head import Flat, Head
from hpa_hier.models.network import Averaged, Network
from hpa_hier.runs.manifest import CONFIG, HISTORY, SCORES, TAXONOMY, WEIGHTS, write_manifest
from hpa_hier.taxonomy import Taxonomy

_AT_ONCE = 256  # samples in memory


def find_heads(member: Member | EstimatorMember) -> list[Flat] | None:
    """Return the flat heads of a member's network, one of each that is averaged; None: it has none."""
    if isinstance(member, EstimatorMember):
        return None
    network, found = member.network, []
    for one in network.networks if isinstance(network, Averaged) else [network]:
        last: object = one
        while isinstance(last, Network):
            last = last.head
        if not isinstance(last, Flat):
            return None
        found.append(last)
    return found


def read_features(member: Member | EstimatorMember, pack: Pack, columns: np.ndarray | None, tta: Tta) -> Floats | None:
    """Return what the heads of a member see of a pack's samples, (B, F); None: it has no flat head.

    Of networks that are averaged the features stand side by side, each divided by their number, so that one weight for
    each feature changes the mean's logit. Of augmented copies the mean is taken, as it is of their logits.

    Args:
        member: loaded.
        pack: the samples.
        columns: of vectors, in the order of the member; None: as they are.
        tta: test-time augmentation; its merge is the mean.
    """
    heads = find_heads(member)
    if heads is None or isinstance(member, EstimatorMember):
        return None
    network = member.network
    networks: list[Head] = [*network.networks] if isinstance(network, Averaged) else [network]
    width = sum(head.linear.in_features for head in heads)

    def see(samples: torch.Tensor) -> torch.Tensor:
        return torch.cat([one.final_features(samples) for one in networks], dim=1) / len(networks)

    found = []
    for first in range(0, len(pack), _AT_ONCE):
        values = pack.read(np.arange(first, min(first + _AT_ONCE, len(pack))))
        values = values if columns is None else np.ascontiguousarray(values[:, columns])
        copies = [values] if tta.plain else augmented_copies(values, tta)
        found.append(sum(score(see, copy, width, member.device).astype(np.float64) for copy in copies) / tta.count)
    return np.concatenate(found)


def score_samples(member: Member | EstimatorMember, pack: Pack, columns: np.ndarray | None, tta: Tta) -> Floats:
    """Return a member's logits (B, n) of a pack's samples; arguments as for `read_features`."""
    scorer = member if tta.plain or isinstance(member, EstimatorMember) else TtaMember(member, tta)
    found = []
    for first in range(0, len(pack), _AT_ONCE):
        values = pack.read(np.arange(first, min(first + _AT_ONCE, len(pack))))
        found.append(scorer.logits(values if columns is None else np.ascontiguousarray(values[:, columns])))
    return np.concatenate(found).astype(np.float64)


def copy_member(member: Path, folder: Path) -> None:
    """Copy a member as it is, by hard links where the file system has them; its held-out scores stay behind."""
    for path in list_files(member):
        if path.match("scores*.npz"):
            continue
        target = folder / path.relative_to(member)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path.resolve(), target)
        except OSError:
            shutil.copy2(path, target)


def write_member(
    member: Member, source: Path, folder: Path, rows: Mapping[str, str | None], weights: Floats | None, tree: Taxonomy
) -> None:
    """Write a member with other rows in its head.

    Args:
        member: loaded, with flat heads; its network is changed.
        source: its folder.
        folder: of the new one.
        rows: node of `tree` → the member's own node, as in its manifest; None: it is new to the member.
        weights: (n, F) that are added to the rows, features as of `read_features`; None: nothing.
        tree: that the new member answers for.
    """
    heads = find_heads(member)
    assert heads is not None
    place = [-1 if own is None else member.nodes.index(own) for own in rows.values()]
    for head, added in zip(heads, _split(weights, heads, len(rows)), strict=True):
        head.linear = _change(head.linear, place, added)
    state = {name: tensor.cpu().contiguous() for name, tensor in member.network.state_dict().items()}
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / WEIGHTS, save(state))
    write_text(folder / TAXONOMY, tree.text)
    for name in (CONFIG, HISTORY):
        if (source / name).is_file():
            shutil.copy2(source / name, folder / name)
    kept = {
        name: sha256(folder / name) for name in member.manifest.files if name != SCORES and (folder / name).is_file()
    }
    changes = {
        "nodes": tuple(rows),
        "meanings": {node: tree.meaning(node) for node in rows},
        "parents": {},
        "taxonomy": tree.name,
        "files": kept,
        "parameters": sum(tensor.numel() for tensor in member.network.parameters()),
    }
    write_manifest(folder, member.manifest.model_copy(update=changes))


def _split(weights: Floats | None, heads: list[Flat], n: int) -> list[Floats]:
    widths = [head.linear.in_features for head in heads]
    whole = np.zeros((n, sum(widths))) if weights is None else weights
    return np.split(whole, np.cumsum(widths)[:-1], axis=1)


@torch.no_grad()
def _change(linear: torch.nn.Linear, place: list[int], added: Floats) -> torch.nn.Linear:
    """Return a layer with rows of another one, -1 for rows of zeros, and weights added to them."""
    changed = torch.nn.Linear(linear.in_features, len(place))
    old, new = np.array(place), torch.tensor([one < 0 for one in place])
    changed.weight.copy_(linear.weight.cpu()[old])
    changed.bias.copy_(linear.bias.cpu()[old])
    changed.weight[new], changed.bias[new] = 0.0, 0.0
    changed.weight.add_(torch.from_numpy(added.astype(np.float32)))
    return changed
