"""Predictor and Answers: one answer for a sample, whatever form it comes in and goes out in."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from ensemble_run import CHANNELS, SIZE, MeanOfPixels, SmallRun, write_images

from hpa_hier import Answers, Predictor, Run
from hpa_hier.cli.ensemble import main
from hpa_hier.errors import UserError
from hpa_hier.predict import predictor as module
from hpa_hier.predict.fit_run import fit_run
from hpa_hier.predict.inputs import Batch, InputSpec, Samples, read_array


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    run = SmallRun(tmp_path_factory.mktemp("predictor"))
    fit_run(run.run)
    return run


@pytest.fixture
def predictor(small: SmallRun, monkeypatch: pytest.MonkeyPatch) -> Predictor:
    scorers = {name: MeanOfPixels(scores) for name, scores in small.members.items()}
    monkeypatch.setattr(module, "load_scorers", lambda run, ensemble, device, engine: scorers)
    return Predictor.load(small.run)


def assert_equal(one: Answers, other: Answers) -> None:
    np.testing.assert_array_equal(one.prediction.raw, other.prediction.raw)
    np.testing.assert_array_equal(one.probs, other.probs)
    assert (one.labels, one.groups, one.fallback, one.safe) == (other.labels, other.groups, other.fallback, other.safe)
    assert one.filled == other.filled


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(SIZE, SIZE), (41, 29), (7, 12)])
def test_an_array_is_answered_as_the_same_images_in_files(
    predictor: Predictor, tmp_path: Path, dtype: type, shape: tuple[int, int]
) -> None:
    images = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (3, 4, *shape)).astype(dtype)
    for i, image in enumerate(images):
        for channel, plane in zip(CHANNELS, image, strict=True):
            cv2.imwrite(str(tmp_path / f"{i}_{channel}.png"), plane)
    assert_equal(predictor.predict(images), predictor.predict(tmp_path))
    without_yellow = predictor.predict(images[:, [1, 2, 0]], channels="green,blue,red", may_be_missing=["yellow"])
    for file in tmp_path.glob("*_yellow.png"):
        file.unlink()
    assert_equal(without_yellow, predictor.predict(str(tmp_path), may_be_missing=["yellow"]))
    assert without_yellow.warnings[-1] == "3 of 3 samples have no yellow; zeros stand for it"


def test_the_percentile_rule_is_the_same_for_arrays_and_files(tmp_path: Path) -> None:
    from hpa_hier.predict.inputs import read_files, scan_images

    image = np.random.default_rng(1).integers(300, 9000, (1, 1, 31, 50)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "a_green.png"), image[0, 0])
    spec = InputSpec("images", ("green",), 16, "percentile")
    (from_array,) = read_array(image, ["a"], None, spec, (), 8)
    (from_file,) = read_files([scan_images(tmp_path, None).sources], spec, (), 1)
    np.testing.assert_array_equal(from_array.values, from_file.values)


def test_a_list_of_files_is_answered_as_the_folder(predictor: Predictor, tmp_path: Path) -> None:
    write_images(tmp_path, 5)
    files = [str(path) for path in sorted(tmp_path.iterdir())]
    assert_equal(predictor.predict(files), predictor.predict(tmp_path))
    assert predictor.predict(files[:8]).ids == ("image-00", "image-01")


def test_the_answers_are_the_same_to_the_last_bit_in_any_batch(predictor: Predictor, tmp_path: Path) -> None:
    write_images(tmp_path, 7)
    whole = predictor.predict(tmp_path)
    for size in (1, 3):
        assert_equal(predictor.predict(tmp_path, batch_size=size), whole)


def test_the_three_tables_are_those_of_the_command(
    predictor: Predictor, small: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "images", 4)
    (tmp_path / "images" / "image-02_green.png").write_bytes(b"")
    answers = predictor.predict("images")
    answers.to_csv("mine")
    assert main(["predict", "--run", str(small.folder), "--images", "images", "--out", "command"]) == 1
    for name in ("predictions.csv", "probabilities.csv", "submission.csv", "rejected.csv"):
        assert (tmp_path / "mine" / name).read_bytes() == (tmp_path / "command" / name).read_bytes()
    with pytest.raises(UserError, match=r"predictions\.csv: exists already"):
        answers.to_csv("mine")
    answers.to_csv("mine", overwrite=True)


def test_frames_and_json_hold_what_the_tables_hold(predictor: Predictor, tmp_path: Path) -> None:
    write_images(tmp_path / "images", 4)
    answers = predictor.predict(tmp_path / "images")
    answers.to_csv(tmp_path / "out")
    for name, frame, digits in (
        ("predictions", answers.to_frame(), 3),
        ("probabilities", answers.to_probabilities(), 6),
    ):
        table = pd.read_csv(tmp_path / "out" / f"{name}.csv", index_col="id", keep_default_na=False)
        pd.testing.assert_frame_equal(frame.round(digits), table, check_dtype=False)
    kept = json.loads(answers.to_json())
    assert [one["id"] for one in kept["samples"]] == list(answers.ids)
    assert [tuple(one["labels"]) for one in kept["samples"]] == list(answers.labels)
    assert kept["samples"][0]["probs"] == dict(zip(answers.nodes, answers.probs[0], strict=True))
    assert kept["warnings"] == [
        "the networks learned from simulated cells only; do not rely on the answers",
        "no safe answer: not calibrated on real images",
    ]


def test_each_answer_is_explained_and_rejected_ones_say_why(predictor: Predictor, tmp_path: Path) -> None:
    write_images(tmp_path, 3)
    (tmp_path / "image-02_green.png").write_bytes(b"")
    answers = predictor.predict(tmp_path)
    assert "image:        image-01" in answers.explain("image-01")
    assert "image      image-01" in answers.explain("image-01", numbers=True)
    with pytest.raises(UserError, match=r"'image-02': no answer for it: image-02_green\.png: "):
        answers.explain("image-02")


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (np.zeros((4, 8, 8), np.uint8), {}, r"got uint8 of shape \(4, 8, 8\); add a batch axis with array\[None\]"),
        (np.zeros((1, 4, 8, 8)), {}, r"type uint8 or uint16, got float64 of shape \(1, 4, 8, 8\)"),
        (np.zeros((1, 3, 8, 8), np.uint8), {}, r"an array of 3 channels, where 4 are named \(red, green, blue, yellow"),
        (np.zeros((1, 1, 8, 8), np.uint8), {"channels": "green"}, "an array without red, blue, yellow; may_be_missing"),
        (np.zeros((2, 4, 8, 8), np.uint8), {"ids": ["a", "a"]}, "ids: 2, 1 of them different, for 2 images"),
        (pd.DataFrame({"f": [1.0]}), {}, "a data frame: the members take images, not vectors; use --images DIR"),
        ({"a": Path("a.csv")}, {}, "its ensemble was fitted on members of its own, not on score tables"),
        ([], {}, "no image is given; name a folder, or files"),
        (["notes.txt"], {}, "notes.txt: no such file or folder; check the path"),
    ],
)
def test_what_the_members_do_not_take_is_refused(
    predictor: Predictor, images: object, options: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        predictor.predict(images, **options)  # type: ignore[arg-type]


def test_memory_stays_the_same_however_many_images_there_are(predictor: Predictor) -> None:
    few, many = (np.zeros((count, 4, SIZE, SIZE), np.uint8) for count in (200, 1000))
    peaks = []
    for images in (few, many):
        for answers in predictor.stream(predictor.open_array(images[:64])):  # what is loaded once is not counted
            del answers
        tracemalloc.start()
        for answers in predictor.stream(predictor.open_array(images)):
            del answers
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0] + 1_000_000  # bytes


def test_opening_a_run_and_its_predictor_imports_neither_torch_nor_pandas(small: SmallRun) -> None:
    code = (
        "import sys, hpa_hier\n"
        "light = {'numpy', 'yaml', 'pydantic', 'torch', 'pandas'} & set(sys.modules)\n"
        f"run = hpa_hier.Run.open({str(small.folder)!r})\n"
        "run.members, run.pack, run.ensemble\n"
        "hpa_hier.Predictor.load(run)\n"
        "sys.exit(f'{light}' if light else bool({'torch', 'sklearn', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_public_names_are_offered_and_no_others() -> None:
    import hpa_hier

    assert {"Answers", "Predictor", "Run", "Taxonomy"} <= set(dir(hpa_hier))
    assert hpa_hier.Run is Run
    with pytest.raises(AttributeError, match="module 'hpa_hier' has no attribute 'Nothing'"):
        hpa_hier.Nothing  # noqa: B018


def test_what_looks_wrong_with_an_image_stands_in_its_row(predictor: Predictor, tmp_path: Path) -> None:
    batch = Batch(("a", "b"), np.zeros((2, 4, SIZE, SIZE), np.uint8), ((), ()), (), (("black", "out of focus"), ()))
    (answers,) = predictor.stream(Samples("two images", 2, iter([batch])))
    assert answers.doubts[0][:2] == ("black", "out of focus")
    assert answers.doubts[1] == answers.doubts[0][2:]
    assert answers.doubts[1][0].startswith("unlike what was learned from: red (microtubules) is black")
    assert [text.split("; ")[:-3] for text in answers.warning] == [list(own) for own in answers.doubts]
    answers.to_csv(tmp_path)
    table = pd.read_csv(tmp_path / "predictions.csv", index_col="id", keep_default_na=False)
    assert list(table["warning"]) == list(answers.warning)


def test_a_prior_moves_probabilities_and_not_the_calls_and_says_so(
    predictor: Predictor, small: SmallRun, tmp_path: Path
) -> None:
    rarer = predictor.run.taxonomy.leaves[0]
    table = "".join(f"{leaf},{0.001 if leaf == rarer else 0.2}\n" for leaf in predictor.run.taxonomy.leaves)
    (tmp_path / "shares.csv").write_text("class,share\n" + table)
    write_images(tmp_path / "images", 3)
    with_prior = Predictor.load(small.run, prior=tmp_path / "shares.csv")
    plain, moved = predictor.predict(tmp_path / "images"), with_prior.predict(tmp_path / "images")
    column = plain.nodes.index(rarer)
    assert (moved.probs[:, column] < plain.probs[:, column]).all()
    assert plain.labels == moved.labels
    assert f"classes are taken to be as frequent as among {tmp_path / 'shares.csv'}" in moved.warning[0]


@pytest.mark.parametrize("scales", [(1.0, 2.0), (1.5,)])
def test_at_magnifications_files_and_arrays_answer_alike_in_any_batch(
    predictor: Predictor, tmp_path: Path, scales: tuple[float, ...]
) -> None:
    write_images(tmp_path, 5)
    magnified = replace(predictor, scales=scales)
    together = magnified.predict(tmp_path)
    assert (together.probs != predictor.predict(tmp_path).probs).any()
    assert_equal(together, magnified.predict(tmp_path, batch_size=2))
    files = [cv2.imread(str(tmp_path / f"image-00_{channel}.png"), cv2.IMREAD_UNCHANGED) for channel in CHANNELS]
    assert_equal(together.take(together.ids[:1]), magnified.predict(np.stack(files)[None], ids=together.ids[:1]))
    with pytest.raises(UserError, match=r"^--scales: must be from 1, the whole image, to 8, got 0\.5$"):
        Predictor.load(predictor.run, scales=(1, 0.5))
