"""Names inside artifacts that lead elsewhere: which files are opened, told by Python's own audit of it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from faults.forked import run
from faults.tally import Tally
from faults.world import World

from hpa_hier.files.atomic import read_json, write_json

Tamper = Callable[[World, Path], Sequence[object]]


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
