"""Build: a folder of images and a label table become a pack; a killed run is resumed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path

from filelock import FileLock, Timeout

from hpa_hier.data.images.scan import Reject
from hpa_hier.data.pack.fill import STATE, fill_shards
from hpa_hier.data.pack.matching import PackRequest, Plan, make_plan
from hpa_hier.data.pack.pack import Pack
from hpa_hier.data.pack.pack_file import CLAIM, PACK, REJECTED, PackFacts, claim_folder, finish_pack
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_json, sha256
from hpa_hier.files.tables import read_table, write_table

SIMULATED = "simulated.json"  # beside simulated images, so that nobody takes them for real ones
_REJECT_COLUMNS = [field.name for field in fields(Reject)]


@dataclass(frozen=True)
class PackReport:
    """What became of a request."""

    pack: Pack
    rejects: tuple[Reject, ...]  # as `rejected.csv` lists them
    reused_shards: int  # finished by an earlier run
    reused: bool  # the whole pack was finished already
    notes: tuple[str, ...] = ()  # what of the label table was taken for what


def build_pack(request: PackRequest, threads: int = 2) -> PackReport:
    """Pack a folder of images once, `threads` at the same time; the same request resumes after an interruption.

    Raises:
        UserError: labels and images do not match and the request says to stop, nothing can be packed, or the folder
            belongs to another request or is being written by another process.
    """
    plan = make_plan(request)
    with lock_folder(request.out):
        if (request.out / PACK).exists():
            report = open_finished(request.out, plan.digest)
            _clear(request.out)
            return replace(report, notes=plan.notes)
        try:
            return _pack(request, plan, threads)
        except OSError as error:  # reading images reports its own
            problem = f"cannot be written to ({error.strerror or error})"
            raise UserError(f"{request.out}: {problem}; the same command resumes once it can") from None


def _pack(request: PackRequest, plan: Plan, threads: int) -> PackReport:
    _begin(request, plan)
    parts = fill_shards(request, plan, threads)
    samples = [sample for part in parts for sample in part.samples]
    rejects = (*plan.rejects, *(reject for part in parts for reject in part.rejects))
    if not samples:
        first = next(f"{reject.file}: {reject.reason}" for part in parts for reject in part.rejects)
        raise UserError(f"{request.images}: none of {len(plan.samples)} samples could be packed; first: {first}")
    write_rejects(request.out, rejects)
    shards = [part.shard for part in parts if part.shard.rows]
    finish_pack(request.out, _facts(request, plan), samples, shards, request.taxonomy)
    _clear(request.out)
    reused = sum(part.reused for part in parts)
    return PackReport(Pack.open(request.out), rejects, reused, reused=False, notes=plan.notes)


def _facts(request: PackRequest, plan: Plan) -> PackFacts:
    file = request.images / SIMULATED
    simulated = file.is_file()
    note = str(read_json(file).get("note", "")) if simulated else ""
    files = {"images": str(request.images), "labels": str(request.labels)}
    sources = {**files, "labels_sha256": sha256(request.labels), "request": plan.digest}
    C, S, rule = request.channels, request.size, request.intensity
    return PackFacts(channels=C, size=S, intensity=rule, simulated=simulated, note=note, sources=sources)


@contextmanager
def lock_folder(out: Path) -> Iterator[None]:
    """Make a pack's folder where it is absent, and hold its lock, which the system frees when a process dies."""
    lock = FileLock(out / ".lock", timeout=0)
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise UserError(f"{out}: another process is packing into this folder; wait for it, or name another") from None
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written to ({error.strerror})") from None
    try:
        yield
    finally:
        lock.release()


def open_finished(out: Path, digest: str) -> PackReport:
    """Open the pack that an earlier run of the same request finished.

    Raises:
        UserError: it was made by another request.
    """
    pack = Pack.open(out)
    if pack.facts.sources.get("request") != digest:
        cure = "name another folder, or remove this one"
        raise UserError(f"{out}: holds a pack of other samples, labels or settings; {cure}")
    table = read_table(out / REJECTED, _REJECT_COLUMNS)[_REJECT_COLUMNS]
    rejects = tuple(Reject(*row) for row in table.itertuples(index=False))
    return PackReport(pack, rejects, len(pack.shards), reused=True)


def write_rejects(out: Path, rejects: Sequence[Reject]) -> None:
    """Write `rejected.csv`."""
    import pandas as pd

    write_table(out / REJECTED, pd.DataFrame(rejects, columns=_REJECT_COLUMNS))


def _begin(request: PackRequest, plan: Plan) -> None:
    """Claim the folder for this request, and sweep what a killed run left half-written."""
    begun = request.out / CLAIM
    if begun.exists() and read_json(begun).get("digest") != plan.digest:
        cure = "name another folder, or remove this one"
        raise UserError(f"{request.out}: holds a half-finished pack of other images, labels or settings; {cure}")
    claim_folder(request.out, {"digest": plan.digest, "images": str(request.images), "labels": str(request.labels)})
    for stray in request.out.glob(".*.tmp*"):
        stray.unlink(missing_ok=True)


def _clear(out: Path) -> None:
    """Remove what only an unfinished pack needs."""
    for state in out.glob(STATE):
        state.unlink()
    (out / CLAIM).unlink(missing_ok=True)
