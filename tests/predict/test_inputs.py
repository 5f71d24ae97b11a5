"""Inputs: what is doubtful about samples is told, of files and arrays alike."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from ensemble_run import MeanOfPixels, SmallRun
from image_folders import CHANNELS, planes, write

from hpa_hier.cli.ensemble import main
from hpa_hier.errors import UserError
from hpa_hier.predict import predictor as module
from hpa_hier.predict.fit_run import fit_run
from hpa_hier.predict.inputs import Batch, InputSpec, read_array, read_files, scan_images


def both_ways(folder: Path, images: np.ndarray, spec: InputSpec) -> tuple[Batch, Batch]:
    """Read (B, 4, H, W) images from files and as an array."""
    for i, image in enumerate(images):
        for channel, plane in zip(CHANNELS, image, strict=True):
            write(folder / f"{i}_{channel}.png", plane)
    (files,) = read_files([scan_images(folder, None).sources], spec, (), 1)
    (array,) = read_array(images, files.ids, None, spec, (), 8)
    return files, array


@pytest.mark.parametrize(
    ("rule", "usual", "dark"),
    [
        ("depth", None, ("only 12 of 16 bits used, so nearly black",)),
        ("depth", (0.03, 0.06), ()),  # as training images were
        ("percentile", None, ()),
    ],
)
def test_what_is_doubtful_is_told_of_files_and_arrays_alike(tmp_path, rule, usual, dark):
    good, bad = (np.stack(list(planes(seed, dtype=np.uint16).values())) >> 4 for seed in (1, 2))
    bad[1] = bad[0]
    files, array = both_ways(tmp_path, np.stack([good, bad]), InputSpec("images", CHANNELS, 16, rule, (), usual))
    assert files.notes == array.notes == (dark, ("red and green are one picture", *dark))
    assert files.bits == array.bits == ("12 of 16", "12 of 16")
    np.testing.assert_array_equal(files.values, array.values)


def test_what_an_ensemble_keeps_of_its_inputs_is_read_again():
    for usual in (None, (0.25, 1.0)):
        spec = InputSpec("images", CHANNELS, 16, "depth", ("yellow",), usual)
        kept = json.loads(json.dumps(spec.to_json()))
        assert InputSpec.from_ensemble(SimpleNamespace(about={"images": kept})) == spec
    del kept["range_used"]  # as older ensembles have it
    assert InputSpec.from_ensemble(SimpleNamespace(about={"images": kept})).range_used is None


def test_the_command_says_how_many_images_look_wrong_and_what_to_do(tmp_path, monkeypatch, capsys):
    run = SmallRun(tmp_path)
    fit_run(run.run)
    scorers = {name: MeanOfPixels(scores) for name, scores in run.members.items()}
    monkeypatch.setattr(module, "load_scorers", lambda run, ensemble, device, engine: scorers)
    for i in range(3):
        made = {name: plane >> 4 for name, plane in planes(i, dtype=np.uint16).items()}
        for channel, plane in made.items():
            write(tmp_path / "new" / f"s{i}_{channel}.png", made["red"] if (i, channel) == (1, "green") else plane)
    words = ["predict", "--run", str(run.folder), "--images", str(tmp_path / "new"), "--batch-size", "2"]
    assert main([*words, "--out", str(tmp_path / "dark")]) == 0
    said = capsys.readouterr().err
    assert "look again: so far 2 of 2 images: only 12 of 16 bits used, so nearly black (s0, s1)" in said
    assert "look again: 3 of 3 images: only 12 of 16 bits used, so nearly black (s0, s1, s2)" in said
    assert "look again: 1 of 3 images: red and green are one picture (s1)" in said
    assert "dark images: --intensity percentile reads them by the range that each channel has" in said
    assert main([*words, "--intensity", "percentile", "--out", str(tmp_path / "read")]) == 0
    said = capsys.readouterr().err
    assert "nearly black" not in said
    assert "bits used: 12 of 16 in 3 images; each channel is read by the range that it has" in said


def test_an_ensemble_reads_stacks_as_its_pack_did(tmp_path):
    stack = np.arange(3, dtype=np.uint8)[:, None, None] * np.ones((1, 16, 16), np.uint8) * 40
    tifffile.imwrite(tmp_path / "a_green.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    spec = InputSpec("images", ("green",), 16, "depth", projection="mean")
    (batch,) = read_files([scan_images(tmp_path, None).sources], spec, (), 1)
    assert (batch.values[0] == 40).all()
    assert batch.stacks == ((3, 1),)
    kept = InputSpec.from_ensemble(SimpleNamespace(about={"images": spec.to_json()}))
    assert kept == spec


def test_ensembles_from_before_stacks_were_read_take_the_maximum():
    about = {"channels": ["green"], "size": 16, "intensity": "depth", "may_be_missing": []}
    spec = InputSpec.from_ensemble(SimpleNamespace(about={"images": about}))
    assert (spec.projection, spec.frame) == ("max", None)


def test_the_one_image_that_is_wanted_is_refused_with_the_reason_also_where_its_name_turns_text(tmp_path: Path) -> None:
    file = tmp_path / "s\u202e9_green.png"
    file.touch()
    with pytest.raises(UserError, match=r"no readable image '.*': s\\u202e9_green\.png: .*cannot be an id"):
        scan_images([file], None, only=str(file))
