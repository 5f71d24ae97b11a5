"""Pickles in every file that is read: each would leave a mark if it ran."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from faults.forked import run
from faults.hostile.damage import ARTIFACTS, REPORTED, Reader, spread
from faults.tally import Tally
from faults.world import World

from hpa_hier.files.atomic import read_json, write_json

_ARRAYS = ("ids", "part", "nodes", "logits", "targets", "known", "raw", "probs", "present", "text", "sha256")


class _Evil:
    """What leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (str(self._mark),)


def list_payloads(mark: Path) -> Iterator[tuple[str, bytes]]:
    """Yield files of every kind that holds pickles, each with its name."""
    evil = pickle.dumps(_Evil(mark), protocol=2)
    objects = np.array([_Evil(mark)], dtype=object)
    file = io.BytesIO()
    np.save(file, objects, allow_pickle=True)
    yield "npy of objects", file.getvalue()
    yield "npy of objects, then bytes", file.getvalue() + bytes(100_000)
    file = io.BytesIO()
    np.savez(file, **dict.fromkeys(_ARRAYS, objects))
    yield "npz of objects", file.getvalue()
    yield "pickle", evil
    yield "pickle of protocol 4", pickle.dumps(_Evil(mark), protocol=4)
    yield "torch", _zip({"archive/data.pkl": evil, "archive/version": b"3\n", "archive/byteorder": b"little"})
    magic = (0x1950A86A20F9469CFC6C, 1001, {})
    yield "torch before 1.6", b"".join(pickle.dumps(part, 2) for part in magic) + evil
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name in ("storages", "tensors", "pickle"):
            facts = tarfile.TarInfo(name)
            facts.size = len(evil)
            tar.addfile(facts, io.BytesIO(evil))
    yield "torch of a tar", file.getvalue()
    file = io.BytesIO()
    import joblib

    joblib.dump(_Evil(mark), file)
    yield "joblib", file.getvalue()
    for name, schema in _list_skops(mark):
        yield f"skops, {name}", _zip({"schema.json": json.dumps(schema).encode(), "1.npy": _as_npy(objects)})
    yield "yaml", f"!!python/object/apply:os.mkdir ['{mark}']\n".encode()


def _as_npy(objects: np.ndarray) -> bytes:
    """Return an array of objects as a file."""
    file = io.BytesIO()
    np.save(file, objects, allow_pickle=True)
    return file.getvalue()


