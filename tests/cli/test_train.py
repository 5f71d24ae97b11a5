"""The training command: flags, messages, members side by side."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from safetensors.torch import save_file
from tiny_run import finish, one_thread, start, train, train_here, write_tiny

from hpa_hier.cli.ensemble import main as ensemble_main
from hpa_hier.cli.report import main as report_main
from hpa_hier.cli.train import main
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import sha256
from hpa_hier.models.backbones.create import build_backbone
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.settings.training import TrainingSettings

LONG = {"epochs": 40, "batch_size": 4}  # too long to end before a test has done what it wants


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return write_tiny(tmp_path)


def test_help_comes_without_torch() -> None:
    code = "import sys, hpa_hier.cli.train as t; t.parser().format_help(); print({'torch', 'numpy'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"


def test_a_member_of_each_kind_is_trained_from_its_flag(recipe: Path, tmp_path: Path) -> None:
    for flags, name, nodes in (
        (["--level", "coarse"], "coarse", 2),
        (["--group", "Inside", "--seed", 1], "group-Inside-s1", 2),
        (["--partition", "minority"], "minority", None),
    ):
        status, printed = finish(tmp_path / "log", "--config", recipe, "--device", "cpu", "--no-progress", *flags)
        assert status == 0, printed
        if nodes:
            assert printed.startswith(f"{name}: {nodes} nodes, 3 epochs in ")
        assert printed.rstrip().endswith(f"written to {tmp_path / 'artifacts' / 'tiny' / 'members' / name}")
        assert (tmp_path / "artifacts" / "tiny" / "members" / name / "member.json").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--level", "medium"], "medium"),
        (["--group", "Beside"], "Beside"),
        (["--member", "nobody"], "--member nobody: the recipe has no member of that name; it has coarse, leaf, "),
        (["--level", "leaf", "--device", "tpu"], "--device tpu: no such device; it is auto, cpu, cuda, cuda:N or mps"),
        (["--level", "leaf", "--seed", "-4"], "--seed: must be a whole number from 0 to 4294967295, got '-4'"),
        (["--level", "leaf", "--data", "nowhere"], "nowhere: no finished pack"),
        (["--all", "--seed", "3"], "--seed: a member of the recipe has its own"),
        (["--level", "leaf", "--jobs", "3"], "--jobs: goes with --all"),
        (["--level", "leaf", "--fold", "2"], "--fold 2: leaf has no folds"),
        (["--level", "leaf", "--fold", "2", "--backend", "ray"], "--fold: trains one network here; leave it out"),
        (["--level", "leaf", "--backend", "openvino"], "--backend openvino: no scores are computed here"),
        (
            ["--level", "leaf", "--backend", "threading", "--set", "training.nodes=2"],
            "training.nodes of 'leaf': --all and --backend train a member on one machine; train it without them",
        ),
        (["--level", "leaf", "--set", "data.channels=[]"], "must name at least one channel, and each once"),
        (["--level", "leaf", "--set", "data.channels=[red, red]"], "must name at least one channel, and each once"),
        (["--level", "leaf", "--weights", "no.safetensors"], "--weights no.safetensors: no such file"),
        (
            ["--level", "leaf", "--set", "training.augment.styles=gone"],
            "augment.styles of 'leaf': gone: no such folder",
        ),
        (["--level", "leaf", "--weights", "package:lite"], "training.weights: no packaged weights 'package:lite'"),
        (
            ["--level", "leaf", "--weights", "package:efficientnet_lite0"],
            "package:efficientnet_lite0 goes with backbone tf_efficientnet_lite0, and training.backbone is small_cnn",
        ),
        (["--level", "leaf", "--set", "training.backbone=resnet1800"], "training.backbone: no model 'resnet1800'"),
        (["--level", "leaf", "--set", "training.learning_rate=1e9"], "training diverged: the calibration loss is "),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_a_users_mistake_is_told_in_two_lines_and_ends_with_2(
    recipe: Path, tmp_path: Path, flags: list[str], message: str
) -> None:
    status, printed = finish(tmp_path / "log", "--config", recipe, "--device", "cpu", "--no-progress", *flags)
    assert status == 2, printed
    assert message in printed
    assert "Traceback" not in printed
    assert len(printed.strip().splitlines()) <= 2


def test_weights_are_taken_with_the_right_checksum_and_refused_with_another(recipe: Path, tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    channels = ("red", "green", "blue", "yellow")
    save_file(build_backbone(TrainingSettings(width=8), channels, 32).module.state_dict(), file)
    right = sha256(file)
    wrong = f"{(int(right[:8], 16) + 1) % (1 << 32):08x}"
    flags = ("--config", recipe, "--device", "cpu", "--no-progress", "--level", "leaf", "--weights", file, "--set")
    status, printed = finish(tmp_path / "log", *flags, f"training.weights_sha256='{wrong}'")
    assert status == 2
    assert f"its SHA-256 is {right}, and training.weights_sha256 asks for {wrong}; fetch the file again" in printed
    assert not (tmp_path / "artifacts" / "tiny" / "members" / "leaf" / "member.json").exists()
    status, printed = finish(tmp_path / "log", *flags, f"training.weights_sha256='{right[:8].upper()}'")
    assert status == 0, printed


def test_early_stopping_ends_a_training_that_gets_no_better(recipe: Path, tmp_path: Path) -> None:
    still = ["training.learning_rate=1e-12", "training.patience=2", "training.epochs=9", "training.stop_on=log_loss"]
    sets = [word for change in still for word in ("--set", change)]
    status, printed = finish(tmp_path / "log", "--config", recipe, "--device", "cpu", "--level", "leaf", *sets)
    assert status == 0, printed
    with (tmp_path / "artifacts" / "tiny" / "members" / "leaf" / "history.csv").open() as file:
        assert len(list(csv.DictReader(file))) < 9


def test_max_steps_ends_a_training_inside_an_epoch(recipe: Path, tmp_path: Path) -> None:
    sets = ("--set", "training.max_steps=10")
    status, printed = finish(tmp_path / "log", "--config", recipe, "--device", "cpu", "--level", "leaf", *sets)
    assert status == 0, printed
    assert '"steps": 10,' in (tmp_path / "artifacts" / "tiny" / "members" / "leaf" / "member.json").read_text()


def test_all_trains_every_member_and_a_failing_one_takes_none_with_it(tmp_path: Path) -> None:
    members = [
        {"name": "coarse", "level": "coarse"},
        {"name": "bad", "level": "leaf", "training": {"backbone": "resnet1800"}},
        {"name": "leaf", "level": "leaf"},
    ]
    recipe = write_tiny(tmp_path, members=members)
    status, printed = train_here("--config", recipe, "--all", "--device", "cpu", "--jobs", 2)
    assert status == 2
    assert "bad: error: training.backbone: no model 'resnet1800'" in printed
    assert printed.endswith(f"\n2 of 3 members finished, in {tmp_path / 'artifacts' / 'tiny' / 'members'}\n")
    log = tmp_path / "artifacts" / "tiny" / "members" / "leaf" / "train.log"
    before = log.read_text()
    status, printed = train_here("--config", recipe, "--all", "--device", "cpu", "--jobs", 2)
    assert (status, printed.count("already trained")) == (2, 2), printed
    assert "leaf: training on" not in printed
    assert "bad: error: training.backbone: no model 'resnet1800'" in printed
    assert log.read_text() == before


def test_a_killed_member_takes_none_with_it(tmp_path: Path) -> None:
    others = [{"name": f"leaf-s{seed}", "level": "leaf", "seed": seed, "training": {"epochs": 1}} for seed in (1, 2)]
    recipe = write_tiny(tmp_path, training=LONG, members=[{"name": "leaf", "level": "leaf"}, *others])
    process = start(tmp_path / "log", "--config", recipe, "--all", "--device", "cpu", "--jobs", 2)
    history = tmp_path / "artifacts" / "tiny" / "members" / "leaf" / "history.csv"
    victim = _process_that_writes(history.with_name("train.log"), history)
    os.kill(victim, signal.SIGKILL)
    process.join(120)
    printed = (tmp_path / "log").read_text()
    assert "leaf: failed, killed by SIGKILL" in printed
    assert "2 of 3 members finished" in printed
    assert process.exitcode == 1


def test_ctrl_c_on_all_saves_and_leaves_no_child_behind(tmp_path: Path) -> None:
    recipe = write_tiny(tmp_path, training=LONG)
    process = start(tmp_path / "log", "--config", recipe, "--all", "--device", "cpu", "--jobs", 2)
    members = tmp_path / "artifacts" / "tiny" / "members"
    folders = [members / name for name in ("coarse", "leaf")]
    children = [_process_that_writes(folder / "train.log", folder / "history.csv") for folder in folders]
    assert process.pid is not None
    os.kill(process.pid, signal.SIGINT)
    process.join(60)
    printed = (tmp_path / "log").read_text()
    assert process.exitcode == 130, printed
    assert "stopped, everything is saved. To resume: python -m hpa_hier.train --config" in printed
    assert "leaf: stopped" in printed
    assert not any(_alive(child) for child in children)
    assert {path.parent.name for path in members.glob("*/last.ckpt")} == {"coarse", "leaf"}


def test_tensorboard_files_are_written_where_they_are_asked_for(recipe: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    flags = ("--config", recipe, "--level", "leaf", "--device", "cpu", "--tensorboard")
    assert finish(tmp_path / "log", *flags)[0] == 0
    assert list((tmp_path / "artifacts" / "tiny" / "members" / "leaf" / "tensorboard").glob("events.*"))


@pytest.mark.slow
def test_two_processes_of_one_member_share_its_epochs(recipe: Path, tmp_path: Path) -> None:
    flags = ("--config", recipe, "--level", "leaf", "--device", "cpu", "--set", "training.devices=2")
    done = train(*flags)
    assert done.returncode == 0, done.stderr
    manifest = (tmp_path / "artifacts" / "tiny" / "members" / "leaf" / "member.json").read_text()
    assert '"images_seen": 288,' in manifest  # 3 epochs of 3 steps of 2 × 16
    assert done.stdout.count("written to") == 1


@pytest.mark.slow
def test_without_data_the_command_draws_cells_first_and_says_so(tmp_path: Path) -> None:
    small = ["simulate.count=300", "training.epochs=1", "training.width=8", f"artifacts={tmp_path}"]
    done = subprocess.run(
        [sys.executable, "-m", "hpa_hier.train", "--level", "coarse", *(w for s in small for w in ("--set", s))],
        capture_output=True,
        text=True,
        env=one_thread(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "data.pack names no images: drawing 300 demo fields" in done.stderr


def test_a_misspelt_level_draws_nothing_and_leaves_nothing_behind(tmp_path: Path) -> None:
    artifacts = tmp_path / "artifacts"
    status, printed = finish(tmp_path / "log", "--level", "lefa", "--set", f"artifacts={artifacts}")
    assert status == 2
    assert "lefa" in printed
    assert not artifacts.exists()


def _process_that_writes(log: Path, history: Path) -> int:
    """Wait for a member's first epoch; return the id of the process that has its log open."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not history.exists():
        time.sleep(0.01)
    for entry in Path("/proc").glob("[0-9]*/fd/1"):
        try:
            if entry.readlink() == log:
                return int(entry.parts[2])
        except OSError:  # a process that has ended meanwhile, or is another user's
            continue
    pytest.fail(f"no process writes {log}")


