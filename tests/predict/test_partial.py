"""An interrupted prediction keeps its answers, goes on from there to the same tables, and never mixes two of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from ensemble_run import MeanOfPixels, SmallRun, write_images
from filelock import FileLock

from hpa_hier.cli.ensemble import main
from hpa_hier.errors import UserError
from hpa_hier.predict import predictor as module
from hpa_hier.predict import tables
from hpa_hier.predict.fit_run import fit_run
from hpa_hier.predict.partial import FOLDER

TABLES = ("predictions.csv", "probabilities.csv", "submission.csv", "rejected.csv")


class Interrupting(MeanOfPixels):
    """A member that is interrupted before it scores one batch too many; counts the samples that it scores."""

    batches: int = 1 << 30  # until it is interrupted
    scored: list[int]

    def logits(self, images: np.ndarray) -> np.ndarray:
        if len(Interrupting.scored) >= Interrupting.batches:
            raise KeyboardInterrupt
        Interrupting.scored.append(len(images))
        return super().logits(images)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with 7 images, one of them broken, and the tables of an uninterrupted prediction in `whole`."""
    run = SmallRun(tmp_path)
    monkeypatch.chdir(tmp_path)
    fit_run(run.run)
    scorers = {name: MeanOfPixels(scores) for name, scores in run.members.items()}
    first = min(scorers)
    scorers[first] = Interrupting(run.members[first])
    monkeypatch.setattr(module, "load_scorers", lambda run, ensemble, device: scorers)
    monkeypatch.setattr(Interrupting, "batches", 1 << 30)
    monkeypatch.setattr(Interrupting, "scored", [], raising=False)
    write_images(tmp_path / "images", 7)
    (tmp_path / "images" / "image-04_green.png").write_bytes(b"")
    assert predict("whole") == 1
    Interrupting.scored.clear()
    return tmp_path


def predict(out: str, *more: str) -> int:
    return main(["predict", "images", "--run", "small", "--out", out, "--batch-size", "2", *more])


def interrupt(home: Path, batches: int = 2) -> None:
    """Predict into `out`, interrupted after some batches of two images."""
    Interrupting.batches = batches
    with pytest.raises(KeyboardInterrupt):
        predict("out")
    Interrupting.batches = 1 << 30
    Interrupting.scored.clear()
    assert not any((home / "out" / name).exists() for name in TABLES)


def assert_whole(home: Path, but: str = "") -> None:
    for name in TABLES:
        if name != but:
            assert (home / "out" / name).read_bytes() == (home / "whole" / name).read_bytes()
    assert sorted(path.name for path in (home / "out").iterdir()) == sorted(TABLES)


