"""Changed bytes, changed digits and other JSON in every file that the program reads back."""

from __future__ import annotations

import copy
import hashlib
import json
import random
import re
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from faults.disk.kills import arm
from faults.forked import Host, Outcome, run
from faults.tally import Tally
from faults.world import World, snapshot

from hpa_hier.files.atomic import CHECKSUM

RUN = "artifacts/tiny"
_LEAF = f"{RUN}/members/leaf"
_VARIES = re.compile(r"digest \w+|in [\d.]+ s|time: [^\n]*")
_OWN = 5  # the tries of which one has a process of its own; the others have one together
Change = Callable[[bytes, random.Random], bytes]


@dataclass(frozen=True)
class Reader:
    """A command that reads files back, and where it writes."""

    words: Callable[[World], Sequence[object]]
    output: tuple[str, ...]
    printed: bool = False  # whether what it prints is its result
    notes: str = "\0"  # how it tells of damage that it goes on with
    prepare: Callable[[World], object] = lambda _: None  # what is there before the damage


_Change = TypeVar("_Change")
Artifact = tuple[str, Reader]  # a pattern of paths, and what reads them back


def spread(
    artifacts: Sequence[Artifact], changes: Sequence[_Change], most: int
) -> Iterator[tuple[Callable[[World], object], list[tuple[Artifact, _Change]]]]:
    """Yield at most so many pairs of an artifact and a change, evenly spread, by what prepares their world."""
    pairs = [(artifact, change) for artifact in artifacts for change in changes]
    pairs = pairs[:: max(1, -(-len(pairs) // most))]
    for prepare in dict.fromkeys(reader.prepare for (_, reader), _ in pairs):
        yield prepare, [pair for pair in pairs if pair[0][1].prepare is prepare]


_CHANGED = "its bytes have changed since it was packed"
PREDICT = Reader(lambda w: w.predict_words("--overwrite"), ("answers",))
EVALUATE = Reader(
    lambda w: w.ensemble_words("evaluate"), (f"{RUN}/ensemble/evaluation.npz", f"{RUN}/ensemble/results.json")
)
FIT = Reader(lambda w: w.ensemble_words("fit"), (f"{RUN}/ensemble/ensemble.json", f"{RUN}/ensemble/flat.json"))
REPORT = Reader(lambda w: ["report", "--run", w.run], (f"{RUN}/report",))
TRAIN = Reader(
    lambda w: ["train", "--level", "leaf", "--seed", 5, "--device", "cpu", "--set", "training.epochs=1", *w.config],
    (f"{RUN}/members/leaf-s5",),
)
AUDIT = Reader(lambda w: ["data", "audit", "--pack", w.pack, "--split", w.run / "split.csv"], (), True, _CHANGED)
SPLIT = Reader(lambda w: ["data", "split", "--pack", w.pack, "--out", w.home / "sp.csv"], ("sp.csv",))
BALANCE = Reader(
    lambda w: [
        "data",
        "balance",
        "--pack",
        w.pack,
        "--split",
        w.run / "split.csv",
        "--target",
        30,
        "--out",
        w.home / "b",
    ],
    ("b/factors.csv",),
)


def _do(*words: object) -> None:
    done = run(*words)
    assert done.status == 0, done.text


def _until(world: World, words: Sequence[object], there: Callable[[], bool]) -> None:
    """Kill a command at the first file operation at which what it has left is as wanted."""
    killed = run(*words, before=arm(0, world.home, when=there))
    assert killed.status == -signal.SIGKILL, f"no moment of {words[:2]} leaves what is wanted: {killed.text}"
    assert there()


def _finish_shards(world: World) -> None:
    shards = world.home / "answers" / ".predict.partial"
    _until(world, SHARDS.words(world), lambda: len(list(shards.glob("[0-9]*.npz"))) >= 2)


def _leave_journal(world: World) -> None:
    shutil.rmtree(world.run / "ensemble")
    _until(world, FIT.words(world), (world.run / "ensemble" / ".replacing.json").is_file)


def _pack_half(world: World) -> None:
    shutil.rmtree(world.pack)
    _until(world, PACK.words(world), (world.pack / "images-00000.json").is_file)


def _train_half(world: World) -> None:
    shutil.rmtree(world.run / "members" / "leaf")
    _until(world, RESUME.words(world), (world.run / "members" / "leaf" / "last.ckpt").is_file)


def _begin_run(world: World) -> None:
    plan = world.home / "whole" / "plan.json"
    words = [*RUN_AGAIN.words(world)[:-1]]
    _until(world, words, plan.is_file)


def _fit_vectors(world: World) -> None:
    packed, run_ = world.home / "of-vectors", world.home / "vectors"
    of = ["--labels", world.labels, "--taxonomy", world.taxonomy]
    _do("data", "pack", "--vectors", world.vectors, *of, "--out", packed)
    sets = [
        "training.backbone=sklearn",
        "training.estimator=extra_trees",
        "training.estimator_parameters={n_estimators: 3}",
    ]
    flags = [word for text in (*sets, "split.folds=0") for word in ("--set", text)]
    _do("train", "--level", "leaf", "--data", packed, "--run", run_, *flags)
    _do("ensemble", "fit", "--run", run_, "--set", "ensemble.members=[leaf]", "--set", "ensemble.use_baseline=false")


def _export(world: World) -> None:
    _do("ensemble", "export", "--run", world.run, "--out", world.home / "exported")


PACK = Reader(lambda w: w.pack_words(), ("pack",), prepare=_pack_half)
SHARDS = Reader(lambda w: w.predict_words("--shard-size", 2, "--batch-size", 2), ("answers",), prepare=_finish_shards)
JOURNAL = Reader(FIT.words, FIT.output, prepare=_leave_journal)
RESUME = Reader(lambda w: w.train_words("leaf", "--set", "training.epochs=3"), (_LEAF,), prepare=_train_half)
RUN_AGAIN = Reader(
    lambda w: [
        *("run", "--images", w.images, "--labels", w.labels, "--taxonomy", w.taxonomy, "--out", w.home / "whole"),
        *("--device", "cpu", *w.config, "--dry-run"),
    ],
    (),
    printed=True,
    prepare=_begin_run,
)
VECTORS = Reader(
    lambda w: ["predict", "--run", w.home / "vectors", "--vectors", w.vectors, "--out", w.home / "answers"],
    ("answers",),
    prepare=_fit_vectors,
)
EXPORTED = Reader(
    lambda w: ["predict", w.new, "--run", w.home / "exported", "--out", w.home / "answers"],
    ("answers",),
    prepare=_export,
)

ARTIFACTS: tuple[tuple[str, Reader], ...] = (
    ("pack/images-00000.npy", TRAIN),
    ("pack/images-00000.npy", AUDIT),
    ("pack/samples.csv", SPLIT),
    ("pack/pack.json", SPLIT),
    ("pack/taxonomy.yaml", AUDIT),
    (f"{RUN}/split.csv", FIT),
    (f"{RUN}/split.csv", BALANCE),
    (f"{RUN}/split.json", FIT),
    (f"{RUN}/run.json", TRAIN),
    (f"{RUN}/partition.json", TRAIN),
    (f"{RUN}/config.yaml", EVALUATE),
    (f"{RUN}/taxonomy.yaml", TRAIN),
    (f"{_LEAF}/member.json", PREDICT),
    (f"{_LEAF}/member.json", FIT),
    (f"{_LEAF}/model.safetensors", PREDICT),
    (f"{_LEAF}/taxonomy.yaml", FIT),
    (f"{_LEAF}/scores.npz", FIT),
    (f"{RUN}/ensemble/ensemble.json", PREDICT),
    (f"{RUN}/ensemble/taxonomy.yaml", PREDICT),
    (f"{RUN}/ensemble/novelty.safetensors", PREDICT),
    (f"{RUN}/ensemble/flat.json", EVALUATE),
    ("answers/.predict.partial/manifest.json", SHARDS),
    ("answers/.predict.partial/*.npz", SHARDS),
    (f"{RUN}/ensemble/.replacing.json", JOURNAL),
    ("pack/request.json", PACK),
    ("pack/images-00000.json", PACK),
    ("pack/images-00000.npy", PACK),
    (f"{_LEAF}/last.ckpt", RESUME),
    ("whole/plan.json", RUN_AGAIN),
    ("vectors/members/leaf/*.skops", VECTORS),
    ("vectors/members/leaf/member.json", VECTORS),
    ("vectors/ensemble/ensemble.json", VECTORS),
    ("exported/export.json", EXPORTED),
    ("exported/run.json", EXPORTED),
    ("exported/members/leaf/member.json", EXPORTED),
    ("exported/members/leaf/*.onnx", EXPORTED),
    ("exported/members/leaf/taxonomy.yaml", EXPORTED),
    ("exported/ensemble/ensemble.json", EXPORTED),
    ("exported/ensemble/taxonomy.yaml", EXPORTED),
)
REPORTED: tuple[tuple[str, Reader], ...] = tuple(
    (name, REPORT)
    for name in (
        f"{RUN}/ensemble/evaluation.json",
        f"{RUN}/ensemble/evaluation.npz",
        f"{RUN}/ensemble/results.json",
        f"{_LEAF}/history.csv",
        f"{_LEAF}/member.json",
    )
)
EDITED = ("config.yaml",)  # files that people may edit: what they say is done
OTHER_JSON = (
    b"[]", b"null", b"0", b'""', b"{}", b"true", b"NaN", b"1e999", b"[" * 100_000, b'{"a":' * 100_000, b"", b"\xff\xfe",
    b"9" * 5000, b'{"format": 1}', b'{"format": 4}', b'{"digest": 7}', b'{"a": "\\ud800"}', b"[[[[]]]]",
)  # fmt: skip
OTHER_VALUES: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 2, 3.5, -1e308, 10**12, 10**400, "", "x", "../x", "a\nb", "é" * 3000, [], [[]], [None],
    {}, {"a": 1}, ["x", "x"], [1, 2, 3], "2", float("nan"), float("inf"),
)  # fmt: skip


def change_bytes(content: bytes, rng: random.Random) -> bytes:
    """Flip, overwrite, cut, insert or remove some bytes of a file."""
    changed, kind = bytearray(content), rng.random()
    place = rng.randrange(len(changed))
    if kind < 0.72:
        for _ in range(1 if kind < 0.55 else rng.randint(2, 6)):
            place = rng.randrange(len(changed))
            changed[place] = changed[place] ^ (1 << rng.randrange(8)) if rng.random() < 0.6 else rng.randrange(256)
    elif kind < 0.84:
        del changed[place:]
    elif kind < 0.92:
        changed[place:place] = bytes(rng.randrange(256) for _ in range(rng.randint(1, 9)))
    else:
        del changed[place : place + rng.randint(1, 12)]
    return bytes(changed)


def change_digit(content: bytes, rng: random.Random) -> bytes:
    """Change one digit of a text."""
    places = [i for i, byte in enumerate(content) if 48 <= byte <= 57]
    if not places:
        return content
    changed, place = bytearray(content), rng.choice(places)
    changed[place] = rng.choice([byte for byte in range(49, 58) if byte != changed[place]])
    return bytes(changed)


def other_json(content: bytes, rng: random.Random) -> bytes:
    """Return JSON of another kind, or put another value into a file whose checksum stays."""
    return rng.choice(OTHER_JSON) if rng.random() < 0.4 else rewrite_json(content, rng, mend=False)


def rewrite_json(content: bytes, rng: random.Random, mend: bool = True) -> bytes:
    """Put other values into a JSON file, or take some out; with a checksum that fits, where it has one to mend."""
    facts = json.loads(content)
    kept = facts.pop(CHECKSUM, None)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        _change_value(facts, rng)
    if kept is not None:
        canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        facts[CHECKSUM] = hashlib.sha256(canonical.encode()).hexdigest() if mend else kept
    return json.dumps(facts, indent=1).encode()


def _change_value(facts: Any, rng: random.Random) -> None:
    """Change one value anywhere in an object."""
    place = facts
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return
        key = rng.choice(keys)
        if isinstance(place[key], (dict, list)) and place[key] and rng.random() < 0.75:
            place = place[key]
            continue
        kind = rng.random()
        if kind < 0.15:
            del place[key]
        elif kind < 0.25 and isinstance(place, dict):
            place[f"{key}x"] = place.pop(key)
        elif kind < 0.35 and isinstance(place, list):
            place.append(copy.deepcopy(place[key]))
        elif isinstance(place[key], (int, float)) and kind < 0.6:
            place[key] = rng.choice((-place[key], place[key] + 1, place[key] * 1000, str(place[key])))
        else:
            place[key] = copy.deepcopy(rng.choice(OTHER_VALUES))  # which the next change may change
        return


def try_damage(
    world: World,
    scratch: Path,
    artifacts: Sequence[tuple[str, Reader]],
    change: Change,
    times: int,
    seed: int = 3,
    only_told: bool = False,
) -> Tally:
    """Damage each artifact and run the command that reads it: it is refused in one line, or its result is the same.

    Args:
        world: copied.
        scratch: a folder for the copy.
        artifacts: files, patterns where their names are not known, each with what reads it.
        change: damages a file's content.
        times: tries of each.
        seed: of the damage.
        only_told: whether another result is right too, since the change says so.
    """
    tally, home = Tally(), scratch / "world"
    with Host() as host:
        for prepare in dict.fromkeys(reader.prepare for _, reader in artifacts):
            there = world.copy(home)
            prepare(there)
            kept = Kept(home)
            for pattern, reader in artifacts:
                if reader.prepare is prepare:
                    kept.restore()
                    name = str(next(iter(sorted(home.glob(pattern)))).relative_to(home))
                    rng = random.Random(f"{seed}{name}")
                    for right, what in _try_one(host, there, kept, name, reader, change, times, rng, only_told):
                        tally.add(right, what)
    return tally


def _try_one(
    host: Host,
    there: World,
    kept: Kept,
    name: str,
    reader: Reader,
    change: Change,
    times: int,
    rng: random.Random,
    only_told: bool,
) -> Iterator[tuple[bool, str]]:
    home = there.home
    first = run(*reader.words(there))
    assert first.status == 0, f"{name}: {first.text}"
    wanted = find_result(home, reader, first)
    content = kept.content(name)
    kept.restore()
    assert find_result(home, reader, host.run(*reader.words(there))) == wanted, f"{name}: read otherwise in a host"
    for number in range(times):
        changed = change(content, rng)
        if changed == content:
            continue
        kept.restore()
        (home / name).write_bytes(changed)
        outcome = (host.run if number % _OWN else run)(*reader.words(there))
        by = f"{name} ({_describe_change(content, changed)}): {' '.join(map(str, reader.words(there)[:2]))}"
        if outcome.status in (0, 1) and not outcome.traceback:
            free = only_told or reader.notes in outcome.text or name.endswith(EDITED)
            yield free or find_result(home, reader, outcome) == wanted, f"{by} accepts it, with another result"
        else:
            yield outcome.refused, f"{by} ended with {outcome.status}: {outcome.text[-700:]}"


def _describe_change(content: bytes, changed: bytes) -> str:
    first = next((i for i, (a, b) in enumerate(zip(content, changed, strict=False)) if a != b), len(changed))
    return f"byte {first} of {len(content)}: {changed[max(0, first - 30) : first + 30]!r}"


class Kept:
    """The files of a folder as they were, put back before each try."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._files = {path: path.read_bytes() for path in home.rglob("*") if path.is_file() and not path.is_symlink()}
        self._facts = {path: _facts(path) for path in self._files}

    def content(self, name: str) -> bytes:
        return self._files[self._home / name]

    def restore(self) -> None:
        there = {path for path in self._home.rglob("*") if path.is_file() or path.is_symlink()}
        for path in there - set(self._files):
            path.unlink()
        for path, content in self._files.items():
            if path not in there or _facts(path) != self._facts[path]:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.unlink(missing_ok=True)
                path.write_bytes(content)
                self._facts[path] = _facts(path)


def _facts(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size


def find_result(home: Path, reader: Reader, outcome: Outcome) -> object:
    """Return what a command has written, or printed, where that is its result."""
    files = snapshot(home)
    kept = {name: digest for name, digest in files.items() if name.startswith(reader.output)} if reader.output else {}
    return kept, _VARIES.sub("", outcome.text) if reader.printed else ""


def try_cache(scratch: Path, times: int, seed: int = 7) -> Tally:
    """Damage a file of the engines' cache: what it held is made again."""
    from hpa_hier.files.remote.cache import FOLDER
    from hpa_hier.members.engines.cache import keep

    tally, rng = Tally(), random.Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER, str(scratch))
        made = rng.randbytes(600)
        keep("trial", ["a"], lambda: made)
        (file,) = (path for path in scratch.iterdir() if not path.name.endswith(".lock"))
        content = file.read_bytes()
        for _ in range(times):
            file.write_bytes(change_bytes(content, rng))
            right = keep("trial", ["a"], lambda: made) == made and file.read_bytes() == content
            tally.add(right, "another content came back")
    return tally
