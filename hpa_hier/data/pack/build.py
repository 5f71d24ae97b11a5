"""Build: a folder of images and a label table become a pack; a killed run is resumed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from hpa_hier.data.images.exposure import RULES, Look, count_bits
from hpa_hier.data.images.read import agree
from hpa_hier.data.images.scan import Reject, find_marks
from hpa_hier.data.images.stacks import describe_stacks
from hpa_hier.data.labels.class_folders import means_folders
from hpa_hier.data.labels.problems import Doubts
from hpa_hier.data.pack.fill import STATE, fill_shards
from hpa_hier.data.pack.inspect import AUTO, Found, look_into, stop_at_copies
from hpa_hier.data.pack.matching import PackRequest, Plan, make_plan, request_digest
from hpa_hier.data.pack.pack import Pack
from hpa_hier.data.pack.pack_file import CLAIM, PACK, REJECTED, PackFacts, claim_folder, finish_pack
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_json, sha256
from hpa_hier.files.lock import lock_folder
from hpa_hier.files.tables import read_table, write_table

if TYPE_CHECKING:
    from hpa_hier.places.place import Place

_REJECT_COLUMNS = [field.name for field in fields(Reject)]


@dataclass(frozen=True)
class PackReport:
    """What became of a request."""

    pack: Pack
    rejects: tuple[Reject, ...]  # as `rejected.csv` lists them
    reused_shards: int  # finished by an earlier run
    reused: bool  # the whole pack was finished already
    notes: tuple[str, ...] = ()  # what of the label table was taken for what
    sample_notes: tuple[str, ...] = ()  # what of images' names or vectors was taken for what, what became of stacks
    doubts: tuple[str, ...] = ()  # what looks wrong with how many images; a finished pack's are in its audit


def build_pack(
    request: PackRequest, threads: int = 2, found: Found | None = None, place: Place | None = None
) -> PackReport:
    """Pack a folder of images once; the same request resumes after an interruption.

    Args:
        request: what is to be packed.
        threads: images decoded at the same time.
        found: what `inspect` found for this request; None: it looks now.
        place: fills a shard in each of its workers, with so many threads each; None: all here.

    Raises:
        UserError: labels and images do not match, or an image has channels that are one picture, and the request says
            to stop; nothing can be packed; or the folder belongs to another request or is being written by another
            process.
    """
    plan = found.plan if found else make_plan(request)
    if not (request.out / PACK).exists():
        found = found or look_into(request, plan, threads)
        stop_at_copies(request.images, found.copies, request.on_problem)
        if not found.looks and found.looked_at == len(plan.samples):
            _refuse_all(request, (*found.unreadable, *found.copies))
    with lock_folder(request.out, "packing into"):
        if (request.out / PACK).exists():
            rules = RULES if request.intensity == AUTO else (request.intensity,)
            report = open_finished(request.out, {request_digest(request, plan, rule) for rule in rules})
            _clear(request.out)
            kept = report.pack.facts.image_notes
            return replace(report, notes=plan.notes, sample_notes=kept)
        try:
            return _pack(found or look_into(request, plan, threads), threads, place)
        except OSError as error:  # reading images reports its own
            problem = f"cannot be written to ({error.strerror or error})"
            raise UserError(f"{request.out}: {problem}; the same command resumes once it can") from None


def _pack(found: Found, threads: int, place: Place | None) -> PackReport:
    request, plan = found.request, found.plan
    digest = request_digest(request, plan, request.intensity)
    _begin(request, digest)
    parts = fill_shards(request, plan, threads, place)
    filled = [part.filled for part in parts]
    stop_at_copies(request.images, [copy for one in filled for copy in one.copies], request.on_problem)
    samples = [sample for one in filled for sample in one.samples]
    looks = [look for one in filled for look in one.looks]
    rejects = (*plan.rejects, *(reject for one in filled for reject in (*one.rejects, *one.copies)))
    if not samples:
        _refuse_all(request, rejects[len(plan.rejects) :])
    write_rejects(request.out, rejects)
    shards = [part.shard for part in parts if part.shard.rows]
    stacks = describe_stacks((depth for one in filled for depth in one.stacks), request.stacks)
    image_notes = (*plan.image_notes, *stacks)
    facts = _facts(request, plan, digest, found.reason, looks, image_notes)
    pixel = agree(side for one in filled for side in one.micrometres)
    facts = facts.model_copy(update={"micrometres": pixel})
    finish_pack(request.out, facts, samples, shards, request.taxonomy)
    _clear(request.out)
    reused = sum(part.reused for part in parts)
    doubts = Doubts()
    doubts.add([sample.id for sample in samples], [look.doubts(request.intensity) for look in looks])
    done = PackReport(Pack.open(request.out), rejects, reused, reused=False)
    return replace(done, notes=plan.notes, sample_notes=image_notes, doubts=doubts.lines())


def _refuse_all(request: PackRequest, rejects: Sequence[Reject]) -> NoReturn:
    """Raise the UserError of a request of which no sample can be packed."""
    first = f"{rejects[0].file or rejects[0].id}: {rejects[0].reason}"
    raise UserError(f"{request.images}: none of {len(rejects)} samples could be packed; first: {first}")


def _facts(
    request: PackRequest, plan: Plan, digest: str, reason: str, looks: Sequence[Look], image_notes: tuple[str, ...]
) -> PackFacts:
    marks = find_marks([sample.source for sample in plan.samples])
    digest_of_table = "" if means_folders(request.labels) else sha256(request.labels)
    files = {"images": str(request.images), "labels": str(request.labels)}
    low, high = np.quantile([look.range_used for look in looks], (0.01, 0.99)).round(4).tolist()
    return PackFacts(
        channels=request.channels,
        size=request.size,
        intensity=request.intensity,
        simulated=bool(marks),
        note=str(read_json(marks[0]).get("note", "")) if marks else "",
        sources={**files, "labels_sha256": digest_of_table, "request": digest},
        reason=reason,
        bits=count_bits(looks),
        range_used=(low, high),
        projection=request.stacks.projection,
        frame=request.stacks.frame,
        image_notes=image_notes,
    )


def open_finished(out: Path, digests: Collection[str]) -> PackReport:
    """Open the pack that an earlier run of the same request finished; the request's digest is one of several.

    Raises:
        UserError: it was made by another request.
    """
    pack = Pack.open(out)
    if pack.facts.sources.get("request") not in digests:
        cure = "name another folder, or remove this one"
        raise UserError(f"{out}: holds a pack of other samples, labels or settings; {cure}")
    (out / CLAIM).unlink(missing_ok=True)  # of a process that was killed when all else was done
    table = read_table(out / REJECTED, _REJECT_COLUMNS)[_REJECT_COLUMNS]
    rejects = tuple(Reject(*row) for row in table.itertuples(index=False))
    return PackReport(pack, rejects, len(pack.shards), reused=True)


def write_rejects(out: Path, rejects: Sequence[Reject]) -> None:
    """Write `rejected.csv`."""
    import pandas as pd

    write_table(out / REJECTED, pd.DataFrame(rejects, columns=_REJECT_COLUMNS))


def _begin(request: PackRequest, digest: str) -> None:
    """Claim the folder for this request, and sweep what a killed run left half-written."""
    begun = request.out / CLAIM
    if begun.exists() and read_json(begun).get("digest") != digest:
        cure = "name another folder, or remove this one"
        raise UserError(f"{request.out}: holds a half-finished pack of other images, labels or settings; {cure}")
    claim_folder(request.out, {"digest": digest, "images": str(request.images), "labels": str(request.labels)})
    for stray in request.out.glob(".*.tmp*"):
        stray.unlink(missing_ok=True)


def _clear(out: Path) -> None:
    """Remove what only an unfinished pack needs."""
    for state in out.glob(STATE):
        state.unlink()
    (out / CLAIM).unlink(missing_ok=True)
