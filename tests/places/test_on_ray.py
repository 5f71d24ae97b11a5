"""Ray as a place: `ray.init` on this machine, and a worker that is killed."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from place_tasks import die, die_once, square

from hpa_hier.errors import UserError
from hpa_hier.places.place import Place, open_place

pytestmark = pytest.mark.cluster
pytest.importorskip("ray")
TESTS = str(Path(__file__).resolve().parents[1])


@pytest.fixture(scope="module")
def place():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", TESTS)
        patch.delenv("RAY_ADDRESS", raising=False)
        with open_place("ray", 2) as opened:
            yield opened


def test_answers_come_in_order(place: Place):
    assert place.workers == 2
    assert list(place.map(square, range(30))) == [number * number for number in range(30)]


def test_what_a_killed_worker_lost_is_called_again(place: Place, tmp_path: Path, capfd):
    assert list(place.map(partial(die_once, tmp_path), range(6))) == list(range(6))
    assert "3: its worker was lost (WorkerCrashedError" in capfd.readouterr().err


def test_an_item_that_kills_every_worker_is_named(place: Place):
    with pytest.raises(UserError, match=r"--backend ray: item 2 was lost 3 times"):
        list(place.map(die, range(4), name=lambda number: f"item {number}"))
