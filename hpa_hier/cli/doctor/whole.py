"""Whether a run or a pack is whole: every file is read, and every checksum compared."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from hpa_hier.cli.doctor.finding import Finding
from hpa_hier.data.labels.partition import PARTITION_FILE
from hpa_hier.data.pack.pack import Pack
from hpa_hier.data.pack.pack_file import PACK
from hpa_hier.data.split.split import read_split
from hpa_hier.ensemble import ensemble_file
from hpa_hier.errors import UserError
from hpa_hier.evaluate.results import FILE as RESULTS
from hpa_hier.evaluate.results import read_results
from hpa_hier.files.atomic import read_json, sha256
from hpa_hier.files.faults.leftovers import find_before, is_left
from hpa_hier.files.faults.machine import describe_refusal
from hpa_hier.files.faults.together import is_journal, is_left_journal
from hpa_hier.files.remote.path import is_remote
from hpa_hier.files.shell import command
from hpa_hier.predict.export.scorers import ABOUT, is_exported
from hpa_hier.runs.find import find_run
from hpa_hier.runs.manifest import EXPORTED, MANIFEST, SCORES, check_files, read_manifest
from hpa_hier.runs.run import CONFIG, RUN_FILE, SPLIT_FILE, Run

_TRAIN = "the training command, typed again, writes it again"


class _Part(NamedTuple):
    """A file of a run, what reads it, and what writes it again."""

    what: str
    file: str
    check: Callable[[], str]
    again: str
    needed: bool = False  # whether something that is there goes with it


def check_run(name: str) -> list[Finding]:
    """Return how each part of a run is.

    Raises:
        UserError: there is no such run.
    """
    folder = find_run(name)
    found = [Finding("folder", str(folder.absolute()))]
    try:
        run = Run.open(name)
    except (UserError, OSError) as error:
        return [*found, Finding(CONFIG, _describe(error), wrong=True)]
    for part in _list_parts(run):
        path = folder / part.file
        if path.is_file():
            found.append(_look(part.what, part.check))
        elif path.exists() or path.is_symlink():
            found.append(Finding(part.what, f"{path}: is no file; remove it, and {part.again}", wrong=True))
        elif part.needed:
            found.append(Finding(part.what, f"{path}: missing; {part.again}", wrong=True))
    for member in sorted(folder.glob("members/[!.]*")):
        found += _check_member(member, fits=(folder / SPLIT_FILE).exists())
    if is_exported(run):
        found += _check_exported(folder)
    elif (folder / RUN_FILE).is_file():
        found += _check_pack_of(run)
    return [*found, *_find_leftovers(folder)]


def _list_parts(run: Run) -> list[_Part]:
    """Return the files that a run may have, and whether others that are there go with them."""
    folder = run.folder
    fitted, flat = f"ensemble/{ensemble_file.FILE}", f"ensemble/{ensemble_file.FLAT_FILE}"
    answers, facts, results = "ensemble/evaluation.npz", "ensemble/evaluation.json", f"ensemble/{RESULTS}"

    def has(*files: str) -> bool:
        return any((folder / file).exists() for file in files)

    trained = has(SPLIT_FILE) and bool(run.member_names)
    fit = f"run: {command('ensemble', 'fit', run=folder)}"
    evaluate = f"run: {command('ensemble', 'evaluate', run=folder)}"
    return [
        _Part(RUN_FILE, RUN_FILE, lambda: _check_facts(run), _TRAIN, trained),
        _Part(SPLIT_FILE, SPLIT_FILE, lambda: _check_split(run), _TRAIN, _was_split(run)),
        _Part(PARTITION_FILE, PARTITION_FILE, lambda: "" if run.sides is None else "whole", _TRAIN, trained),
        _Part("ensemble", fitted, lambda: _check_ensemble(run), fit, has(flat, answers, facts, results)),
        _Part("flat baseline", flat, lambda: "whole" if run.baseline else "", fit),
        _Part("evaluation", answers, lambda: _check_evaluation(run, facts), evaluate, has(facts, results)),
        _Part("results", results, lambda: "whole" if read_results(run.ensemble_folder) else "", evaluate),
    ]


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
    facts = run.facts
    if facts is None or is_exported(run):
        return "whole"
    return f"whole, begun with pack {facts.pack_digest} and taxonomy '{facts.taxonomy}'"


def _was_split(run: Run) -> bool:
    """Tell whether run.json says that the run has a split; one that cannot be read says so itself."""
    try:
        return bool(run.facts and run.facts.split_digest)
    except (UserError, OSError):
        return False


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


def _check_evaluation(run: Run, facts: str) -> str:
    count = len(run.evaluation.ids)
    beside = "" if (run.folder / facts).is_file() else f" (of an older version, without {Path(facts).name})"
    return f"whole, {count:,} samples{beside}"


def _check_member(folder: Path, fits: bool) -> list[Finding]:
    """Check all files of a member, and of its folds, that its manifest lists.

    Args:
        folder: of the member.
        fits: whether ensembles are fitted in its run, which needs its scores.
    """
    what = f"member {folder.name}"
    if not (folder / MANIFEST).is_file():
        return [Finding(what, "not finished; the training command goes on with it")]
    count, left_out, wrong = 0, [], []
    for part in (folder, *sorted(folder.glob("fold-*"))):
        if not (part / MANIFEST).is_file():
            continue
        try:
            manifest = read_manifest(part)
        except (UserError, OSError) as error:
            wrong.append(Finding(what, _describe(error), wrong=True))
            continue
        exported = any(part.glob(f"{EXPORTED}.*"))
        for name in manifest.files:
            if not (part / name).exists() and (part != folder or exported or (name == SCORES and not fits)):
                left_out += [name] if part == folder and not exported else []
                continue
            try:
                check_files(part, manifest, (name,))
                count += 1
            except (UserError, OSError) as error:
                wrong.append(Finding(what, _describe(error), wrong=True))
    without = f"; without {', '.join(left_out)}, which only fitting needs" if left_out else ""
    return wrong or [Finding(what, f"whole, {count} file{'s' * (count != 1)}{without}")]


def _check_exported(folder: Path) -> list[Finding]:
    """Compare the files of an exported folder with the checksums that it was exported with."""
    again = "export it again from the run that it is of"
    try:
        files = read_json(folder / ABOUT)["files"]
        changed = [name for name, known in files.items() if not _is_same(folder, name, known)]
    except (UserError, OSError) as error:
        return [Finding(ABOUT, _describe(error), wrong=True)]
    except (KeyError, TypeError, AttributeError):
        return [Finding(ABOUT, f"{folder / ABOUT}: is damaged; {again}", wrong=True)]
    found = [Finding(f"exported {name}", f"is not what was exported; {again}", wrong=True) for name in changed]
    return found or [Finding(ABOUT, f"{len(files)} files, all as they were exported")]


def _is_same(folder: Path, name: str, known: str) -> bool:
    path = (folder / name).resolve()
    return folder.resolve() in path.parents and path.is_file() and sha256(path) == known


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
