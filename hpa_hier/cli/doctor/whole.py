"""Whether a run or a pack is whole: every file is read, and every checksum compared."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from hpa_hier.cli.doctor.finding import Finding
from hpa_hier.data.pack.pack import Pack
from hpa_hier.data.pack.pack_file import PACK
from hpa_hier.data.split.split import read_split
from hpa_hier.ensemble import ensemble_file
from hpa_hier.errors import UserError
from hpa_hier.evaluate.results import FILE as RESULTS
from hpa_hier.evaluate.results import read_results
from hpa_hier.files.faults.leftovers import find_before, is_left
from hpa_hier.files.faults.machine import describe_refusal
from hpa_hier.files.faults.together import is_journal, is_left_journal
from hpa_hier.files.remote.path import is_remote
from hpa_hier.runs.find import find_run
from hpa_hier.runs.manifest import MANIFEST, check_files, read_manifest
from hpa_hier.runs.run import CONFIG, RUN_FILE, SPLIT_FILE, Run


def check_run(name: str) -> list[Finding]:
    """Return how each part of a run is.

    Raises:
        UserError: there is no such run.
    """
    folder = find_run(name)
    found = [Finding("folder", str(folder.absolute()))]
    try:
        run = Run.open(name)
    except UserError as error:
        return [*found, Finding(CONFIG, str(error), wrong=True)]
    checks = [
        (RUN_FILE, RUN_FILE, lambda: _check_facts(run)),
        (SPLIT_FILE, SPLIT_FILE, lambda: _check_split(run)),
        ("partition.json", "partition.json", lambda: "" if run.sides is None else "whole"),
        ("ensemble", f"ensemble/{ensemble_file.FILE}", lambda: _check_ensemble(run)),
        ("flat baseline", f"ensemble/{ensemble_file.FLAT_FILE}", lambda: "whole" if run.baseline else ""),
        ("evaluation", "ensemble/evaluation.npz", lambda: f"whole, {len(run.evaluation.ids):,} samples"),
        ("results", f"ensemble/{RESULTS}", lambda: "whole" if read_results(run.ensemble_folder) else ""),
    ]
    found += [_look(what, check) for what, file, check in checks if (folder / file).exists()]
    for member in sorted(folder.glob("members/*")):
        found.append(_look(f"member {member.name}", lambda member=member: _check_member(member)))  # type: ignore[misc]
    if (folder / RUN_FILE).is_file():
        found += _check_pack_of(run)
    return [*found, *_find_leftovers(folder)]


def check_pack(folder: Path) -> list[Finding]:
    """Return how each part of a pack is, down to every shard."""
    found = [Finding("folder", str(folder.absolute()))]
    try:
        pack = Pack.open(folder)
        tree = pack.taxonomy
        damaged = pack.find_damaged()
    except (UserError, OSError) as error:
        return [*found, Finding(PACK, _describe(error), wrong=True)]
    again = "its bytes have changed since it was packed; pack the images again"
    found.append(Finding(PACK, f"whole, {len(pack):,} {pack.kind} of {pack.describe()}, digest {pack.digest}"))
    found.append(Finding("taxonomy", f"'{tree.name}', {len(tree.nodes)} nodes"))
    found += [Finding(file, again, wrong=True) for file in damaged]
    if not damaged:
        found.append(Finding("shards", f"{len(pack.shards):,}, all as they were packed"))
    return [*found, *_find_leftovers(folder)]


def _look(what: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(what, check())
    except (UserError, OSError) as error:
        return Finding(what, _describe(error), wrong=True)


def _describe(error: UserError | OSError) -> str:
    return describe_refusal(error) or str(error)


def _check_facts(run: Run) -> str:
    assert run.facts is not None
    return f"whole, begun with pack {run.facts.pack_digest} and taxonomy '{run.facts.taxonomy}'"


def _check_split(run: Run) -> str:
    split = read_split(run.folder / SPLIT_FILE)
    if run.facts and run.facts.split_digest not in ("", split.digest):
        raise UserError(f"its digest {split.digest} is not the {run.facts.split_digest} that the run was begun with")
    return f"whole, {len(split):,} samples, digest {split.digest}"


def _check_ensemble(run: Run) -> str:
    ensemble = run.ensemble
    if not ensemble.about.get("score_kind"):
        run.check_unchanged(ensemble)
    return f"whole, {len(ensemble.members)} members by {ensemble.aggregate}"


def _check_member(folder: Path) -> str:
    """Check all files of a member, and of its folds, that its manifest lists."""
    if not (folder / MANIFEST).is_file():
        return "not finished; the training command goes on with it"
    count = 0
    for part in (folder, *sorted(folder.glob("fold-*"))):
        if (part / MANIFEST).is_file():
            manifest = read_manifest(part)
            there = [name for name in manifest.files if (part / name).is_file() or part == folder]
            check_files(part, manifest, tuple(there))
            count += len(there)
    return f"whole, {count} files"


def _check_pack_of(run: Run) -> list[Finding]:
    try:
        place = run.pack_place
        place = run.pack.path if is_remote(place) else place
    except UserError as error:
        return [Finding("pack", str(error))]
    if not place.is_dir():
        return [Finding("pack", f"{place}: is not here; it may be on another machine")]
    return [Finding(f"pack: {one.what}", one.text, one.wrong) for one in check_pack(place)]


def _find_leftovers(folder: Path) -> list[Finding]:
    """Return what killed commands left; what belongs to a command that still runs is none of it."""
    sizes: list[int] = []  # bytes, of temporary files
    aside: list[int] = []  # and of what was there before
    half: list[Path] = []  # journals
    for path in folder.rglob(".*"):
        with suppress(FileNotFoundError):  # removed meanwhile
            if is_journal(path.name):
                half += [path] if is_left_journal(path) else []
            elif is_left(path):
                (aside if find_before(path.name) else sizes).append(_measure(path))
    found = []
    if sizes:
        text = f"{_count(sizes, 'file')} of {sum(sizes) / 2**20:.1f} MB of commands that were killed"
        found.append(Finding("left over", f"{text}; the next one there removes them"))
    if aside:
        text = f"{_count(aside, 'folder')} of {sum(aside) / 2**20:.1f} MB, when commands that were killed replaced them"
        found.append(Finding("put aside", f"{text}; the same command puts them back, or removes what it has replaced"))
    for one in half:
        found.append(Finding("half replaced", f"{one.parent}: a command was killed there; the next one finishes it"))
    return found


def _count(several: list[int], what: str) -> str:
    return f"{len(several)} {what}{'s' * (len(several) != 1)}"


def _measure(path: Path) -> int:
    """Return the bytes of a file, or of all files of a folder."""
    files = (one for one in path.rglob("*") if one.is_file()) if path.is_dir() else (path,)
    return sum(one.lstat().st_size for one in files)
