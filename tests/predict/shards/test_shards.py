"""A prediction keeps its answers shard by shard, goes on or is shared to the same tables, and two are never mixed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ensemble_run import MeanOfPixels, SmallRun, write_images

from hpa_hier.cli.ensemble import main
from hpa_hier.errors import UserError
from hpa_hier.files.faults import together
from hpa_hier.predict import predictor as module
from hpa_hier.predict import tables
from hpa_hier.predict.fit_run import fit_run
from hpa_hier.predict.inputs import scan_images
from hpa_hier.predict.shards.shards import FOLDER, Shards, is_finishing, open_shards

TABLES = ("predictions.csv", "probabilities.csv", "submission.csv", "rejected.csv")


class Interrupting(MeanOfPixels):
    """A member that is interrupted before it scores one batch too many; counts the samples that it scores."""

    batches: int = 1 << 30  # until it is interrupted
    pause: float = 0.0  # seconds
    scored: list[int]

    def logits(self, images: np.ndarray) -> np.ndarray:
        if len(Interrupting.scored) >= Interrupting.batches:
            raise KeyboardInterrupt
        Interrupting.scored.append(len(images))
        time.sleep(Interrupting.pause)
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
    monkeypatch.setattr(module, "load_scorers", lambda run, ensemble, device, engine: scorers)
    monkeypatch.setattr(Interrupting, "batches", 1 << 30)
    monkeypatch.setattr(Interrupting, "pause", 0.0)
    monkeypatch.setattr(Interrupting, "scored", [], raising=False)
    write_images(tmp_path / "images", 7)
    (tmp_path / "images" / "image-04_green.png").write_bytes(b"")
    assert predict("whole") == 1
    Interrupting.scored.clear()
    return tmp_path


def predict(out: str, *more: str) -> int:
    return main(["predict", "images", "--run", "small", "--out", out, "--batch-size", "2", "--shard-size", "2", *more])


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
    finish = together.finish

    def fail(folder: Path, name: str = "") -> bool:
        if not together.journal_path(folder).exists():
            return finish(folder, name)
        ready = json.loads(together.journal_path(folder).read_text())["ready"]
        (folder / ready["predictions.csv"]).rename(folder / "predictions.csv")
        raise KeyboardInterrupt

    monkeypatch.setattr(together, "finish", fail)
    with pytest.raises(KeyboardInterrupt):
        predict("out")
    assert (home / "out" / "predictions.csv").exists()
    monkeypatch.setattr(together, "finish", finish)
    Interrupting.scored.clear()
    assert predict("out") == 1
    assert Interrupting.scored == []
    assert_whole(home)


def test_tables_that_could_not_be_written_leave_those_that_are_there_to_their_owner(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert predict("out") == 1
    monkeypatch.setattr(tables.Tables, "reject", lambda *_: Path("no", "folder").mkdir())
    with pytest.raises(FileNotFoundError, match="no/folder"):
        predict("out", "--overwrite")
    with pytest.raises(UserError, match=r"out/predictions.csv: exists already; name another folder"):
        predict("out")


def test_tables_that_came_while_the_members_were_loaded_are_not_replaced_unasked(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = module.Predictor.load

    def load_slowly(*given: object) -> object:
        (home / "out").mkdir()
        (home / "out" / "predictions.csv").write_text("another command's")
        return load(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(module.Predictor, "load", load_slowly)
    with pytest.raises(UserError, match=r"out/predictions.csv: exists already; name another folder"):
        predict("out")
    assert [path.name for path in (home / "out").iterdir()] == ["predictions.csv"]
    assert (home / "out" / "predictions.csv").read_text() == "another command's"


def test_looking_costs_the_same_however_many_shards_are_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cuts: list[int] = []
    cut = Shards._cut
    monkeypatch.setattr(Shards, "_cut", lambda shards, number: cuts.append(number) or cut(shards, number))
    sources = [SimpleNamespace(id=str(number)) for number in range(300)]
    with open_shards(tmp_path, {}, overwrite=False, size=1) as kept:
        kept.plan(sources, lambda chunks: iter(()), 1)  # type: ignore[arg-type]
        for number in range(299):
            (kept.folder / f"{number:08d}.npz").touch()
        assert kept.look() == 1
        assert (kept.done, kept.kept, len(cuts)) == (299, 299, 299)
        for _ in range(10):
            assert (kept.look(), kept.done) == (1, 299)
        assert len(cuts) == 299


def test_batches_are_ordered_as_asked_for_however_they_were_kept(home: Path) -> None:
    for path in (home / "images").glob("image-0[0-2]*"):
        path.rename(home / path.name)
    interrupt(home, 1)
    for path in home.glob("image-0[0-2]*"):
        path.rename(home / "images" / path.name)
    assert predict("out") == 1
    assert_whole(home)


CODE = """import sys, time, numpy, types
from hpa_hier.cli.ensemble import main
from hpa_hier.predict import predictor
def slow(images):
    time.sleep(0.1)
    return images.mean(axis=(1, 2, 3))[:, None] / 100.0
def load(run, ensemble, device, engine):
    nodes = {name: one.nodes for name, one in ensemble.combiner.calibrations.items()}
    means = lambda n: lambda images: slow(images).repeat(n, axis=1)
    return {k: types.SimpleNamespace(nodes=v, logits=means(len(v))) for k, v in nodes.items()}
