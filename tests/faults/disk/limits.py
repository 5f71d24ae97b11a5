"""A machine that refuses in earnest: a full disk, limits of a process, a read-only mount, files without rights."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from faults.disk.kills import CASES, Case
from faults.forked import Outcome, run
from faults.tally import Tally
from faults.world import World, list_temporary, snapshot

_COSTLY = ("report", "report --figures", "ensemble export", "predict --backend threading", "evaluate of other samples")
CHOSEN = tuple(  # but for those that take seconds each, and write as others do
    case for case in CASES if case.name not in (*_COSTLY, "doctor") and not case.whole
)
_ROOMS = (4, 16, 40, 90, 160, 260)  # kB that a disk has left
_SIZES = (0, 1000, 4000, 12_000, 40_000)  # bytes that a file may have
_HANDLES = (1, 4, 9, 16)  # files that may be opened beside those that are open
_OVERRIDE, _SEARCH = 1, 2  # bits of CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH


@contextmanager
def mount_disk(folder: Path, options: str) -> Iterator[bool]:
    """Mount a disk in memory; give whether this process may."""
    folder.mkdir(parents=True, exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    done = shutil.which("mount") and subprocess.run(words, capture_output=True, check=False).returncode == 0
    try:
        yield bool(done)
    finally:
        if done:
            subprocess.run(["umount", str(folder)], check=True)


def may_mount(scratch: Path) -> bool:
    """Tell whether this process may mount a disk."""
    with mount_disk(scratch / "probe", "size=64k") as done:
        return done


def try_full_disk(world: World, scratch: Path, rooms: Sequence[int] = _ROOMS) -> Tally:
    """Run each command on a disk with little room, then with more: one line, then what it always does."""
    tally, disk = Tally(), scratch / "disk"
    with mount_disk(disk, "size=64m") as done:
        assert done
        for case in CHOSEN:
            home = disk / "world"
            wanted = _undisturbed(world, case, home)
            for room in rooms:
                there = world.copy(home)
                case.prepare(there)
                used = sum(_pages(path) for path in disk.rglob("*"))
                _resize(disk, used + 4 * (room // 4))
                full = run(*case.words(there))
                _resize(disk, 64 << 10)
                what = f"{case.name} with {room} kB left"
                _judge(tally, what, full, wanted, home, lambda case=case, there=there: run(*case.words(there)))
    return tally


def _pages(path: Path) -> int:
    """Return the kB of a tmpfs that a file or folder takes."""
    return 4 * -(-path.lstat().st_size // 4096) if path.is_file() else 0


def _resize(disk: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}k", str(disk)], check=True, capture_output=True)


def try_limits(world: World, scratch: Path) -> Tally:
    """Run each command under a limit of a file's size, or of open files, then without: one line, then as always."""
    tally, home = Tally(), scratch / "world"
    for case in CHOSEN:
        wanted = _undisturbed(world, case, home)
        limits = [(resource.RLIMIT_FSIZE, size, f"files of {size} bytes") for size in _SIZES]
        limits += [(resource.RLIMIT_NOFILE, more, f"{more} more open files") for more in _HANDLES]
        for kind, value, said in limits:
            there = world.copy(home)
            case.prepare(there)
            limited = run(*case.words(there), before=_limit(kind, value))
            what = f"{case.name} with {said}"
            _judge(tally, what, limited, wanted, home, lambda case=case, there=there: run(*case.words(there)))
    return tally


def _limit(kind: int, value: int) -> Callable[[], None]:
    def before() -> None:
        soft = value
        if kind == resource.RLIMIT_NOFILE:
            probe = os.open(os.devnull, os.O_RDONLY)
            os.close(probe)
            soft = probe + value
        resource.setrlimit(kind, (soft, resource.getrlimit(kind)[1]))

    return before


def try_read_only(world: World, scratch: Path) -> Tally:
    """Run each command in a world on a read-only disk: one line that says so, or what needs no writing."""
    tally, disk = Tally(), scratch / "disk"
    for case in CHOSEN:
        with mount_disk(disk, "size=64m") as done:
            assert done
            there = world.copy(disk / "world")
            case.prepare(there)
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True, capture_output=True)
            refused = run(*case.words(there))
            tally.add(refused.refused, f"{case.name}: status {refused.status}: {refused.text[-300:]}")
    return tally


