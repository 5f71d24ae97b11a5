"""R8, R12, R13, R16 and R19 at full size: odd values, other ways, random trees, many predictions, large inputs."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults import figures
from faults.work.coherence import try_coherence, try_fitted
from faults.work.memory import try_memory
from faults.work.same import try_same
from faults.work.sizes import try_sizes
from faults.work.values import try_exploding, try_images, try_tables
from faults.world import World

pytestmark = [pytest.mark.faults, pytest.mark.timeout(7200)]


def test_values(world: World, tmp_path: Path) -> None:
    promise = "R8 images, vectors and scores of odd values: refused in one line, or packed, audited and trained on"
    figures.keep("R08-images", promise, try_images(world, tmp_path), "test_values", "images")
    figures.keep("R08-tables", promise, try_tables(world, tmp_path), "test_values", "vectors and scores")


def test_exploding(world: World, tmp_path: Path) -> None:
    promise = "R8 a training that explodes: flagged by a line, or all its scores are numbers"
    figures.keep("R08-exploding", promise, try_exploding(world, tmp_path), "test_exploding")


def test_same(world: World, tmp_path: Path) -> None:
    promise = "R12 other numbers of workers, threads, images a batch or shard, other company: the same bits"
    figures.keep("R12-same", promise, try_same(world, tmp_path), "test_same")


def test_coherence() -> None:
    promise = "R13 random trees and graphs, each rule: no node likelier, or called, without those above it"
    figures.keep("R13-rules", promise, try_coherence(figures.scale(10_000)), "test_coherence")


def test_fitted(tmp_path: Path) -> None:
    promise = "R13 ensembles fitted by random rules: the same, and the same answers once written and read"
    figures.keep("R13-fitted", promise, try_fitted(tmp_path, figures.scale(200)), "test_fitted")


def test_memory(world: World) -> None:
    promise = "R16 predictions, and loads of an ensemble, in one process: its memory stays within 24 MB"
    figures.keep("R16-memory", promise, try_memory(world, figures.scale(10_000)), "test_memory")


def test_sizes(world: World, tmp_path: Path) -> None:
    tally, lines = try_sizes(world, tmp_path, figures.SIZE)
    promise = (
        "R19 up to 50,000 nodes, 400,000 rows, 40,000 columns or files, 5,000 frames of one field: time grows with at "
        "most the power 1.35 of the size, or a line names the limit"
    )
    print(*lines, sep="\n")
    figures.keep("R19-sizes", promise, tally, "test_sizes")
