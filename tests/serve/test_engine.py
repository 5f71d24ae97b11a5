"""Engine: requests that come together share a pass, and each gets its own answer."""

from __future__ import annotations

import threading

import pytest
from ensemble_run import SmallRun
from small_server import Running, read_folder

from hpa_hier.serve.engine import Engine
from hpa_hier.serve.safety.refusal import Refusal


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