def try_rights(world: World, scratch: Path) -> Tally:
    """Take the rights to each file and folder that a command reads or writes: one line that names it."""
    tally, home = Tally(), scratch / "world"
    readers = {case.name: case for case in CHOSEN}
    for name, path in (
        *((name, "pack") for name in ("data split", "train", "fit", "evaluate", "data balance")),
        *((name, "pack/pack.json") for name in ("data split", "train", "fit")),
        *((name, "pack/samples.csv") for name in ("data split", "train", "fit", "data balance")),
        ("train", "pack/images-00000.npy"),
        *((name, "artifacts/tiny/members/leaf/model.safetensors") for name in ("predict", "members export")),
        *((name, "artifacts/tiny/members/leaf/member.json") for name in ("predict", "fit", "evaluate")),
        *((name, "artifacts/tiny/members/leaf") for name in ("predict", "fit", "evaluate", "train --restart")),
        *((name, "artifacts/tiny/members/leaf/scores.npz") for name in ("fit", "evaluate")),
        *((name, "artifacts/tiny/ensemble/ensemble.json") for name in ("predict", "evaluate")),
        *((name, "artifacts/tiny/ensemble") for name in ("predict", "evaluate", "fit over another")),
        *((name, "artifacts/tiny/split.csv") for name in ("fit", "evaluate", "train --restart")),
        *((name, "artifacts/tiny/config.yaml") for name in ("fit", "evaluate", "predict")),
        *((name, "artifacts/tiny") for name in ("fit", "evaluate", "predict", "train --restart", "adapt")),
        *((name, "labels.csv") for name in ("data pack", "data pack --vectors", "adapt", "taxonomy new")),
        *((name, "toy.yaml") for name in ("data pack", "data pack --vectors")),
        *((name, "vectors.csv") for name in ("data pack --vectors",)),
        *((name, "recipe.yaml") for name in ("train", "train --restart")),
        *((name, ".") for name in ("data split", "data simulate", "data balance", "predict", "members export")),
    ):
        there = world.copy(home)
        readers[name].prepare(there)
        if not (home / path).exists():
            continue
        rights = 0o555 if path == "." else 0
        before = (home / path).stat().st_mode
        (home / path).chmod(rights)
        refused = run(*readers[name].words(there), before=_drop_override)
        (home / path).chmod(before)
        named = path == "." or str((home / path).name) in refused.text
        tally.add(refused.refused and named, f"{name}, {path}: status {refused.status}: {refused.text[-300:]}")
    return tally


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("process", ctypes.c_int)]


class _Sets(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable")]


def _drop_override() -> None:
    """Give up what lets the superuser read and write all files; does nothing for other users."""
    if os.geteuid():
        return
    system, header, sets = ctypes.CDLL(None, use_errno=True), _Header(0x20080522, 0), (_Sets * 2)()
    assert system.capget(ctypes.byref(header), sets) == 0
    for name in ("effective", "permitted", "inheritable"):
        setattr(sets[0], name, getattr(sets[0], name) & ~(1 << _OVERRIDE | 1 << _SEARCH))
    assert system.capset(ctypes.byref(header), sets) == 0


def _undisturbed(world: World, case: Case, home: Path) -> dict[str, str]:
    there = world.copy(home)
    case.prepare(there)
    done = run(*case.words(there))
    assert done.status in (0, 1), f"{case.name}: {done.text}"
    return snapshot(home)


def _judge(
    tally: Tally, what: str, first: Outcome, wanted: dict[str, str], home: Path, repeat: Callable[[], Outcome]
) -> None:
    """Add one try: the command did what it always does, or was refused in one line and does it when run again."""
    if not (first.status in (0, 1) or first.refused) or first.traceback:
        tally.add(False, f"{what}: status {first.status}: {first.text[-400:]}")
        return
    again = repeat() if first.status else first  # 1: of several members, some are not trained
    end, left = snapshot(home), list_temporary(home)
    other = sorted(name for name in {*end, *wanted} if end.get(name) != wanted.get(name))[:4]
    right = again.status in (0, 1) and not other and not left
    tally.add(right, f"{what}: {first.last[:200]}, then status {again.status}: {again.last[:200]}, {other}, {left[:2]}")
