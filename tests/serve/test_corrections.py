"""Corrections: labels of people, kept whole with their images, in a table that the project's own commands read."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from ensemble_run import CHANNELS, SIZE, SmallRun
from small_server import Running, encode

from hpa_hier.data.images.scan import scan
from hpa_hier.data.labels.table import read_labels
from hpa_hier.serve.corrections import Corrections


def draw(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4000, (SIZE, SIZE + 5)).astype(np.uint16)


@pytest.fixture
def planes(tmp_path: Path) -> dict[str, Path]:
    for i, channel in enumerate(CHANNELS):
        (tmp_path / f"{channel}.png").write_bytes(encode(draw(i)))
    return {channel: tmp_path / f"{channel}.png" for channel in CHANNELS}


def read_rows(kept: Corrections) -> list[dict[str, str]]:
    with kept.table.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_correction_over_http_is_a_row_and_pictures_of_the_same_pixels(served: Running, small: SmallRun) -> None:
    import cv2

    files = {f"my cell_{channel}.png": encode(draw(i)) for i, channel in enumerate(CHANNELS)}
    answer = served.send(files).json()
    url = f"/jobs/{answer['job']['job']}/samples/{answer['samples'][0]['key']}/correction"
    row = served.client.put(url, json={"labels": ["nucleoli", "25"], "note": "=1+1\nsee lab book"}).json()
    assert row["corrected"]["labels"] == ["Nucleoli", "Cytosol"]
    kept = served.client.get("/corrections/small").json()
    assert kept["classes"] == {"Nucleoli": 1, "Cytosol": 1}
    table = read_labels(Path(kept["table"]), small.taxonomy, "stop", ("note", "when"))
    assert table.ids == ("my cell",)
    (source,) = scan(Path(kept["folder"]) / "images").sources
    assert source.id == "my cell"
    for i, channel in enumerate(CHANNELS):
        pixels = cv2.imread(str(source.planes[channel].file), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(pixels, draw(i))
    served.client.delete(f"/jobs/{answer['job']['job']}")
    assert served.client.get("/corrections/small").json()["count"] == 1
    assert served.client.get("/corrections/small/labels.csv").text.startswith("id,labels,note,when\nmy cell,")


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"labels": ["Nucleolus"]}, 422, "is no label of 'small'; did you mean 'Nucleoli'"),
        ({"labels": ["Nucleus"]}, 422, "it is a group, name a place below it: Nucleoplasm"),
        ({"labels": []}, 422, "no label; name one or more, or say unsure"),
        ({"label": "x"}, 400, "label"),
        ({"labels": ["x" * 2000] * 200}, 413, "bytes"),
    ],
)
def test_what_is_no_label_is_told(served: Running, body: dict[str, object], status: int, told: str) -> None:
    job = served.client.post("/predict", params={"wait": 30}, json={"paths": ["p1"]}).json()["job"]["job"]
    answer = served.client.put(f"/jobs/{job}/samples/0/correction", json=body)
    assert answer.status_code == status
    assert told in answer.json()["error"]


def test_taken_back_or_unsure_it_leaves_the_table(served: Running) -> None:
    job = served.client.post("/predict", params={"wait": 30}, json={"paths": ["p1"]}).json()["job"]["job"]
    url = f"/jobs/{job}/samples/1/correction"
    before = served.client.get("/corrections/small").json()["count"]
    for taken in (lambda: served.client.put(url, json={"unsure": True}), lambda: served.client.delete(url)):
        served.client.put(url, json={"labels": ["Nucleoli"]})
        assert served.client.get("/corrections/small").json()["count"] == before + 1
        assert taken().status_code == 200
        assert served.client.get("/corrections/small").json()["count"] == before
    assert not list((served.service.plan.corrections / "small" / "images").glob("image-01_*"))


def test_the_same_pixels_again_are_the_same_row_and_others_get_an_id_of_their_own(
    tmp_path: Path, planes: dict[str, Path]
) -> None:
    kept = Corrections(tmp_path / "kept")
    assert kept.keep("a", planes, ["Nucleoli"]) == "a"
    assert kept.keep("a", planes, ["Cytosol"]) == "a"
    planes["green"].write_bytes(encode(draw(9)))
    assert kept.keep("A", planes, ["Nucleoli"]) == "A~2"
    assert kept.keep("A", planes, ["Centrosome"]) == "A~2"
    assert [(row["id"], row["labels"]) for row in read_rows(kept)] == [("a", "Cytosol"), ("A~2", "Centrosome")]


def test_what_people_wrote_into_the_table_stays(tmp_path: Path, planes: dict[str, Path]) -> None:
    kept = Corrections(tmp_path / "kept")
    kept.keep("a", planes, ["Nucleoli"])
    text = kept.table.read_text().replace("when\n", "when,who\n").replace("\na,", "\nown,Cytosol,,,Ida\na,")
    kept.table.write_text(text.rstrip("\n") + ",Ben\n")
    planes["green"].write_bytes(encode(draw(9)))
    kept.keep("b", planes, ["Cytosol"])
    kept.keep("b", planes, ["Nucleoli"], "again")
    assert [(row["id"], row["labels"], row["who"]) for row in read_rows(kept)] == [
        *(("own", "Cytosol", "Ida"), ("a", "Nucleoli", "Ben"), ("b", "Nucleoli", ""))
    ]


def test_a_full_disk_loses_nothing(tmp_path: Path, planes: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Corrections(tmp_path / "kept")
    kept.keep("a", planes, ["Nucleoli"])
    before = kept.table.read_bytes()
    monkeypatch.setattr("os.fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        kept.keep("a", planes, ["Cytosol"])
    monkeypatch.undo()
    assert kept.table.read_bytes() == before
    assert not list(kept.folder.rglob("*.tmp*"))


def test_two_at_once_are_both_kept(served: Running) -> None:
    from concurrent.futures import ThreadPoolExecutor

    job = served.client.post("/predict", params={"wait": 30}, json={"paths": ["p1"]}).json()["job"]["job"]

    def correct(key: int) -> int:
        url = f"/jobs/{job}/samples/{key}/correction"
        return served.client.put(url, json={"labels": ["Nucleoli"]}).status_code

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(correct, range(3))) == [200] * 3
    ids = {row["id"] for row in served.client.get("/corrections/small").json()["rows"]}
    assert {"image-00", "image-01", "image-02"} <= ids
    for key in range(3):
        served.client.delete(f"/jobs/{job}/samples/{key}/correction")
