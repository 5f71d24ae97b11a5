"""A member of another runtime: PyTorch's logits to five digits, the same bits in any batch, no PyTorch once kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest

from hpa_hier.errors import UserError
from hpa_hier.files.remote.cache import FOLDER
from hpa_hier.files.shipped import pretrained_folder
from hpa_hier.members.engines.member import RuntimeMember
from hpa_hier.members.features import find_member
from hpa_hier.members.score import Member
from hpa_hier.members.tta import Tta, TtaMember
from hpa_hier.runs.manifest import WEIGHTS

RUNTIMES = ("onnxruntime", "openvino")


@pytest.fixture(scope="module")
def folder() -> Path:
    run = pretrained_folder()
    assert run is not None
    return run / "members" / "coarse"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(autouse=True)
def _own_cache(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER, str(kept))


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, 4, 192, 192), dtype=np.uint8)


@pytest.mark.parametrize("engine", RUNTIMES)
def test_logits_are_those_of_torch_and_the_same_bits_in_any_batch(
    folder: Path, images: np.ndarray, engine: str
) -> None:
    member = RuntimeMember.load(folder, engine)
    whole = member.logits(images)
    np.testing.assert_allclose(whole, Member.load(folder, "cpu").logits(images), atol=1e-4)
    for rows in ([3], [5, 0, 1], [4, 3, 2, 1, 0]):
        assert np.array_equal(member.logits(images[rows]), whole[rows])
    beside = RuntimeMember.load(folder, engine)
    assert np.array_equal(replace(beside, threads=3).logits(images), whole)


def test_a_kept_network_needs_no_torch(folder: Path, kept: Path, images: np.ndarray) -> None:
    RuntimeMember.load(folder, "onnxruntime").logits(images[:1])
    assert list(kept.glob("network-*"))
    code = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "from hpa_hier.members.tta import Tta, load_with_tta\n"
        f"member = load_with_tta(Path({str(folder)!r}), 'auto', Tta(), 'onnxruntime')\n"
        "print(member.logits(np.zeros((1, 4, 192, 192), np.uint8)).shape, 'torch' in sys.modules)\n"
    )
    environment = {**os.environ, FOLDER: str(kept), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(1, 3) False"
    assert done.stderr == ""


def test_weights_are_compared_with_their_checksum_when_they_are_converted(
    folder: Path, tmp_path: Path, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = RuntimeMember.load(folder, "onnxruntime").logits(images[:1])  # kept by now
    other = tmp_path / "coarse"
    shutil.copytree(folder, other)
    weights = bytearray((other / WEIGHTS).read_bytes())
    weights[-1] ^= 1
    (other / WEIGHTS).write_bytes(weights)
    assert np.array_equal(RuntimeMember.load(other, "onnxruntime").logits(images[:1]), whole)
    monkeypatch.setenv(FOLDER, str(tmp_path / "nothing"))
    with pytest.raises(UserError, match=r"model\.safetensors: does not match the checksum in member\.json"):
        RuntimeMember.load(other, "onnxruntime").logits(images[:1])
    (other / WEIGHTS).unlink()
    with pytest.raises(UserError, match=r"model\.safetensors: missing; train the member again"):
        RuntimeMember.load(other, "onnxruntime")


def test_a_converter_that_is_not_installed_is_one_line(
    folder: Path, tmp_path: Path, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    monkeypatch.setattr("importlib.metadata.version", _absent)
    monkeypatch.setattr("importlib.metadata.packages_distributions", dict)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match=r"converting a network: needs onnx; `pip install 'hpa-hier\[onnxruntime\]'"):
        RuntimeMember.load(folder, "onnxruntime").logits(images[:1])


def _absent(name: str) -> str:
    raise PackageNotFoundError(name)


def test_other_samples_are_refused_as_by_torch(folder: Path) -> None:
    with pytest.raises(
        UserError, match=r"member 'coarse' scores uint8 images of shape \(B, 4, 192, 192\), got float32"
    ):
        RuntimeMember.load(folder, "onnxruntime").logits(np.zeros((1, 4, 192, 192), np.float32))


def test_what_looks_into_the_network_gets_it_in_torch(folder: Path) -> None:
    member = RuntimeMember.load(folder, "onnxruntime")
    assert isinstance(find_member(TtaMember(member, Tta("flips"))), Member)


@pytest.mark.slow
def test_augmented_copies_of_other_sides_are_scored_too(folder: Path, images: np.ndarray) -> None:
    found, wanted = (
        TtaMember(one, Tta("flips", sizes=(160,))).logits(images[:2])
        for one in (RuntimeMember.load(folder, "openvino"), Member.load(folder, "cpu"))
    )
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    with pytest.raises(UserError, match=r"ensemble\.tta_sizes: member 'coarse' does not take images of 8×8 pixels"):
        TtaMember(RuntimeMember.load(folder, "openvino"), Tta("none", sizes=(8,))).logits(images[:1])