def test_the_same_command_goes_on_to_the_same_tables(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    interrupt(home)
    (home / "out" / FOLDER / ".00000002.1-ab.tmp.npz").write_bytes(b"half of a batch")  # as a killed process leaves it
    printed = capsys.readouterr()
    assert "4 of 7 images are answered and kept; the same command goes on from there" in printed.err
    assert predict("out") == 1
    assert "going on: 4 of 7 images are answered already" in capsys.readouterr().out
    assert sum(Interrupting.scored) == 2  # of the three left one is broken
    assert_whole(home)


def test_any_number_of_interruptions_and_other_batches_lead_to_the_same_tables(home: Path) -> None:
    interrupt(home, 1)
    interrupt(home, 1)
    assert predict("out", "--batch-size", "64") == 1
    assert sum(Interrupting.scored) == 2
    assert_whole(home)


def test_images_that_changed_or_came_later_are_predicted_and_stand_in_their_place(home: Path) -> None:
    interrupt(home)
    for channel in ("red", "green", "blue", "yellow"):
        source = (home / "images" / f"image-06_{channel}.png").read_bytes()
        (home / "images" / f"image-00_{channel}.png").write_bytes(source)  # answered already
        (home / "images" / f"image-02b_{channel}.png").write_bytes(source)  # between two that are
    os.utime(home / "images" / "image-00_red.png", ns=(1, 1))
    (home / "images" / "image-03_red.png").unlink()  # no longer readable
    assert predict("out") == 1
    assert sum(Interrupting.scored) == 4
    (home / "whole" / "predictions.csv").rename(home / "old.csv")
    assert predict("whole", "--overwrite") == 1
    assert_whole(home)


def test_answers_of_another_prediction_are_neither_mixed_nor_dropped_unasked(home: Path) -> None:
    interrupt(home)
    kept = sorted((home / "out" / FOLDER).glob("[0-9]*.npz"))
    assert len(kept) == 2
    with pytest.raises(UserError, match=r"out: holds answers of an unfinished prediction with another setting \(--"):
        predict("out", "--may-be-missing", "yellow")
    (home / "artifacts" / "small" / "ensemble" / "ensemble.json").open("a").write("\n")
    with pytest.raises(UserError, match="prediction with another ensemble; give the same to go on with it"):
        predict("out")
    assert sorted((home / "out" / FOLDER).glob("[0-9]*.npz")) == kept
    assert predict("out", "--overwrite") == 1
    assert sum(Interrupting.scored) == 6
    assert_whole(home)


def test_an_interruption_between_the_tables_is_mended_without_overwrite(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tables.replacing

    def fail_at_the_second(path: Path) -> object:
        if path.name == "submission.csv":
            raise KeyboardInterrupt
        return real(path)

    monkeypatch.setattr(tables, "replacing", fail_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        predict("out")
    (home / "out" / "predictions.csv").write_text("as if it had got its name already")
    monkeypatch.setattr(tables, "replacing", real)
    Interrupting.scored.clear()
    assert predict("out") == 1
    assert Interrupting.scored == []
    assert_whole(home)


def test_two_predictions_do_not_write_into_one_folder(home: Path) -> None:
    (home / "out" / FOLDER).mkdir(parents=True)
    with (
        FileLock(home / "out" / FOLDER / ".lock"),
        pytest.raises(UserError, match="out: another process is predicting into this folder"),
    ):
        predict("out")


def test_batches_are_ordered_as_asked_for_however_they_were_kept(home: Path) -> None:
    for path in (home / "images").glob("image-0[0-2]*"):
        path.rename(home / path.name)
    interrupt(home, 1)
    for path in home.glob("image-0[0-2]*"):
        path.rename(home / "images" / path.name)
    assert predict("out") == 1
    assert_whole(home)


def test_a_killed_process_leaves_what_the_same_command_goes_on_with(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = (
        "import sys, time, numpy, types\n"
        "from hpa_hier.cli.ensemble import main\n"
        "from hpa_hier.predict import predictor\n"
        "def slow(images):\n    time.sleep(0.1)\n    return numpy.zeros((len(images), 1))\n"
        "def load(run, ensemble, device):\n"
        "    nodes = {name: one.nodes for name, one in ensemble.combiner.calibrations.items()}\n"
        "    zeros = lambda n: lambda images: slow(images).repeat(n, axis=1)\n"
        "    return {k: types.SimpleNamespace(nodes=v, logits=zeros(len(v))) for k, v in nodes.items()}\n"
        "predictor.load_scorers = load\n"
        "main(['predict', 'images', '--run', 'small', '--out', 'out', '--batch-size', '1'])\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", code], cwd=home, env=environment)
    deadline = time.monotonic() + 60  # seconds
    while not list((home / "out").glob(f"{FOLDER}/[0-9]*.npz")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == -signal.SIGTERM
    kept = len(list((home / "out" / FOLDER).glob("[0-9]*.npz")))
    assert 0 < kept < 6
    assert not any((home / "out" / name).exists() for name in TABLES)
    assert predict("out") == 1
    assert f"going on: {kept} of 7 images are answered already" in capsys.readouterr().out
    rows = (home / "out" / "predictions.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == [f"image-0{i}" for i in (0, 1, 2, 3, 5, 6)]
