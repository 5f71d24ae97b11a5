"""What a finished training leaves: weights, scores, and the manifest that makes it a member."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from hpa_hier import __version__
from hpa_hier.data.labels.table import Targets
from hpa_hier.files.atomic import sha256, write_bytes, write_text
from hpa_hier.members.neighbours import write_bank
from hpa_hier.members.nodes import Selector
from hpa_hier.members.score import prepare_for_scoring, score_rows
from hpa_hier.members.scores_file import HeldOutScores, write_scores
from hpa_hier.models.precision import round_to_half
from hpa_hier.runs import manifest as files
from hpa_hier.runs.manifest import Manifest, write_manifest
from hpa_hier.settings.recipe_file import recipe_yaml
from hpa_hier.training.assemble import Assembly
from hpa_hier.training.loop.module import LOG_LOSS
from hpa_hier.training.loop.watched import prevalence_log_loss
from hpa_hier.training.plan import Plan

_SCORED_PARTS = ("calibration", "test")  # what no weight has seen


def save_member(plan: Plan, device: torch.device, assembly: Assembly) -> str:
    """Write the finished member, the manifest last, and remove the checkpoint.

    Returns:
        One line that says what was trained, how good it looked, and where it is.
    """
    folder, history, pack = plan.folder, assembly.history, plan.run.pack
    assembly.module.network.load_state_dict(history.weights)
    assembly.module.network.auxiliary = None  # has done its work
    # before scoring: what is calibrated and evaluated is what is kept
    halved = round_to_half(assembly.network) if plan.settings.save_dtype == "float16" else frozenset()
    weights = {
        name: (tensor.half() if name in halved else tensor).cpu().contiguous()
        for name, tensor in assembly.network.state_dict().items()
    }
    write_bytes(folder / files.WEIGHTS, save(weights))
    written: tuple[str, ...] = (files.WEIGHTS, files.HISTORY)
    if plan.settings.head == "arcface":
        rows = plan.run.part("train", plan.nodes, plan.carry).rows  # those that it remembers
        write_bank(folder / files.BANK, tuple(pack.ids[row] for row in rows), tuple(pack.nodes[row] for row in rows))
        written += (files.BANK,)
    write_member(plan, _score_held_out(plan, device, assembly), _manifest(plan, device, assembly), written)
    plan.checkpoint.unlink(missing_ok=True)
    train, calibration = (plan.run.part(name, plan.nodes, plan.carry) for name in ("train", "calibration"))
    from_shares = prevalence_log_loss(calibration.present, calibration.known, Targets(train.present, train.known))
    reached = history.rows[history.best_epoch - 1][LOG_LOSS]
    return (
        f"{plan.member.name}: {len(plan.nodes)} nodes, {len(history.rows)} epochs in {history.seconds:.0f} s, kept "
        f"epoch {history.best_epoch} (calibration log loss {reached:.4f}; the class shares alone give "
        f"{from_shares:.4f}); written to {folder}"
    )


def write_member(
    plan: Plan,
    scores: HeldOutScores,
    manifest: Manifest,
    written: tuple[str, ...],
) -> None:
    """Write a member's settings and scores, and last the manifest with the checksums of all its files.

    `written` names those that have been written already: weights and what else the member needs.
    """
    folder = plan.folder
    write_text(folder / files.CONFIG, recipe_yaml(plan.run.recipe))
    write_text(folder / files.TAXONOMY, plan.run.taxonomy.text)
    write_scores(folder / files.SCORES, scores)
    names = (*written, files.CONFIG, files.TAXONOMY, files.SCORES)
    write_manifest(folder, manifest.model_copy(update={"files": {name: sha256(folder / name) for name in names}}))


def list_held_out(plan: Plan) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the ids of the samples that training does not see, and the part of each."""
    split = plan.run.split
    samples = [(sample, part) for part in _SCORED_PARTS for sample in split.part_ids(part)]
    ids, parts = zip(*samples, strict=True)
    return ids, parts


def _score_held_out(plan: Plan, device: torch.device, assembly: Assembly) -> HeldOutScores:
    """Score the parts that training did not see."""
    ids, parts = list_held_out(plan)
    network = prepare_for_scoring(assembly.module.network, device)
    logits = np.empty((len(ids), len(plan.nodes)), np.float32)
    score_rows(network, assembly.read, plan.run.pack.find_rows(ids), logits, device)
    return HeldOutScores(ids, parts, plan.nodes, logits)


def _manifest(plan: Plan, device: torch.device, assembly: Assembly) -> Manifest:
    settings, history, network = plan.settings, assembly.history, assembly.network
    steps = min(assembly.length.steps, len(history.rows) * assembly.length.steps_per_epoch)
    return Manifest(
        **describe_plan(plan),
        mean=tuple(network.normalise.mean.flatten().tolist()),
        std=tuple(network.normalise.std.flatten().tolist()),
        parameters=sum(weights.numel() for weights in network.parameters()),
        images_seen=steps * settings.accumulate * assembly.batches.batch_size * settings.devices * settings.nodes,
        steps=steps,
        seconds=round(history.seconds, 3),
        epochs=len(history.rows),
        best_epoch=history.best_epoch,
        stopped="early" if steps < assembly.length.steps else "all steps",
        device=str(device),
        precision=assembly.precision,
        files={},
    )


def describe_plan(plan: Plan) -> dict[str, Any]:
    """Return what a manifest says of a member before it is trained."""
    settings, run, selector = plan.settings, plan.run, Selector.from_settings(plan.member)
    return {
        "format": files.FORMAT,
        "version": __version__,
        "name": plan.member.name,
        "selector": {selector.kind: selector.value},
        "images": plan.member.images,
        "nodes": plan.nodes,
        "meanings": {node: plan.meanings[node] for node in plan.nodes},
        "parents": plan.parents,
        "taxonomy": run.taxonomy.name,
        "seed": plan.member.seed,
        "head": settings.head,
        "backbone": settings.backbone,
        "width": settings.width,
        "kind": run.pack.kind,
        "channels": run.pack.facts.channels,
        "image_size": run.pack.facts.size,
        "intensity": run.pack.facts.intensity,
        "pack_digest": run.pack.digest,
        "split_digest": run.split.digest,
        "settings": settings.model_dump(mode="json"),
        "weights_sha256": plan.weights_sha256,
    }
