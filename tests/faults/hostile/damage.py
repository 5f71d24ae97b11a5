"""Changed bytes, changed digits and other JSON in every file that the program reads back."""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from faults.forked import Outcome, run
from faults.tally import Tally
from faults.world import World, snapshot

RUN = "artifacts/tiny"
_LEAF = f"{RUN}/members/leaf"
_DIGEST = re.compile(r"digest \w+|in [\d.]+ s")


@dataclass(frozen=True)
class Reader:
    """A command that reads files back, and where it writes."""

    words: Callable[[World], Sequence[object]]
    output: tuple[str, ...]
    printed: bool = False  # whether what it prints is its result
    notes: str = "\0"  # how it tells of damage that it goes on with


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
    """Return JSON of another kind."""
    return rng.choice(OTHER_JSON)


def try_damage(
    world: World,
    scratch: Path,
    artifacts: Sequence[tuple[str, Reader]],
    change: Callable[[bytes, random.Random], bytes],
    times: int,
    seed: int = 3,
) -> Tally:
    """Damage each artifact and run the command that reads it: it is refused in one line, or its result is the same."""
    tally = Tally()
    for name, reader in artifacts:
        for right, what in _try_one(world, scratch / "world", name, reader, change, times, seed):
            tally.add(right, what)
    return tally


def _try_one(
    world: World,
    home: Path,
    name: str,
    reader: Reader,
    change: Callable[[bytes, random.Random], bytes],
    times: int,
    seed: int,
) -> Iterator[tuple[bool, str]]:
    there, rng = world.copy(home), random.Random(f"{seed}{name}")
    _discard(home, reader)
    kept = _Kept(home)
    first = run(*reader.words(there))
    assert first.status == 0, f"{name}: {first.text}"
    wanted = _result(home, reader, first)
    content = kept.content(name)
    for _ in range(times):
        changed = change(content, rng)
        if changed == content:
            continue
        kept.restore()
        (home / name).write_bytes(changed)
        outcome = run(*reader.words(there))
        if outcome.status == 0 and (reader.notes in outcome.text or name.endswith(EDITED)):
            yield True, ""
        elif outcome.status == 0:
            yield (
                _result(home, reader, outcome) == wanted,
                f"{name}: accepted by {reader.words(there)[:2]} with another result",
            )
        else:
            yield (
                outcome.refused,
                f"{name}: {reader.words(there)[:2]} ended with {outcome.status}: {outcome.text[-300:]}",
            )


class _Kept:
    """The files of a folder as they were, put back before each try."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._files = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}

    def content(self, name: str) -> bytes:
        return self._files[self._home / name]

    def restore(self) -> None:
        for path in [path for path in self._home.rglob("*") if path.is_file() and path not in self._files]:
            path.unlink()
        for path, content in self._files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def _discard(home: Path, reader: Reader) -> None:
    if reader is TRAIN or reader is PREDICT:
        for one in reader.output:
            shutil.rmtree(home / one, ignore_errors=True)


def _result(home: Path, reader: Reader, outcome: Outcome) -> object:
    files = snapshot(home)
    kept = {name: digest for name, digest in files.items() if name.startswith(reader.output)} if reader.output else {}
    return kept, _DIGEST.sub("", outcome.text) if reader.printed else ""
