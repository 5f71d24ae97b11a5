"""A few faults of each kind, within seconds; `make test-faults` tries them by the hundred."""

from __future__ import annotations

import errno
import os
import random
import subprocess
from pathlib import Path

import pytest
from faults.disk.failing import fail_python
from faults.disk.kills import try_kills
from faults.forked import run
from faults.hostile.damage import ARTIFACTS, EVALUATE, FIT, PREDICT, SPLIT, change_bytes, change_digit, try_damage
from faults.hostile.tables import try_crafted
from faults.processes.moments import interrupt, undisturbed
from faults.world import World

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="commands are forked")


@pytest.mark.parametrize("name", ["data split", "fit over another", "doctor"])
def test_a_command_that_is_killed_does_the_same_when_it_is_run_again(world: World, tmp_path: Path, name: str) -> None:
    tally = try_kills(world, tmp_path, [name], most=2)
    assert tally.tries >= 2
    assert tally.failures == []


def test_a_changed_byte_is_refused_in_one_line_or_changes_nothing(world: World, tmp_path: Path) -> None:
    names = ("ensemble/ensemble.json", "leaf/member.json", "pack/samples.csv")
    chosen = [(name, reader) for name, reader in ARTIFACTS if name.endswith(names) and reader in (PREDICT, SPLIT)]
    tally = try_damage(world, tmp_path, chosen, change_bytes, times=1, seed=11)
    assert tally.tries == 3
    assert tally.failures == []


def test_a_changed_digit_is_refused_in_one_line_or_changes_nothing(world: World, tmp_path: Path) -> None:
    chosen = [("artifacts/tiny/ensemble/flat.json", EVALUATE), ("artifacts/tiny/split.csv", FIT)]
    tally = try_damage(world, tmp_path, chosen, change_digit, times=1)
    assert tally.tries == 2
    assert tally.failures == []


@pytest.mark.parametrize("error", [errno.EIO, errno.EFBIG])
def test_a_disk_that_fails_is_one_line_that_names_the_file(world: World, tmp_path: Path, error: int) -> None:
    words = ["data", "split", "--pack", world.pack, "--out", tmp_path / "split.csv"]
    done = run(*words, before=fail_python("fsync", error))
    assert done.refused, done.text
    assert done.text.startswith(f"error: {tmp_path / 'split.csv'}: {os.strerror(error)}; ")
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")] == []


def test_a_signal_ends_a_command_and_the_same_again_gives_the_same_result(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("faults.processes.moments.SECONDS", 60.0)
    calm, rng = undisturbed(world, "data pack"), random.Random(3)
    assert [wrong for _ in range(2) if (wrong := interrupt(calm, rng, fork=True))] == []


def test_a_changed_pixel_stops_a_training(world: World, tmp_path: Path) -> None:
    there = world.copy(tmp_path / "world")
    shard = there.pack / "images-00000.npy"
    content = bytearray(shard.read_bytes())
    content[128 + 5 * 4096] ^= 1
    shard.write_bytes(content)
    done = run("train", "--level", "leaf", "--seed", 9, "--device", "cpu", *there.config)
    assert done.refused
    assert "sample 's0005' is not what was packed" in done.text


def test_a_link_at_a_log_is_removed_and_what_it_leads_to_stays(world: World, tmp_path: Path) -> None:
    from hpa_hier.training.side_by_side import Job, _work

    precious, log = tmp_path / "precious", tmp_path / "train.log"
    precious.write_text("precious")
    log.symlink_to(precious)
    child = os.fork()
    if not child:
        try:
            _work(Job("leaf", str(tmp_path / "no.yaml"), (), False, 1, log), "cpu", None)  # type: ignore[arg-type]
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert precious.read_text() == "precious"
    assert not log.is_symlink()


def test_one_strange_name_is_one_line_of_rejected_csv(world: World, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for one in world.new.iterdir():
        os.link(one, images / one.name)
    (images / "loop_green.png").symlink_to("loop_green.png")
    for name in (b"x\xff_green.png", b"s0009\x1b[2J_green.png", b'=HYPERLINK("http:evil","x")_green.png'):
        with open(os.fsencode(images) + b"/" + name, "wb") as file:  # noqa: PTH123 - no text names it
            file.write(b"x")
    there = world.copy(tmp_path / "world")
    there.images, there.pack = images, tmp_path / "pack"
    done = run(*there.pack_words(), "--on-problem", "skip")
    assert done.status == 0, done.text
    assert "\x1b" not in done.text
    table = (there.pack / "rejected.csv").read_text()
    assert "\x1b" not in table
    assert [line for line in table.splitlines() if line.startswith(("=", "+", "-", "@"))] == []
    assert sum("loop" in line or "cannot be shown" in line for line in table.splitlines()) >= 3
    answered = run(
        "ensemble", "predict", "--run", world.run, "--images", images, "--out", tmp_path / "o", "--device", "cpu"
    )
    assert answered.status in (0, 1), answered.text
    assert not answered.traceback
    assert "\x1b" not in answered.text


@pytest.mark.parametrize("file", ["../../outside.npy", "/dev/zero", "pipe"])
def test_a_pack_that_names_a_file_elsewhere_is_refused(world: World, tmp_path: Path, file: str) -> None:
    from hpa_hier.files.atomic import read_json, write_json

    there = world.copy(tmp_path / "world")
    os.mkfifo(there.pack / "pipe")
    facts = read_json(there.pack / "pack.json")
    facts["shards"][0]["file"] = file
    write_json(there.pack / "pack.json", facts)
    done = run("data", "audit", "--pack", there.pack, timeout=10)
    assert done.refused
    assert "no shard of the pack, or a link that leaves it" in done.text


def test_an_ensemble_that_names_a_member_elsewhere_is_refused(world: World, tmp_path: Path) -> None:
    from hpa_hier.files.atomic import read_json, write_json

    there = world.copy(tmp_path / "world")
    file = there.run / "ensemble" / "ensemble.json"
    facts = read_json(file)
    for part in ("members", "calibrations"):
        facts[part]["../../leaf"] = facts[part].pop("leaf")
    write_json(file, facts)
    done = run(*there.predict_words())
    assert done.refused, done.text


def test_the_shim_compiles_where_there_is_a_compiler(tmp_path: Path) -> None:
    from faults.disk.failing import build_shim

    library = build_shim(tmp_path)
    if library is None:
        pytest.skip("no compiler")
    call = "ctypes.CDLL(sys.argv[1]).fail_from(sys.argv[2].encode(), 1, 1, 5, None)"
    code = f"import ctypes, os, sys; {call}; os.write(os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT), b'x')"
    command = ["python3", "-c", code, str(library), str(tmp_path / "file")]
    done = subprocess.run(command, env={**os.environ, "LD_PRELOAD": str(library)}, capture_output=True, text=True)
    assert "OSError: [Errno 5]" in done.stderr


def test_tables_that_lead_elsewhere_or_claim_what_is_not_there_are_refused(tmp_path: Path) -> None:
    tally = try_crafted(tmp_path, costly=False)
    assert tally.tries > 50
    assert tally.failures == []
