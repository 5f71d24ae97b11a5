"""Exported folders: they answer as the run does, without this package, or they are not there."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import ensemble_run
import numpy as np
import pytest
import torch
from desk import make_desk, run_shortened
from ensemble_run import CHANNELS, SmallRun
from safetensors.torch import save_file

from hpa_hier import Predictor, Run
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_json, sha256, write_json
from hpa_hier.members.networks import build_network
from hpa_hier.members.score import Member, prepare_for_scoring
from hpa_hier.members.tta import Tta, TtaMember
from hpa_hier.models.heads.head import Head
from hpa_hier.predict.export import folder as module
from hpa_hier.predict.export import networks
from hpa_hier.predict.export.folder import export_ensemble, export_member
from hpa_hier.predict.export.networks import Turned, check_tta
from hpa_hier.predict.export.reader import Reader
from hpa_hier.predict.export.scorers import choose_exported_engine
from hpa_hier.predict.fit_run import fit_run
from hpa_hier.runs.manifest import read_manifest
from hpa_hier.settings.recipe import EnsembleSettings

SIZE = 32  # pixels, the fewest that the networks take
NETWORKS = ("leaf",)  # one, since converting takes seconds; the slow test has four
WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "hpa_hier", "scipy", "pandas", "sklearn", "cv2"):
            raise ImportError(name + " is not installed")

sys.meta_path.insert(0, Absent())
sys.path.insert(0, sys.argv[1])
import json, numpy as np
from reader import Reader
import example

reader, images = Reader(sys.argv[1]), np.load(sys.argv[2])
files = [example.read_image(one.split(","), reader.about["samples"]) for one in sys.argv[3:]]
answers = [reader.answer(samples) for samples in (images, np.stack(files))]
print(json.dumps([{name: np.asarray(one[name]).tolist() if name == "probs" else one[name] for name in
    ("probs", "labels", "groups")} for one in answers]))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with a small network, untrained but with weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ensemble_run, "SIZE", SIZE)
        run = _write_run(SmallRun(tmp_path_factory.mktemp("export")))
    return run


def _write_run(small: SmallRun) -> Run:
    torch.manual_seed(0)
    for name in NETWORKS:
        folder = small.folder / "members" / name
        save_file(build_network(read_manifest(folder)).state_dict(), folder / "model.safetensors")
        files = {file.name: sha256(file) for file in folder.iterdir() if file.name != "member.json"}
        small.write_member(name, files=files, mean=(90.0,) * 4, std=(60.0,) * 4)
    ensemble = EnsembleSettings(members=NETWORKS, use_baseline=False, bootstrap=0, folds=0)
    opened = Run(small.folder, small.recipe.model_copy(update={"ensemble": ensemble}))
    fit_run(opened)
    return Run(small.folder, opened.recipe)


@pytest.fixture(scope="module")
def exported(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "exported"
    assert export_ensemble(run, out, "onnx") < 1e-5
    return out


def write_files(folder: Path, shapes: dict[str, tuple[int, int]], dtype: type = np.uint8) -> list[list[str]]:
    """Write images of these sizes, and return the files of each."""
    rng, files = np.random.default_rng(0), []
    for name, shape in shapes.items():
        files.append([str(folder / f"{name}_{channel}.png") for channel in CHANNELS])
        for file in files[-1]:
            cv2.imwrite(file, rng.integers(0, np.iinfo(dtype).max, shape).astype(dtype))
    return files


def test_without_torch_or_this_package_arrays_and_files_are_answered_as_predict_does(
    run: Run, exported: Path, tmp_path: Path
) -> None:
    images = np.random.default_rng(1).integers(0, 256, (5, 4, SIZE, SIZE), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    files = write_files(tmp_path, {"square": (64, 64), "wide": (37, 50), "tall": (90, 61)})
    deep = write_files(tmp_path, {"deep": (70, 41)}, np.uint16)
    files += deep
    words = [str(exported), str(tmp_path / "images.npy"), *(",".join(one) for one in files)]
    done = subprocess.run([sys.executable, "-c", WITHOUT, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    of_array, of_files = json.loads(done.stdout)
    predictor = Predictor.load(run)
    for found, own in (
        (of_array, predictor.predict(images)),
        (of_files, predictor.predict([file for one in files for file in one])),
    ):
        order = [own.ids.index(name) for name in ("square", "wide", "tall", "deep")] if "wide" in own.ids else range(5)
        assert np.abs(np.array(found["probs"]) - own.probs[list(order)]).max() < 1e-5
        assert found["labels"] == [list(own.labels[row]) for row in order]
        assert found["groups"] == [list(own.groups[row]) for row in order]


def test_as_a_run_it_answers_the_same_and_imports_no_torch(run: Run, exported: Path, tmp_path: Path) -> None:
    files = write_files(tmp_path, {"one": (64, 64), "two": (37, 50)})
    code = (
        "import sys; from hpa_hier.cli.main import dispatch\n"
        "status = dispatch(sys.argv[1:])\n"
        "heavy = 'torch', 'pandas', 'sklearn', 'lightning', 'joblib', 'tifffile'\n"
        "print([name for name in heavy if name in sys.modules], status)"
    )
    words = ["predict", str(tmp_path), "--run", str(exported)]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["[] 0"], done.stdout + done.stderr
    own, found = (Predictor.load(one).predict([*files[0], *files[1]]) for one in (run, exported))
    assert np.abs(own.probs - found.probs).max() < 1e-5
    assert (own.labels, own.safe, own.notes, own.warning) == (found.labels, found.safe, found.notes, found.warning)


def test_a_file_that_was_changed_is_refused_by_name(exported: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(exported, broken)
    network = broken / "members" / "leaf" / "network.onnx"
    network.write_bytes(network.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match=r"members/leaf/network\.onnx: is not the file that was exported; export it"):
        Reader(broken)
    with pytest.raises(UserError, match=r"members/leaf/network\.onnx: is not the file that was exported; export it"):
        Predictor.load(broken).predict(np.zeros((1, 4, SIZE, SIZE), np.uint8))
    (broken / "export.json").write_text("{}")
    with pytest.raises(UserError, match=r"export\.json: is damaged; export it again"):
        Predictor.load(broken).predict(np.zeros((1, 4, SIZE, SIZE), np.uint8))


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("../outside.onnx", "outside.onnx: is not the file that was exported"),
        ("members/leaf/other.onnx", "other.onnx: is not the file that was exported"),  # which no checksum is of
        ("members/leaf/link.onnx", "link.onnx: is not the file that was exported"),
        ("members/leaf/network.pt", "export.json: is damaged"),
        (None, "export.json: is damaged"),
    ],
)
def test_a_network_that_is_elsewhere_or_was_not_exported_is_refused(
    exported: Path, tmp_path: Path, file: str | None, told: str
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(exported, broken)
    leaf = broken / "members" / "leaf"
    for copy in (tmp_path / "outside.onnx", leaf / "other.onnx"):
        shutil.copy(leaf / "network.onnx", copy)
    (leaf / "link.onnx").symlink_to(tmp_path / "outside.onnx")
    about = read_json(broken / "export.json")
    about["networks"] = {"leaf": file} if file else {}
    if file and file.endswith(("link.onnx", "outside.onnx")):
        about["files"][file] = sha256(tmp_path / "outside.onnx")
    write_json(broken / "export.json", about)
    with pytest.raises(UserError, match=told):
        Predictor.load(broken).predict(np.zeros((1, 4, SIZE, SIZE), np.uint8))
    if file and file.endswith(".onnx"):
        with pytest.raises(ValueError, match=told):
            Reader(broken)


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("export.json", lambda content: b"{}"),
        ("export.json", lambda content: b"[" * 100_000),
        ("export.json", lambda content: content.replace(b'"networks"', b'"netwerks"')),
        ("export.json", lambda content: content.replace(b'"checksum"', b'"checksun"')),
        ("export.json", lambda content: content.replace(b'"intensity": "', b'"intensity": "x')),
        ("export.json", lambda content: content[:-9]),
        ("export.json", lambda content: b"\xff" + content),
        ("export.json", None),
        ("combination.json", lambda content: content.replace(b'"member"', b'"numbers"')),
        ("combination.json", None),
    ],
)
def test_the_example_refuses_a_damaged_folder_in_one_line(
    exported: Path, tmp_path: Path, file: str, damage: Callable[[bytes], bytes] | None
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(exported, broken)
    kept = (broken / file).read_bytes()
    assert damage is None or damage(kept) != kept
    (broken / file).unlink() if damage is None else (broken / file).write_bytes(damage(kept))
    done = run_example(broken)
    assert done.returncode == 2
    assert done.stderr == f"error: {broken / file}: is not the file that was exported; export it again\n"


@pytest.mark.parametrize("part", ["files", "networks"])
@pytest.mark.parametrize("value", [None, 5, [["a"]], {"leaf": {}}])
def test_parts_of_another_kind_are_refused_also_with_a_checksum_that_fits(
    exported: Path, tmp_path: Path, part: str, value: object
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(exported, broken)
    about = read_json(broken / "export.json")
    write_json(broken / "export.json", about | {part: value})
    with pytest.raises(ValueError, match=r"broken.*: is not the file that was exported; export it again"):
        Reader(broken)


def test_the_example_says_which_files_it_needs(exported: Path, tmp_path: Path) -> None:
    (files,) = write_files(tmp_path, {"one": (64, 64)})
    channels = ", ".join(CHANNELS)
    assert run_example(exported, *files).returncode == 0
    done = run_example(exported, *files[:2])
    assert (done.returncode, done.stderr) == (2, f"error: 2 files were given; give 4, for {channels}, - for none\n")
    (tmp_path / "text.png").write_text("no image")
    done = run_example(exported, *files[:3], str(tmp_path / "text.png"))
    assert done.returncode == 2
    assert re.fullmatch(r"error: .*text\.png.*\n", done.stderr)


def run_example(folder: Path, *files: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, folder / "example.py", *files]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_people_may_change_the_example(exported: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    shutil.copytree(exported, own)
    (own / "example.py").write_text("print('mine')")
    assert Reader(own).networks


def test_a_network_that_the_runtime_does_not_take_is_one_line(exported: Path, tmp_path: Path) -> None:
    broken, name = tmp_path / "broken", "members/leaf/network.onnx"
    shutil.copytree(exported, broken)
    (broken / name).write_bytes(b"of a later version")
    about = read_json(broken / "export.json")
    about["files"][name] = sha256(broken / name)
    write_json(broken / "export.json", about)
    with pytest.raises(UserError, match=r"broken: its networks cannot be opened here \(.+\); export it again"):
        Predictor.load(broken).predict(np.zeros((1, 4, SIZE, SIZE), np.uint8))


def test_samples_of_another_kind_are_refused_with_what_is_needed(exported: Path) -> None:
    with pytest.raises(ValueError, match=r"'type': 'float32', 'shape': \[4, 32, 32\]}, and must be {'type': 'uint8'"):
        Reader(exported).answer(np.zeros((1, 4, SIZE, SIZE), np.float32))


def test_what_needs_weights_says_that_they_were_not_exported(exported: Path) -> None:
    from hpa_hier.members.load import load_member

    with pytest.raises(UserError, match=r"was not exported, only what answers; name the run that it was exported from"):
        load_member(exported / "members" / "leaf")
    with pytest.raises(UserError, match=r"--device cuda: .* was exported for processors; leave it out"):
        Predictor.load(exported, device="cuda").predict(np.zeros((1, 4, SIZE, SIZE), np.uint8))


def test_it_computes_by_what_it_was_exported_for(exported: Path) -> None:
    run = Run.open(exported)
    assert [choose_exported_engine(run, one) for one in ("auto", "torch", "onnxruntime")] == ["onnxruntime"] * 3
    with pytest.raises(UserError, match=r"--backend openvino: .* was exported for onnxruntime; leave it out"):
        choose_exported_engine(run, "openvino")


def test_nothing_is_left_where_it_fails_and_nothing_replaced_unasked(
    run: Run, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "write_network", lambda network, shape, tta, form, stem: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export_ensemble(run, tmp_path / "new", "onnx")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(
        UserError, match=r"exported: exists already; name another folder with --out, or replace it with"
    ):
        export_ensemble(run, exported, "onnx")
    with pytest.raises(ZeroDivisionError):
        export_ensemble(run, exported, "onnx", overwrite=True)
    assert sorted(path.name for path in exported.parent.iterdir()) == ["exported"]
    Reader(exported)
    (tmp_path / "mine").mkdir()
    with pytest.raises(UserError, match=r"mine: is there already, and was not exported; name another folder"):
        export_ensemble(run, tmp_path / "mine", "onnx", overwrite=True)


def test_a_folder_that_may_not_be_listed_is_not_exported_in_part(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.scandir

    def scandir(path: Any = ".") -> Any:
        if Path(str(path)).name.startswith(".out."):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(PermissionError):
        export_member(run, "leaf", tmp_path / "out", "safetensors")
    assert not (tmp_path / "out").exists()


def test_networks_that_answer_otherwise_are_not_exported(
    run: Run, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, load = (exported / "members" / "leaf" / "network.onnx").read_bytes(), Member.load
    monkeypatch.setattr(networks, "convert_onnx", lambda *_: network)
    monkeypatch.setattr(
        module.Member, "load", lambda folder, device: replace(member := load(folder, device), network=_other(member))
    )
    with pytest.raises(UserError, match=r"answer otherwise than the run: .* differ by up to .* nothing was written"):
        export_member(run, "leaf", tmp_path / "out", "onnx")
    with pytest.raises(UserError, match=r"answer otherwise than the run: .* differ by up to .* nothing was written"):
        export_ensemble(run, tmp_path / "out", "onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_cannot_be_converted_is_named(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise RuntimeError("no decomposition of aten.odd\nand much more")

    monkeypatch.setattr(networks, "convert_onnx", fail)
    message = r"its network \(small_cnn, head flat\) cannot be converted to onnx: no decomposition of aten\.odd;"
    with pytest.raises(UserError, match=message):
        export_ensemble(run, tmp_path / "out", "onnx")
    assert list(tmp_path.iterdir()) == []


def _other(member: Member) -> Head:
    """Return a network with other weights."""
    return prepare_for_scoring(build_network(member.manifest), member.device)


def test_a_member_alone_answers_logits_in_openvino_and_its_weights_are_copied(
    run: Run, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = (exported / "members" / "leaf" / "network.onnx").read_bytes()
    monkeypatch.setattr(networks, "convert_onnx", lambda *_: network)  # it was converted once
    assert export_member(run, "leaf", tmp_path / "leaf", "openvino") < 1e-5
    images = np.random.default_rng(2).integers(0, 256, (3, 4, SIZE, SIZE), dtype=np.uint8)
    reader, member = Reader(tmp_path / "leaf"), Member.load(run.member_folder("leaf"), "cpu")
    found = reader.answer(images)
    assert np.abs(found["logits"] - member.logits(images)).max() < 1e-4
    assert reader.rules["nodes"] == list(member.nodes)
    assert found["labels"] == []
    export_member(run, "leaf", tmp_path / "weights", "safetensors")
    kept, own = (folder / "model.safetensors" for folder in (tmp_path / "weights", run.member_folder("leaf")))
    assert kept.read_bytes() == own.read_bytes()


@pytest.mark.parametrize("tta", [Tta("flips"), Tta("d4"), Tta("d4", "max")])
def test_turned_copies_become_a_part_of_the_network(run: Run, tta: Tta) -> None:
    member = Member.load(run.member_folder("leaf"), "cpu")
    images = np.random.default_rng(3).integers(0, 256, (3, 4, SIZE, SIZE), dtype=np.uint8)
    with torch.inference_mode():
        turned = Turned(member.network, tta)(torch.from_numpy(images)).numpy()
    assert np.abs(turned - TtaMember(member, tta).logits(images)).max() < 1e-5


@pytest.mark.parametrize(
    ("tta", "message"),
    [
        (Tta("d4_crops"), r"ensemble\.tta: d4_crops resizes images while they are scored"),
        (Tta("none", sizes=(24, 48)), r"ensemble\.tta_sizes: 24, 48 resizes images while they are scored"),
    ],
)
def test_copies_of_other_sizes_are_refused_by_their_setting(tta: Tta, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_tta(tta)


def test_estimators_are_refused_by_the_members_name(run: Run, tmp_path: Path) -> None:
    (record,) = run.select_members(["leaf"])
    other = replace(record, manifest=record.manifest.model_copy(update={"backbone": "sklearn"}))
    with pytest.raises(UserError, match=r"member 'leaf': is made of scikit-learn's estimators"):
        module.check_members([other], "onnx")


def test_an_ensemble_of_score_tables_is_exported_without_networks(run: Run, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run.folder, copy)
    file = copy / "ensemble" / "ensemble.json"
    content = read_json(file)
    content["about"] = {"score_kind": "logits", "samples": 60}
    write_json(file, content)
    assert export_ensemble(Run(copy, run.recipe), tmp_path / "out", "onnx") == 0
    reader, ensemble = Reader(tmp_path / "out"), Run(copy, run.recipe).ensemble
    logits = {name: np.zeros((2, len(nodes))) for name, nodes in reader.rules["members"].items()}
    assert reader.combine(logits)["probs"].shape == (2, len(ensemble.taxonomy.without_virtual.nodes))
    with pytest.raises(ValueError, match="tables of other models' scores"):
        reader.answer(np.zeros((1, 4), np.float32))


def check_same(run: Run, folder: Path, samples: object) -> None:
    """Check that an exported run answers as the run that it is of."""
    own, found = (Predictor.load(one).predict(samples) for one in (run, folder))
    assert np.abs(own.probs - found.probs).max() < 1e-5
    assert (own.labels, own.groups, own.safe, own.warning) == (found.labels, found.groups, found.safe, found.warning)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["onnx", "openvino"])
def test_the_bundled_ensemble_answers_real_images_as_it_does(shared_data: Path, form: Any, tmp_path: Path) -> None:
    files = sorted(map(str, (shared_data / "hpa" / "complete").glob("*.png")))[:24]
    run = Run.open("pretrained")
    assert export_ensemble(run, tmp_path / "bundled", form) < 1e-5
    check_same(run, tmp_path / "bundled", files)


def test_a_prior_is_exported_with_it(run: Run, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = (exported / "members" / "leaf" / "network.onnx").read_bytes()
    monkeypatch.setattr(networks, "convert_onnx", lambda *_: network)
    table = tmp_path / "shares.csv"
    rows = [f"{leaf},{0.1 + 0.15 * j:.2f}" for j, leaf in enumerate(run.ensemble.taxonomy.leaves)]
    table.write_text("\n".join(["class,share", *rows]) + "\n")
    export_ensemble(run, tmp_path / "out", "onnx", prior=str(table))
    images = np.random.default_rng(6).integers(0, 256, (5, 4, SIZE, SIZE), dtype=np.uint8)
    own, plain = (Predictor.load(run, prior=prior).predict(images) for prior in (table, None))
    found, again = Reader(tmp_path / "out").answer(images), Predictor.load(tmp_path / "out").predict(images)
    assert np.abs(found["probs"] - own.probs).max() < 1e-5
    assert found["labels"] == list(map(list, own.labels))
    assert np.abs(again.probs - own.probs).max() < 1e-5
    assert again.notes == own.notes
    assert np.abs(plain.probs - own.probs).max() > 0.01


@pytest.mark.slow
def test_turned_copies_are_merged_as_the_run_merges_them(run: Run, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run.folder, copy)
    file = copy / "ensemble" / "ensemble.json"
    content = read_json(file)
    content["about"]["settings"]["tta"] = "d4"
    write_json(file, content)
    turned = Run(copy, run.recipe)
    for form in ("onnx", "openvino"):
        assert export_ensemble(turned, tmp_path / form, form) < 1e-5
        images = np.random.default_rng(4).integers(0, 256, (6, 4, SIZE, SIZE), dtype=np.uint8)
        check_same(turned, tmp_path / form, images)


@pytest.mark.slow
def test_members_of_vectors_answer_as_they_do(tmp_path: Path) -> None:
    make_desk(tmp_path, count=20)
    words = ["run", "--vectors", "results/embeddings.h5ad", "--labels", "train.csv", "--out", "vectors"]
    assert run_shortened(words, tmp_path) == 0
    run = Run.open(tmp_path / "artifacts" / "vectors")
    assert export_ensemble(run, tmp_path / "out", "onnx") < 1e-5
    check_same(run, tmp_path / "out", tmp_path / "new" / "embeddings.h5ad")
    vectors = np.random.default_rng(5).normal(size=(3, 48)).astype(np.float32)
    assert Reader(tmp_path / "out").answer(vectors)["probs"].shape[0] == 3
