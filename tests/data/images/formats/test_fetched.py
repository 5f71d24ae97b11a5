"""Images of a bucket are the same samples, pixels and answers as those of a folder; what fails names its address."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import fsspec
import numpy as np
import pytest
import tifffile
from ensemble_run import MeanOfPixels, SmallRun, write_images

from hpa_hier.cli.data import main as data_main
from hpa_hier.cli.ensemble import main
from hpa_hier.data.images.read import read_image
from hpa_hier.data.images.scan import scan
from hpa_hier.errors import UserError
from hpa_hier.predict import predictor as module
from hpa_hier.predict.fit_run import fit_run

CHANNELS = ("red", "green", "blue", "yellow")


@pytest.fixture
def memory() -> Iterator[Any]:
    system = fsspec.filesystem("memory")
    yield system
    system.rm("/", recursive=True)


def upload(memory: Any, folder: Path, to: str) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            memory.pipe_file(f"/{to}/{path.relative_to(folder).as_posix()}", path.read_bytes())


@pytest.fixture
def folder(tmp_path: Path, memory: Any) -> Path:
    """A folder with two plates of channel files, an RGB file, a TIFF of four channels, and what is no image."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "images"
    for plate in ("plate1", "plate2"):
        write_images(folder / plate, 1)
    for name in (".hidden", "masks_green", "old"):
        (folder / name).mkdir()
    cv2.imwrite(str(folder / "rgb.png"), rng.integers(0, 255, (20, 24, 3), np.uint8))
    planes = rng.integers(0, 65535, (4, 20, 20), np.uint16)
    tifffile.imwrite(folder / "four.ome.tif", planes, metadata={"axes": "CYX", "Channel": {"Name": list(CHANNELS)}})
    (folder / ".hidden" / "a_green.png").write_bytes(b"x")
    (folder / "old" / "predictions.csv").write_text("of answers")
    (folder / "old" / "b_green.png").write_bytes(b"x")
    (folder / "c_green.png").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("notes")
    upload(memory, folder, "bucket/images")
    return folder


@pytest.mark.parametrize("address", ["memory://bucket/images", "memory://bucket/images/", "file"])
def test_a_bucket_has_the_samples_and_pixels_of_the_folder(folder: Path, address: str) -> None:
    here, there = scan(folder), scan(f"file://{folder}" if address == "file" else address)
    assert [one.id for one in there.sources] == [one.id for one in here.sources]
    assert [one.folder for one in there.sources] == [one.folder for one in here.sources]
    assert (there.ignored, there.notes) == (here.ignored, here.notes)
    for one, two in zip(here.sources, there.sources, strict=True):
        if one.id == "c":
            with pytest.raises(UserError, match=r"c_green.png: neither a PNG nor a JPEG header"):
                read_image(two, 16, ("green",), "depth")
            continue
        channels = tuple(one.planes)
        read, fetched = (read_image(source, 16, channels, "depth") for source in (one, two))
        assert (read.image == fetched.image).all()


def test_files_patterns_and_tables_of_addresses_are_images_too(folder: Path, memory: Any) -> None:
    assert [one.id for one in scan("memory://bucket/images/plate*/*_green.png").sources] == [
        one.id for one in scan(folder / "plate1").sources
    ] * 0 + [one.id for one in scan([f"memory://bucket/images/plate{i}" for i in (1, 2)]).sources]
    (alone,) = scan("memory://bucket/images/plate1/image-00_green.png").sources
    assert sorted(alone.planes) == sorted(CHANNELS)  # the other channels are found beside it
    rows = [f"memory://bucket/images/plate1/image-00_{channel}.png" for channel in CHANNELS]
    table = folder.parent / "table.csv"
    table.write_text(f"id,{','.join(CHANNELS)}\na,{','.join(rows)}\nb,{','.join(rows[:-1])},https://me:hush@h/y.png\n")
    memory.pipe_file("/bucket/table.csv", b"id,green\nx,images/plate1/image-00_green.png\n")
    found = scan(table)
    assert [one.id for one in found.sources] == ["a"]
    assert "hush" not in str(found.rejects)
    assert "was given with a password" in found.rejects[0].reason
    (listed,) = scan("memory://bucket/table.csv").sources
    assert str(listed.planes["green"].file) == "memory://bucket/images/plate1/image-00_green.png"


def test_what_is_not_there_or_not_read_from_there_is_told(folder: Path, memory: Any) -> None:
    with pytest.raises(UserError, match="memory://nowhere: no such bucket, folder or file; check the address"):
        scan("memory://nowhere")
    with pytest.raises(UserError, match="no file fits this pattern"):
        scan("memory://bucket/*.tiff")
    with pytest.raises(UserError, match="are in different places; give those of each place apart"):
        scan([folder, "memory://bucket/images"])
    memory.pipe_file("/lif/a.lif", b"x")
    memory.pipe_file("/lif/s.zarr/.zattrs", b"{}")
    reasons = {one.file: one.reason for one in scan("memory://lif").rejects}
    assert reasons == dict.fromkeys(
        ("memory://lif/a.lif", "memory://lif/s.zarr"), "is read from this machine alone; copy it here"
    )


def test_answers_of_a_bucket_are_those_of_the_folder(
    tmp_path: Path, memory: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = SmallRun(tmp_path)
    monkeypatch.chdir(tmp_path)
    fit_run(run.run)
    scorers = {name: MeanOfPixels(scores) for name, scores in run.members.items()}
    monkeypatch.setattr(module, "load_scorers", lambda *_: scorers)
    write_images(tmp_path / "images", 3)
    (tmp_path / "images" / "image-01_green.png").write_bytes(b"")
    upload(memory, tmp_path / "images", "bucket/images")
    for images, out in (("images", "here"), ("memory://bucket/images", "there")):
        assert main(["predict", images, "--run", "small", "--out", out]) == 1
    for name in ("probabilities.csv", "submission.csv"):
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()
    with (tmp_path / "there" / "rejected.csv").open() as table:
        assert list(csv.reader(table))[1] == ["image-01", "memory://bucket/images/image-01_green.png", "0 bytes"]
    assert ",memory://bucket/images/image-00_green.png" in (tmp_path / "there" / "predictions.csv").read_text()
    capsys.readouterr()
    assert main(["explain", "image-00", "--images", "memory://bucket/images", "--run", "small"]) == 0
    assert "image-00" in capsys.readouterr().out


def test_a_bucket_is_packed_as_the_folder_is(tmp_path: Path, memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "images", 3)
    labels = "Id,Target\n" + "".join(f"image-0{i},{label}\n" for i, label in enumerate((0, 2, 25)))
    (tmp_path / "labels.csv").write_text(labels)
    upload(memory, tmp_path / "images", "bucket/images")
    memory.pipe_file("/bucket/labels.csv", labels.encode())
    for place, out in ((".", "here"), ("memory://bucket", "there")):
        given = ["--images", f"{place}/images", "--labels", f"{place}/labels.csv", "--size", "16", "--out", out]
        assert data_main(["pack", *given]) == 0
    for name in ("samples.csv", "images-00000.npy"):
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()
