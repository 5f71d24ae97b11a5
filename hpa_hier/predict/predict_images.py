"""Images answered for by a kept ensemble: a folder predicted, one image explained."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpa_hier.ensemble.ensemble import Ensemble
from hpa_hier.errors import UserError
from hpa_hier.members.scores_file import load_scores
from hpa_hier.predict.explain import Known, explain
from hpa_hier.predict.held_out import fitted_settings, scores_path
from hpa_hier.predict.image_reader import Scorer, read_batches, score
from hpa_hier.predict.neighbours import evidence
from hpa_hier.predict.tables import refuse_existing, writing
from hpa_hier.runs.run import Run

if TYPE_CHECKING:
    from tqdm import tqdm

    from hpa_hier.data.images.scan import Scan


@dataclass(frozen=True)
class FolderRequest:
    """A folder of images to read.

    Attributes:
        images: the folder.
        channels: which channel is where, as told by the user; None: found from names.
        may_be_missing: channels that an image may lack, beside those the recipe allows.
    """

    images: Path
    channels: str | None = None
    may_be_missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class PredictRequest:
    """What `predict` reads and writes.

    Attributes:
        folder: the images.
        out: folder of the tables.
        batch_size: images a batch; the answer does not depend on it.
        threads: that decode images.
        stop: whether an image that cannot be read stops the run.
        overwrite: whether tables that are there may be replaced.
    """

    folder: FolderRequest
    out: Path
    batch_size: int = 64
    threads: int = 2
    stop: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Predicted:
    """How a prediction went: images predicted and images left out."""

    done: int
    left_out: int


def predict_folder(run: Run, device: str, request: PredictRequest) -> Predicted:
    """Predict a folder of images and write the three tables."""
    from hpa_hier.data.images.read import read_image

    refuse_existing(request.out, request.overwrite)
    ensemble = run.ensemble
    size, channels, intensity, allowed = _reading(ensemble, request.folder)
    scan = _scan(request.folder)
    rejects = [(one.id, one.file, one.reason) for one in scan.rejects]
    if request.stop and rejects:
        raise _stopped(rejects, len(scan.sources) + len(rejects))
    scorers = load_scorers(run, ensemble, device)
    read = partial(read_image, size=size, channels=channels, intensity=intensity, may_be_missing=allowed)
    done = 0
    with writing(request.out, ensemble.taxonomy) as tables, _progress(len(scan.sources)) as progress:
        for batch in read_batches(scan.sources, read, request.batch_size, request.threads):
            fresh = [(one.id, one.file, one.reason) for one in batch.rejects]
            if request.stop and fresh:
                raise _stopped(fresh, len(scan.sources))
            rejects += fresh
            if batch.ids:
                tables.add(ensemble.predict(score(ensemble, scorers, batch.ids, batch.images)), batch.filled)
            done += len(batch.ids)
            progress.update(len(batch.ids) + len(fresh))
        if not done:
            raise UserError(
                f"{request.folder.images}: none of {len(rejects)} images can be predicted; {_first(rejects)}"
            )
        tables.reject(sorted(rejects))
    return Predicted(done, len(rejects))


def explain_sample(run: Run, sample: str, folder: FolderRequest | None, options: tuple[str, bool]) -> str:
    """Explain one image, of the run or of a folder.

    Args:
        run: with a fitted ensemble.
        sample: the image's id.
        folder: where to read the image; None: from the run's held-out scores, or from its pack.
        options: the device, and whether to show every node.
    """
    device, every_node = options
    ensemble = run.ensemble
    about = f"{run.folder}: {len(ensemble.members)} members, {ensemble.aggregate}, {ensemble.reconcile}"
    if folder is not None:
        image, filled = _read_file(ensemble, sample, folder)
        members = score(ensemble, load_scorers(run, ensemble, device), (sample,), image)
        told = explain(ensemble, members, Known(f"{about}; image of {folder.images}", None, filled), every_node)
        return told + evidence(run, ensemble, image, device)
    records = run.check_unchanged(ensemble)
    run.check_pack(records)
    pack = run.pack
    if sample not in pack.ids:
        raise UserError(
            f"{sample}: no image of {pack.path} has this id, the first is {pack.ids[0]}; "
            "for an image of yours add --images DIR"
        )
    row = int(pack.find_rows([sample])[0])
    image = pack.read(np.array([row]))
    settings = fitted_settings(ensemble)
    held = [load_scores(scores_path(run, record, settings), record.name) for record in records]
    if all(sample in scores.ids for scores in held):
        renamed = {member.name: member.renamed for member in ensemble.members}
        members = [scores.take([sample]).renamed(renamed[scores.name]) for scores in held]
        where = "held-out image"
    else:
        members = score(ensemble, load_scorers(run, ensemble, device), (sample,), image)
        where = "image that the members were trained on, so more certain than a new one"
    known = Known(f"{about}; {where}", pack.nodes[row], pack.samples[row].filled)
    return explain(ensemble, members, known, every_node) + evidence(run, ensemble, image, device)


def load_scorers(run: Run, ensemble: Ensemble, device: str) -> dict[str, Scorer]:
    """Load an ensemble's members, checked to be those that it was fitted with."""
    from hpa_hier.members.tta import Tta, load_with_tta

    run.check_unchanged(ensemble)
    tta = Tta.from_settings(fitted_settings(ensemble))
    return {member.name: load_with_tta(run.member_folder(member.name), device, tta) for member in ensemble.members}