def _alive(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_recipe_for_a_gpu_trains_a_network_for_two_steps_without_one(tmp_path: Path) -> None:
    write_tiny(tmp_path, count=40)
    short = ["training.max_steps=2", "training.batch_size=4", f"artifacts={tmp_path / 'artifacts'}"]
    sets = [word for change in short for word in ("--set", change)]
    flags = ("--config", "gpu", "--data", tmp_path / "pack", "--member", "leaf", "--folds", 0, "--device", "cpu")
    status, printed = finish(tmp_path / "log", *flags, *sets)
    assert status == 0, printed
    assert "leaf: 4 nodes, 1 epochs in " in printed


def test_a_refused_training_leaves_nothing_behind(recipe: Path, tmp_path: Path) -> None:
    before = {path.relative_to(tmp_path) for path in tmp_path.rglob("*")}
    for flags, message in (
        (["--all", "--data", "nowhere"], "nowhere: no finished pack"),
        (["--all", "--taxonomy", "hela"], "have no place in 'hela'"),
        (["--all", "--taxonomy", "hpa82"], "hpa82: no such file; did you mean 'hpa28'?"),
        (["--all", "--weights", "no.safetensors"], "--weights no.safetensors: no such file"),
        (["--all", "--set", "training.weights=no.safetensors"], "--set training.weights=no.safetensors: no such file"),
        (["--all", "--set", "members.leaf.training.backbone=mlp"], "training.backbone: mlp takes vectors"),
        (["--all", "--folds", "3", "--set", "members.leaf.training.folds=4"], "they must be the same"),
        (["--member", "nobody"], "--member nobody: the recipe has no member of that name"),
        (["--level", "leaf", "--no-baseline"], "--no-baseline: goes with --all"),
        (["--all", "--backend", "slurm"], "error: --backend slurm: "),  # no package, no SLURM, or no --jobs
    ):
        status, printed = finish(tmp_path / "log", "--config", recipe, "--device", "cpu", *flags)
        assert (status, message in printed) == (2, True), printed
        (tmp_path / "log").unlink()
        assert {path.relative_to(tmp_path) for path in tmp_path.rglob("*")} == before


def test_weights_that_are_gone_are_named_by_the_file_and_line_that_give_them_unless_a_flag_gives_others(
    tmp_path: Path,
) -> None:
    members = [{"name": "leaf", "level": "leaf", "training": {"weights": "gone.safetensors"}}]
    recipe = write_tiny(tmp_path, members=members)
    line = next(n for n, text in enumerate(recipe.read_text().splitlines(), 1) if "gone.safetensors" in text)
    status, printed = finish(tmp_path / "log", "--config", recipe, "--all")
    assert f"{recipe}:{line}: training.weights of 'leaf': gone.safetensors: no such file" in printed
    assert status == 2
    status, printed = finish(tmp_path / "log", "--config", recipe, "--all", "--weights", "mine.safetensors")
    assert "error: --weights mine.safetensors: no such file" in printed


def test_without_the_baseline_its_networks_are_not_trained_and_the_rest_works(tmp_path: Path) -> None:
    members = [{"name": f"leaf-s{seed}", "level": "leaf", "seed": seed} for seed in range(2)]
    coarse = {"name": "coarse", "level": "coarse", "training": {"start_from": "leaf-s0"}}
    ensemble = {"members": ["coarse", "leaf-s0"], "baseline": ["leaf-s0", "leaf-s1"]}
    training = {"epochs": 1, "width": 2}
    recipe = write_tiny(tmp_path, count=80, members=[*members, coarse], ensemble=ensemble, training=training)
    flags = ("--all", "--config", recipe, "--device", "cpu", "--jobs", 1)
    status, printed = train_here(*flags, "--no-baseline")
    assert status == 0, printed
    run = tmp_path / "artifacts" / "tiny"
    assert {path.parent.name for path in run.glob("members/*/member.json")} == {"leaf-s0", "coarse"}
    assert "left out: leaf-s1; only the flat baseline needs it, which is left out" in printed
    assert ensemble_main(["fit", "--run", str(run)]) == 0
    assert not (run / "ensemble" / "flat.json").exists()
    assert ensemble_main(["evaluate", "--run", str(run)]) == 0
    assert report_main(["--run", str(run)]) == 0
    # the run keeps it: without a recipe named, the same members are trained, and nothing is left to do
    status, printed = train_here("--all", "--run", run, "--device", "cpu", "--jobs", 1)
    assert (status, printed.count("already trained")) == (0, 2), printed
    left = run / "members" / "coarse" / "last.ckpt"  # by a process that was killed before it removed it
    left.touch()
    status, printed = train_here("--all", "--together", "--run", run, "--device", "cpu")
    assert status == 0, printed
    assert not left.exists()
    shown = finish(tmp_path / "log", "--all", "--run", run, "--print-config")[1]
    assert f"use_baseline: false  # {run / 'config.yaml'}:" in shown


def test_merged_settings_are_printed_with_their_origin_and_nothing_is_begun(recipe: Path, tmp_path: Path) -> None:
    change = ("--set", "training.width=4", "--folds", 0, "--print-config")
    status, printed = finish(tmp_path / "log", "--config", recipe, "--member", "leaf", *change)
    assert status == 0, printed
    assert "  width: 4  # --set training.width=4" in printed
    assert f"  batch_size: 16  # {recipe}:" in printed
    assert "  folds: 0  # --folds 0" in printed
    assert not (tmp_path / "artifacts").exists()


def test_a_place_on_this_machine_has_a_worker_for_as_many_cores_as_a_member_takes(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def open_place(name: str, workers: int | None, default: Callable[[], int]) -> NoReturn:
        asked.append((name, workers, default()))
        raise UserError("not opened")

    monkeypatch.setattr("hpa_hier.places.place.open_place", open_place)
    monkeypatch.setattr("hpa_hier.places.processor.count_cores", lambda: 8)
    for sets in (["training.devices=1"], ["training.devices=2"]):
        flags = ("--config", recipe, "--level", "leaf", "--device", "cpu", "--backend", "threading", "--set", *sets)
        assert train_here(*flags)[1].endswith("error: not opened\n")
    assert asked == [("threading", None, 8), ("threading", None, 4)]


@pytest.mark.parametrize("flags", [["--all"], ["--level", "leaf", "--backend", "threading"]])
def test_what_one_process_shares_out_is_not_begun_by_several(
    recipe: Path, tmp_path: Path, flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    status, printed = train_here("--config", recipe, *flags)
    assert (status, printed.startswith("error: 2 processes of this command were started, and with --all or ")) == (
        2,
        True,
    )
    assert not (tmp_path / "artifacts").exists()


def test_verify_compares_the_whole_pack_before_anything_is_trained(recipe: Path, tmp_path: Path) -> None:
    pack = Path(load_recipe(str(recipe)).data.pack or "")
    (shard,) = pack.glob("images-*.npy")
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    flags = ["--member", "leaf", "--config", str(recipe), "--run", str(tmp_path / "verified"), "--verify"]
    with pytest.raises(UserError, match=r"1 of 1 shards are not what was packed, as images-00000.npy; pack the images"):
        main(flags)
    assert not (tmp_path / "verified").exists()
