"""R3 to R7 and R18 at full size: files that were damaged, or come from somebody else."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults import figures
from faults.hostile import tables
from faults.hostile.damage import (
    ARTIFACTS,
    REPORTED,
    Change,
    change_bytes,
    change_digit,
    other_json,
    rewrite_json,
    try_cache,
    try_damage,
)
from faults.hostile.images import try_crafted, try_images
from faults.hostile.names import try_names
from faults.hostile.opened import find_tracer, try_opened
from faults.hostile.paths import try_kinds, try_paths
from faults.hostile.pickles import try_pickles
from faults.hostile.texts import try_bombs, try_texts
from faults.world import World

pytestmark = [pytest.mark.faults, pytest.mark.timeout(7200)]


@pytest.mark.parametrize(
    ("kind", "change"), [("bytes", change_bytes), ("digit", change_digit), ("json", other_json)], ids=lambda one: one
)
def test_damage(world: World, tmp_path: Path, kind: str, change: Change) -> None:
    ends, times = {"bytes": ("", 55), "digit": ((".json", ".csv", ".yaml"), 85), "json": (".json", 120)}[kind]
    chosen = [one for one in ARTIFACTS if one[0].endswith(ends)]  # type: ignore[arg-type]
    tally = try_damage(world, tmp_path, chosen, change, figures.scale(times))
    tally.join(
        try_damage(
            world,
            tmp_path,
            [one for one in REPORTED if one[0].endswith(ends)],  # type: ignore[arg-type]
            change,
            figures.scale(12),
        )
    )
    words = {"bytes": "bytes changed", "digit": "one digit changed", "json": "other JSON"}[kind]
    promise = f"R3 {words} in what is read back: refused in one line, or the same result"
    figures.keep(f"R03-{kind}", promise, tally, "test_damage")


def test_rewritten(world: World, tmp_path: Path) -> None:
    chosen = [one for one in ARTIFACTS if one[0].endswith(".json")]
    tally = try_damage(world, tmp_path, chosen, rewrite_json, figures.scale(110), seed=5, only_told=True)
    promise = "R3 other values in JSON, with a checksum that fits: refused in one line, or done; no traceback"
    figures.keep("R03-rewritten", promise, tally, "test_rewritten")


def test_cache(tmp_path: Path) -> None:
    promise = "R3 bytes changed in what an engine keeps on this machine: it is made again, the same"
    figures.keep("R03-cache", promise, try_cache(tmp_path, figures.scale(2000)), "test_cache")


def test_paths(world: World, tmp_path: Path) -> None:
    promise = "R7 a name inside an artifact leads elsewhere: refused in one line, and nothing there is opened"
    figures.keep("R07-paths", promise, try_paths(world, tmp_path), "test_paths")


def test_kinds(world: World, tmp_path: Path) -> None:
    promise = (
        "R7 a pipe, folder, device, or link that leads nowhere in the place of each file that is read back: refused in "
        "one line, or the same result; nothing is waited for"
    )
    figures.keep("R07-kinds", promise, try_kinds(world, tmp_path, figures.scale(1000)), "test_kinds")


@pytest.mark.parametrize(("kind", "times"), [("taxonomy", 5000), ("recipe", 4000), ("set", 3000)])
def test_texts(tmp_path: Path, kind: str, times: int) -> None:
    promise = "R5 changed YAML: taken, or refused in 2 lines of at most 1,600 characters; within 2 s of processor time"
    name = {"taxonomy": "taxonomies", "recipe": "recipes", "set": "`--set`"}[kind]
    figures.keep(f"R05-{kind}", promise, try_texts(tmp_path, kind, figures.scale(times)), "test_texts", name)


def test_bombs(tmp_path: Path) -> None:
    promise = "R5 YAML of up to 1 MB that is made to cost much: the same"
    figures.keep("R05-bombs", promise, try_bombs(tmp_path), "test_bombs")


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_images(tmp_path: Path, suffix: str) -> None:
    promise = "R6 changed images: read, or refused in one line; within 0.5 s of processor time and 512 MB"
    what = {"png": "PNG", "jpg": "JPEG", "tif": "TIFF"}[suffix]
    figures.keep(f"R06-{suffix}", promise, try_images(tmp_path, suffix, figures.scale(7000)), "test_images", what)


def test_crafted(tmp_path: Path) -> None:
    promise = "R6 small files that are made to cost much, or lead elsewhere: the same"
    figures.keep("R06-crafted", promise, try_crafted(tmp_path), "test_crafted")


def test_pickles(world: World, tmp_path: Path) -> None:
    promise = "R4 a pickle in place of each file that is read, also with its checksum: none runs, and no traceback"
    figures.keep("R04-pickles", promise, try_pickles(world, tmp_path, figures.scale(1000)), "test_pickles")


def test_opened(world: World, tmp_path: Path) -> None:
    tracer = find_tracer()
    if tracer is None:
        pytest.skip("no strace, or no right to trace")
    promise = "R7 all files that pack, predict, explain and evaluate open are of what they were named, or the system's"
    figures.keep("R07-opened", promise, try_opened(world, tmp_path, tracer), "test_opened")


def test_names(world: World, tmp_path: Path) -> None:
    promise = "R18 markup and formulas as names and groups: inert in each table, page and printed line"
    figures.keep("R18-names", promise, try_names(world, tmp_path), "test_names")


def test_tables(tmp_path: Path) -> None:
    promise = "R6 changed tables of vectors and labels: read, or refused in one line; within 2 s of processor time"
    figures.keep("R06-tables", promise, tables.try_changed(tmp_path, figures.scale(13_000)), "test_tables")


def test_crafted_tables(tmp_path: Path) -> None:
    promise = (
        "R6 tables that are made to cost much, or lead elsewhere: the same, within 512 MB, and nothing there is read"
    )
    figures.keep("R06-crafted-tables", promise, tables.try_crafted(tmp_path), "test_crafted_tables")