def _scan(folder: FolderRequest) -> Scan:
    from hpa_hier.data.images.scan import scan

    return scan(folder.images, folder.channels)


def _reading(ensemble: Ensemble, folder: FolderRequest) -> tuple[int, tuple[str, ...], str, tuple[str, ...]]:
    images: Any = ensemble.about.get("images") or {}
    if not images:
        raise UserError(f"{folder.images}: the ensemble was fitted on score tables alone; use --scores, not --images")
    if images.get("kind") == "vectors":
        raise UserError(f"{folder.images}: the members take vectors, not images; predict with --vectors FILE")
    unknown = sorted(set(folder.may_be_missing) - set(images["channels"]))
    if unknown:
        raise UserError(
            f"--may-be-missing {unknown[0]}: the members know the channels {', '.join(images['channels'])}; "
            "name some of these"
        )
    allowed = (*images["may_be_missing"], *folder.may_be_missing)
    return int(images["size"]), tuple(images["channels"]), str(images["intensity"]), allowed


def _read_file(ensemble: Ensemble, sample: str, folder: FolderRequest) -> tuple[np.ndarray, tuple[str, ...]]:
    from hpa_hier.data.images.read import read_image

    size, channels, intensity, allowed = _reading(ensemble, folder)
    scan = _scan(folder)
    source = next((source for source in scan.sources if source.id == sample), None)
    if source is None:
        reason = next((f": {one.file}: {one.reason}" for one in scan.rejects if one.id == sample), "")
        there = ", ".join(source.id for source in scan.sources[:3]) or "none"
        raise UserError(f"{folder.images}: no readable image '{sample}'{reason}; the first ids here: {there}")
    image, missing = read_image(source, size, channels, intensity, allowed)
    return image[None], tuple(missing)


def _progress(total: int) -> tqdm[Any]:
    from tqdm import tqdm

    return tqdm(total=total, unit="image", desc="predict", file=sys.stderr, disable=None)


def _stopped(rejects: Sequence[tuple[str, str, str]], total: int) -> UserError:
    return UserError(
        f"{_first(rejects)}; {len(rejects)} such among {total} images so far, nothing was written; "
        "mend them, or predict the rest with --on-problem skip"
    )


def _first(rejects: Iterable[tuple[str, str, str]]) -> str:
    sample, file, reason = min(rejects)
    return f"first: {file} ({sample}): {reason}"