def _list_skops(mark: Path) -> Iterator[tuple[str, dict[str, object]]]:
    whole = {"protocol": 2, "_skops_version": "0.13.0"}
    name = {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": json.dumps(str(mark))}
    arguments = {"__class__": "tuple", "__module__": "builtins", "__loader__": "TupleNode", "content": [name]}
    plain = {"__class__": "mkdir", "__module__": "posix", "__loader__": "FunctionNode", "content": None}
    yield "a function", {**plain, **whole}
    reduced = {
        "__class__": "mkdir",
        "__module__": "posix",
        "__loader__": "ReduceNode",
        "reduce": arguments,
        "content": None,
    }
    yield "a reduced object", {**reduced, "__reduce__": {"args": arguments}, **whole}
    partial = {"__class__": "partial", "__module__": "functools", "__loader__": "PartialNode"}
    content = {"func": plain, "args": arguments, "kwds": {}, "namespace": {}}
    yield "a partial", {**partial, "content": content, **whole}
    array = {
        "__class__": "ndarray",
        "__module__": "numpy",
        "__loader__": "NdArrayNode",
        "type": "numpy",
        "file": "1.npy",
    }
    yield "an array of objects", {**array, **whole}
    yield "a method", {"__class__": "_Evil", "__module__": __name__, "__loader__": "ObjectNode", "content": {}, **whole}


def _zip(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def _of_user(name: str, words: Callable[[World], Sequence[object]]) -> tuple[str, Reader]:
    return name, Reader(words, ())


def _pack(world: World) -> list[object]:
    flags = ["--images", world.home / "img", "--labels", world.home / "one.csv", "--taxonomy", world.taxonomy]
    return ["data", "pack", *flags, "--out", world.home / "of-images", "--may-be-missing", "red,blue,yellow"]


def _weights(name: str) -> Callable[[World], Sequence[object]]:
    return lambda w: w.train_words("leaf", "--restart", "--weights", w.home / name)


def _vectors(name: str) -> Callable[[World], Sequence[object]]:
    flags = ["--ids", "ids.txt"] if name.endswith(".npy") else []
    return lambda w: [
        *("data", "pack", "--vectors", w.home / name, "--labels", w.labels, "--taxonomy", w.taxonomy),
        *(word if word == "--ids" else w.home / word for word in flags),
        *("--out", w.home / "vp"),
    ]


GIVEN = (  # files that users name
    *(_of_user(name, _weights(name)) for name in ("w.safetensors", "w.pt", "w.ckpt")),
    *(_of_user(name, _vectors(name)) for name in ("v.npy", "v.npz", "v.parquet", "v.h5ad", "v.csv")),
    *(_of_user(f"img/x_green{suffix}", _pack) for suffix in (".png", ".tif", ".jpg")),
    _of_user("one.csv", _pack),
    _of_user("t.yaml", lambda w: ["taxonomy", "check", w.home / "t.yaml"]),
    _of_user("r.yaml", lambda w: ["train", "--level", "leaf", "--config", w.home / "r.yaml"]),
    _of_user("s.csv", lambda w: [*("ensemble", "predict", "--run", w.run), "--scores", f"leaf={w.home / 's.csv'}"]),
)


def try_pickles(world: World, scratch: Path, most: int = 1000) -> Tally:
    """Put every payload in the place of every file that is read, checksums too: none runs, and none is a traceback."""
    tally, home, mark = Tally(), scratch / "world", scratch / "mark"
    artifacts = [*ARTIFACTS, *REPORTED, *GIVEN]
    for prepare, chosen in spread(artifacts, list(list_payloads(mark)), most):
        there = world.copy(home)
        prepare(there)
        base = there.copy(scratch / "base")
        for (pattern, reader), (kind, content) in chosen:
            for mended in (False, True):
                now = base.copy(home)
                path = next(iter(sorted(home.glob(pattern))), home / pattern)
                path.parent.mkdir(parents=True, exist_ok=True)
                (home / "ids.txt").write_text("s0000\n")
                (home / "one.csv").write_text("Id,Target\nx,0\n") if pattern != "one.csv" else None
                path.write_bytes(content)
                if mended and not _mend(now, path):
                    continue
                done = run(*reader.words(now))
                ran = mark.exists()
                if ran:
                    mark.rmdir()
                what = f"{kind} as {pattern}{' with its checksum' if mended else ''}"
                tally.add(not ran and not done.traceback, f"{what}: ran {ran}, {done.status}: {done.text[-600:]}")
    return tally


def _mend(world: World, path: Path) -> bool:
    """Write a changed file's checksum where one is kept; tell whether there is one."""
    digest, folder = hashlib.sha256(path.read_bytes()).hexdigest(), path.parent
    for name in ("member.json", "export.json", "evaluation.json", "ensemble.json"):
        for home in (folder, folder.parent, folder.parent.parent):
            file = home / name
            if not file.is_file() or file == path:
                continue
            facts = read_json(file)
            key = path.relative_to(home).as_posix()
            if key in facts.get("files", {}):
                before = hashlib.sha256(file.read_bytes()).hexdigest()
                facts["files"][key] = digest
                write_json(file, facts)
                _replace_digest(world, before, hashlib.sha256(file.read_bytes()).hexdigest())
                return True
    return False


def _replace_digest(world: World, before: str, after: str) -> None:
    """Write the digest of a member's file where ensembles keep it."""
    for file in world.home.rglob("ensemble/*.json"):
        text = file.read_text()
        if before in text:
            facts = json.loads(text.replace(before, after))
            facts.pop("checksum", None)
            write_json(file, facts)
