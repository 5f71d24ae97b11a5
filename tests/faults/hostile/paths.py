"""Names inside artifacts that lead elsewhere, and what is no file in an artifact's place.

Which files are opened is told by Python's own audit of it.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from faults.forked import HUNG, run
from faults.hostile.damage import ARTIFACTS, REPORTED, Kept, Reader, find_result, spread
from faults.tally import Tally
from faults.world import World

from hpa_hier.files.atomic import read_json, write_json

Tamper = Callable[[World, Path], Sequence[object]]
_KINDS: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
    "a device without end": lambda path: path.symlink_to("/dev/zero"),
    "a link in a circle": lambda path: path.symlink_to(path.name),
    "a link to nothing": lambda path: path.symlink_to("nothing"),
}


def try_paths(world: World, scratch: Path) -> Tally:
    """Have each artifact name a file of another folder: it is refused, and nothing there is opened."""
    tally = Tally()
    for name, tamper in _list_cases():
        outside, opened = scratch / "outside", scratch / "opened.txt"
        shutil.rmtree(outside, ignore_errors=True)
        shutil.copytree(world.pack, outside / "pack")
        shutil.copytree(world.run / "members" / "leaf", outside / "leaf")
        there = world.copy(scratch / "world")
        os.mkfifo(there.pack / "pipe")
        opened.write_text("")
        done = run(*tamper(there, outside), before=_watch(outside, opened), timeout=20)
        found = opened.read_text().splitlines()
        tally.add(done.refused and not found, f"{name}: status {done.status}, opened {found[:2]}: {done.text[-300:]}")
    return tally


def _watch(outside: Path, opened: Path) -> Callable[[], None]:
    """Return what notes every file below `outside` that this process opens or lists."""

    def note(event: str, given: tuple[object, ...]) -> None:
        if event in ("open", "os.listdir", "os.scandir") and given and isinstance(given[0], (str, bytes, os.PathLike)):
            path = os.path.realpath(os.fsdecode(given[0]))
            if path.startswith(str(outside)) or path.startswith("/dev/zero"):
                os.write(handle, f"{event} {path}\n".encode())

    handle = -1

    def before() -> None:
        nonlocal handle
        handle = os.open(opened, os.O_WRONLY | os.O_APPEND)
        sys.addaudithook(note)

    return before


def _list_cases() -> Iterator[tuple[str, Tamper]]:
    for target in (
        "../../outside/pack/images-00000.npy",
        "{outside}/pack/images-00000.npy",
        "/dev/zero",
        "pipe",
        "link",
    ):
        for command in ("audit", "train", "split"):
            yield f"pack.json names {target}: {command}", _name_shard(target, command)
    for name in ("../../../../outside/leaf", "{outside}/leaf", "..", "a/../../leaf"):
        yield f"ensemble.json names the member {name}: predict", _name_member(name)
        yield f"--set names the member {name}: fit", _ask_for_member(name)
    for name in ("../a.csv", "{outside}/a.csv"):
        yield f"a journal names {name}: fit", _write_journal(name)


def _name_shard(target: str, command: str) -> Tamper:
    def tamper(world: World, outside: Path) -> Sequence[object]:
        name = target.format(outside=outside)
        if target == "link":
            (world.pack / "images-00000.npy").unlink()
            (world.pack / "images-00000.npy").symlink_to(outside / "pack" / "images-00000.npy")
        else:
            facts = read_json(world.pack / "pack.json")
            facts["shards"][0]["file"] = name
            write_json(world.pack / "pack.json", facts)
        if command == "audit":
            return ["data", "audit", "--pack", world.pack]
        if command == "split":
            near = ["--near-duplicates", 4]
            return ["data", "split", "--pack", world.pack, *near, "--out", world.home / "split.csv"]
        return ["train", "--level", "leaf", "--seed", 6, "--device", "cpu", *world.config]

    return tamper


def _name_member(name: str) -> Tamper:
    def tamper(world: World, outside: Path) -> Sequence[object]:
        file = world.run / "ensemble" / "ensemble.json"
        facts = read_json(file)
        for part in ("members", "calibrations"):
            facts[part][name.format(outside=outside)] = facts[part].pop("leaf")
        write_json(file, facts)
        return world.predict_words()

    return tamper


def _ask_for_member(name: str) -> Tamper:
    def tamper(world: World, outside: Path) -> Sequence[object]:
        members = f"ensemble.members=['{name.format(outside=outside)}', coarse]"
        return world.ensemble_words("fit", "--set", members)

    return tamper


def _write_journal(name: str) -> Tamper:
    def tamper(world: World, outside: Path) -> Sequence[object]:
        from hpa_hier.files.faults.together import _checksum, journal_path

        ready = {name.format(outside=outside): ".a.1-00000000.tmp.csv"}
        content = {"ready": ready, "removed": [], "fresh": False, "checksum": _checksum(ready, [])}
        journal_path(world.run / "ensemble").write_text(json.dumps(content))
        return world.ensemble_words("fit")

    return tamper


def try_kinds(world: World, scratch: Path, most: int = 1000) -> Tally:
    """Put what is no file in the place of each artifact: it is refused in one line, or as good as none."""
    tally, home = Tally(), scratch / "world"
    artifacts = [*ARTIFACTS, *REPORTED]
    for prepare, chosen in spread(artifacts, list(_KINDS), most):
        there = world.copy(home)
        prepare(there)
        kept = Kept(home)
        for (pattern, reader), kind in chosen:
            kept.restore()
            first = run(*reader.words(there))
            wanted = find_result(home, reader, first)
            kept.restore()
            path = next(iter(sorted(home.glob(pattern))))
            path.unlink()
            _KINDS[kind](path)
            done = run(*reader.words(there), timeout=120)
            found = find_result(home, reader, done)
            same = done.status == first.status and (found == wanted or found == _without(kept, path, there, reader))
            what = f"{kind} as {path.relative_to(home)}: {' '.join(map(str, reader.words(there)[:2]))}"
            _remove(path)
            ended = "waits" if done.status == HUNG else f"ended with {done.status}: {done.text[-500:]}"
            tally.add(done.refused or (same and not done.traceback), f"{what} {ended}")
    return tally


def _without(kept: Kept, path: Path, world: World, reader: Reader) -> object:
    """Remove what is in the place of a file, and return the result of the command where there is none."""
    _remove(path)
    kept.restore()
    path.unlink()
    return find_result(world.home, reader, run(*reader.words(world)))


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
