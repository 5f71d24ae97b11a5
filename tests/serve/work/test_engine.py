"""Engine: requests that come together share a pass, and each gets its own answer."""

from __future__ import annotations

import csv
import threading
from pathlib import Path

import pytest
from ensemble_run import SmallRun
from small_server import Running, read_folder, run_server

from hpa_hier.cli.ensemble import main
from hpa_hier.predict.predictor import Predictor
from hpa_hier.serve.safety.refusal import Refusal
from hpa_hier.serve.service import Plan
from hpa_hier.serve.work.engine import Engine


def test_requests_that_come_together_share_a_pass(served: Running) -> None:
    files = read_folder(served.service.plan.roots[0] / "p1")
    one = {name: content for name, content in files.items() if name.startswith("image-01")}
    (alone,) = served.send(one).json()["samples"]
    engine = served.service.engine
    begin, go = threading.Event(), threading.Event()

    def hold(predictor: object) -> None:  # as a long question about an image does
        begin.set()
        assert go.wait(20)

    held = engine.call(served.service.choose(None).run.folder, hold)
    assert begin.wait(20)
    found: list[dict[str, object]] = []
    threads = [threading.Thread(target=lambda: found.append(served.send(one).json()["samples"][0])) for _ in range(6)]
    for thread in threads:
        thread.start()
    for _ in range(1000):
        if engine.waiting == 6:
            break
        threading.Event().wait(0.01)
    before = engine.passes
    go.set()
    for thread in threads:
        thread.join()
    assert held.result() is None
    assert engine.passes == before + 1
    assert [sample["nodes"] for sample in found] == [alone["nodes"]] * 6
    assert [sample["id"] for sample in found] == ["image-01"] * 6


def test_what_fails_is_told_to_whoever_asked_and_the_engine_goes_on(served: Running) -> None:
    engine, folder = served.service.engine, served.service.choose(None).run.folder
    with pytest.raises(ZeroDivisionError):
        engine.call(folder, lambda predictor: 1 / 0).result(20)
    assert engine.call(folder, lambda predictor: 7).result(20) == 7


def test_an_engine_that_stops_refuses(small: SmallRun) -> None:
    engine = Engine("cpu")
    engine.stop()
    with pytest.raises(Refusal, match="too many questions wait") as caught:
        engine.call(small.folder, lambda predictor: None)
    assert caught.value.status == 503


@pytest.mark.slow
def test_real_fields_asked_for_at_once_get_the_commands_digits(shared_data: Path, tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    folder = shared_data / "hpa" / "complete"
    ids = sorted({path.name.rpartition("_")[0] for path in folder.glob("*_green.png")})[:6]
    images = tmp_path / "images"
    images.mkdir()
    for path in folder.iterdir():
        if path.name.rpartition("_")[0] in ids:
            (images / path.name).write_bytes(path.read_bytes())
    out = tmp_path / "out"
    main(["predict", "--run", "pretrained", "--images", str(images), "--out", str(out)])
    with (out / "probabilities.csv").open(newline="") as file:
        wanted = {row.pop("id"): row for row in csv.DictReader(file)}
    alone = Predictor.load("pretrained").predict(images)
    exact = {sample: alone.probs[i].tolist() for i, sample in enumerate(alone.ids)}
    with run_server(Plan(runs=("pretrained",), corrections=tmp_path / "kept")) as server:

        def ask(sample: str) -> dict[str, float]:
            files = {path.name: path.read_bytes() for path in images.glob(f"{sample}_*")}
            (found,) = server.send(files, wait=100).json()["samples"]
            return {one["node"]: one["prob"] for one in found["nodes"]}

        with ThreadPoolExecutor(6) as pool:
            found = dict(zip(ids, pool.map(ask, ids), strict=True))
        assert server.service.engine.passes < len(ids)  # some shared one
    for sample in ids:
        assert list(found[sample].values()) == exact[sample]
        assert {node: f"{prob:.6f}" for node, prob in found[sample].items()} == wanted[sample]