predictor.load_scorers = load
sys.exit(main(['predict', 'images', '--run', 'small', '--out', 'out', '--shard-size', '1']))
"""


def test_killed_processes_leave_what_others_go_on_with_at_once(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    both = [
        subprocess.Popen([sys.executable, "-c", CODE], cwd=home, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    deadline = time.monotonic() + 60  # seconds
    while not list((home / "out").glob(f"{FOLDER}/*.lock")) and both[0].poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    first = both[0]
    first.send_signal(signal.SIGKILL)  # in the middle of a shard, or while it waits for the other
    assert first.wait() == -signal.SIGKILL
    assert not (home / "out" / "predictions.csv").exists()
    assert both[1].wait(timeout=60) == 1  # one image is broken
    assert "wrote out/predictions.csv" in str(both[1].communicate()[0])
    rows = (home / "out" / "predictions.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == [f"image-0{i}" for i in (0, 1, 2, 3, 5, 6)]
    assert sorted(path.name for path in (home / "out").iterdir()) == sorted(TABLES)


def test_processes_at_once_write_the_tables_of_one(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Interrupting.pause = 0.02
    with ThreadPoolExecutor(3) as pool:  # a lock is held by what opened its file, so threads are as good as processes
        ends = list(pool.map(lambda _: predict("out", "--shard-size", "1"), range(3)))
    assert ends == [1, 1, 1]  # one image is broken
    assert sum(Interrupting.scored) == 6
    assert capsys.readouterr().out.count("another process that shared the work wrote out/predictions.csv") == 2
    assert_whole(home)


@pytest.mark.parametrize("size", ["1", "3", "100"])
def test_the_tables_are_the_same_bytes_however_images_are_cut(home: Path, size: str) -> None:
    wanted = home / "sample_submission.csv"
    wanted.write_text("Id,Predicted\nimage-05,0\nimage-04,0\n")
    for form in ("parquet", "h5ad"):
        tail = ("--format", form, "--sample-submission", str(wanted))
        assert predict(f"whole-{form}", *tail, "--shard-size", "64") == 1
        assert predict(f"out-{form}", *tail, "--shard-size", size) == 1
        names = sorted(path.name for path in (home / f"whole-{form}").iterdir())
        assert names == ["predictions.csv", f"probabilities.{form}", "rejected.csv", "submission.csv"]
        for name in names:
            assert (home / f"out-{form}" / name).read_bytes() == (home / f"whole-{form}" / name).read_bytes()


def test_a_worker_computes_and_leaves_the_tables_to_another(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict("out", "--worker") == 0
    assert "7 of 7 images are answered; the same command without --worker ends it" in capsys.readouterr().out
    assert [path.name for path in (home / "out").iterdir()] == [FOLDER]
    Interrupting.scored.clear()
    assert predict("out") == 1
    assert Interrupting.scored == []
    assert_whole(home)


def test_a_damaged_shard_is_computed_again(home: Path) -> None:
    interrupt(home)
    damaged, whole = sorted((home / "out" / FOLDER).glob("[0-9]*.npz"))
    content = bytearray(damaged.read_bytes())
    content[len(content) // 3] ^= 1
    damaged.write_bytes(content)
    whole.write_bytes(whole.read_bytes()[:-30])
    assert predict("out") == 1
    assert sum(Interrupting.scored) == 6
    assert_whole(home)


def test_another_command_is_refused_while_one_is_at_it(home: Path) -> None:
    with open_shards(home / "out", {"setting": "a"}, overwrite=False) as kept:
        kept.plan((), lambda chunks: iter(()), 1)
        for about, message in (({"setting": "b"}, "with another setting; wait for it"), ({}, "another setting")):
            with pytest.raises(UserError, match=message), open_shards(home / "out", about, overwrite=True):
                pass
        with (
            open_shards(home / "out", {"setting": "a"}, overwrite=False, size=3) as other,
            pytest.raises(UserError, match="--shard-size 3: another process is at it with 64; give this"),
        ):
            other.plan((), lambda chunks: iter(()), 1)
        with open_shards(home / "out", {"setting": "a"}, overwrite=False) as other:
            sources = scan_images(home / "images", None).sources
            with pytest.raises(UserError, match="the images have changed since it began; wait for it"):
                other.plan(sources, lambda chunks: iter(()), 1)
    assert not (home / "out" / FOLDER).exists()


def test_who_finds_the_work_of_another_done_before_he_began_leaves_it(home: Path) -> None:
    with open_shards(home / "out", {"setting": "a"}, overwrite=False) as late:
        with open_shards(home / "out", {"setting": "b"}, overwrite=False) as other:  # the first has not planned yet
            other.plan((), lambda chunks: iter(()), 1)
            other.drop()
        with pytest.raises(UserError, match="out: another process has predicted into this folder meanwhile; see what"):
            late.plan((), lambda chunks: iter(()), 1)
    assert not (home / "out" / FOLDER).exists()


def test_shards_are_of_images_and_of_tables(home: Path) -> None:
    with pytest.raises(UserError, match="--worker goes with --out DIR; add it"):
        main(["predict", "images", "--run", "small", "--worker"])
    with pytest.raises(UserError, match="--shard-size goes with images, whose answers are kept piece by piece"):
        main(["predict", "--own", "--run", "small", "--out", "out", "--shard-size", "5"])


def test_what_a_process_kept_that_was_killed_while_it_removed_it_may_be_written_again(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "finishing").touch()  # and no manifest any more
    assert is_finishing(tmp_path)
    with open_shards(tmp_path, {"ensemble": "a"}, False):
        assert is_finishing(tmp_path)
    assert not (tmp_path / FOLDER).exists()
