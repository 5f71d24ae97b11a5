"""Jobs: what is sent is grouped, read and answered for as `ensemble predict` does it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from ensemble_run import CHANNELS, SIZE, SmallRun, write_images
from small_server import Running, encode, read_folder

from hpa_hier.cli.ensemble import main

TABLES = ("predictions.csv", "probabilities.csv", "submission.csv", "rejected.csv")


@pytest.fixture(scope="module")
def plane() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 255, (SIZE, SIZE)).astype(np.uint8)


def export(served: Running, job: str, name: str) -> bytes:
    answer = served.client.get(f"/jobs/{job}/export/{name}")
    assert answer.status_code == 200, answer.text
    return answer.content


def test_tables_are_byte_for_byte_those_of_the_command(served: Running, small: SmallRun, tmp_path: Path) -> None:
    folder = served.service.plan.roots[0] / "p1"
    assert main(["predict", "--run", str(small.folder), "--images", str(folder), "--out", str(tmp_path)]) == 0
    job = served.client.post("/predict", params={"wait": 30}, json={"paths": ["p1"]}).json()["job"]["job"]
    assert [export(served, job, name) for name in TABLES] == [(tmp_path / name).read_bytes() for name in TABLES]


def test_an_image_gets_the_same_digits_alone_and_among_others(served: Running) -> None:
    files = read_folder(served.service.plan.roots[0] / "p1")
    together = served.send(files).json()["samples"]
    for sample in together:
        own = {name: content for name, content in files.items() if name.startswith(sample["id"])}
        (alone,) = served.send(own).json()["samples"]
        assert alone["nodes"] == sample["nodes"]
        assert alone["doubt"] == sample["doubt"] > 0


def test_rgb_ome_tiff_and_folders_are_grouped_by_the_naming_rules(served: Running, plane: np.ndarray) -> None:
    ome = served.service.folder / "x.ome.tif"
    tifffile.imwrite(ome, np.stack([plane] * 4), metadata={"axes": "CYX", "Channel": {"Name": list(CHANNELS)}})
    files = {
        "colour.png": encode(np.dstack([plane, plane.T, plane[::-1]])),
        "stack.ome.tif": ome.read_bytes(),
        **{f"plate 1/A1_{channel}.png": encode(plane) for channel in CHANNELS},
        **{f"plate 2/A1_{channel}.png": encode(plane.T) for channel in CHANNELS},
        "notes.txt": b"no image",
        "plate 1/.DS_Store": b"junk",
    }
    ome.unlink()
    answer = served.send(files, may_be_missing="yellow").json()
    assert [one["id"] for one in answer["samples"]] == ["colour", "plate 1_A1", "plate 2_A1", "stack"]
    assert answer["samples"][0]["filled"] == ["yellow"]
    assert answer["samples"][1]["name"] == "plate 1/A1_green.png"
    assert answer["job"]["aside"] == ["notes.txt", "plate 1/.DS_Store"]


def test_files_come_in_several_forms_and_rows_as_they_are_ready(served: Running) -> None:
    files = list(read_folder(served.service.plan.roots[0] / "p1").items())
    job = served.client.post("/jobs", json={"ensemble": "small"}).json()
    assert job["state"] == "open"
    for some in (files[:5], files[5:]):
        sent = served.client.post(f"/jobs/{job['job']}/files", files=[("files", one) for one in some])
        assert sent.status_code == 200
    assert sent.json()["files"] == 12
    assert served.client.post(f"/jobs/{job['job']}/start").status_code == 202
    assert served.finish(job)["state"] == "done"
    rows = served.client.get(f"/jobs/{job['job']}/samples", params={"after": 1, "limit": 5}).json()
    assert (len(rows["samples"]), rows["next"], rows["job"]["ready"]) == (2, 3, 3)
    late = served.client.post(f"/jobs/{job['job']}/files", files=[("files", files[0])])
    assert (late.status_code, late.json()["code"]) == (409, "conflict")


def test_what_cannot_be_read_is_told_with_the_users_name_and_no_folder_of_ours(
    served: Running, plane: np.ndarray
) -> None:
    files = {f"a_{channel}.png": encode(plane) for channel in CHANNELS}
    answer = served.send(files | {"b_green.png": b"no picture", "b_red.png": encode(plane)})
    (rejected,) = answer.json()["job"]["rejected"]
    assert rejected["id"] == "b"
    assert "channel blue, yellow of b is missing" in rejected["reason"]
    lone = served.send({"c_green.png": b"", **{f"c_{name}.png": encode(plane) for name in ("red", "blue", "yellow")}})
    assert (lone.status_code, lone.json()["code"]) == (422, "cannot")
    assert "c_green.png: 0 bytes" in lone.json()["error"]
    assert str(served.service.folder) not in answer.text + lone.text


def test_two_files_of_one_name_are_not_mixed_up(served: Running, plane: np.ndarray) -> None:
    files = [("files", (f"a_{channel}.png", encode(plane))) for channel in CHANNELS]
    twice = [*files, ("files", ("A_GREEN.png", encode(plane.T)))]
    answer = served.client.post("/predict", params={"wait": 30}, files=twice).json()
    (rejected,) = answer["job"]["rejected"]
    assert rejected["reason"].startswith("would be the same file as a_green.png; send the folders")
    assert len(answer["samples"]) == 1


@pytest.mark.parametrize("path", ["/etc/passwd", "../../etc", "p1/../../..", "no such", "link", "a\0b", ""])
def test_a_path_leads_nowhere_but_below_the_roots(served: Running, path: str, home: Path) -> None:
    link = home / "plates" / "link"
    if not link.is_symlink():
        link.symlink_to(home / "artifacts", target_is_directory=True)
    answer = served.client.post("/predict", json={"paths": [path]})
    assert (answer.status_code, answer.json()["code"]) == (422, "cannot")
    assert "no such folder or image below" in answer.json()["error"]


def test_a_table_of_paths_is_no_way_out_of_the_roots(served: Running, home: Path) -> None:
    table = home / "plates" / "list.csv"
    table.write_text("id,green\nx,/etc/hostname.png\n")
    answer = served.client.post("/predict", json={"paths": ["list.csv"]})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported")


def test_a_linked_image_that_leaves_the_roots_is_not_read(served: Running, home: Path, plane: np.ndarray) -> None:
    folder, outside = home / "plates" / "linked", home / "outside.png"
    folder.mkdir(exist_ok=True)
    outside.write_bytes(encode(plane))
    for channel in CHANNELS:
        (folder / f"s_{channel}.png").unlink(missing_ok=True)
        (folder / f"s_{channel}.png").symlink_to(outside)
    answer = served.client.post("/predict", params={"wait": 30}, json={"paths": ["linked"]})
    assert answer.status_code == 422
    assert "a link that leaves the folder" in answer.json()["error"]


def test_unknown_ensembles_channels_and_fields_are_told(served: Running, plane: np.ndarray) -> None:
    files = {"a_green.png": encode(plane)}
    told = {
        "smal": ("ensemble", 404, "no ensemble is called 'smal'; did you mean 'small'"),
        "red=": ("channels", 422, "a name is missing after ="),
        "purple": ("may_be_missing", 422, "purple"),
        "last one": ("frame", 422, "is no frame"),
        "x": ("unknown", 400, "no field is called 'unknown'"),
    }
    for text, (field, status, reason) in told.items():
        answer = served.send(files, **{field: text})
        assert answer.status_code == status, answer.text
        assert reason in answer.json()["error"]


def test_more_images_than_one_job_may_have_are_refused(served: Running, home: Path) -> None:
    write_images(home / "plates" / "many", served.service.limits.job_images + 1, ("green",))
    answer = served.client.post("/predict", params={"wait": 30}, json={"paths": ["many"]})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert "61 images; at most 60 are answered for at once" in answer.json()["error"]


def test_removed_and_forgotten_jobs_leave_no_files(served: Running) -> None:
    jobs = served.service.jobs
    job = served.client.post("/predict", params={"wait": 30}, json={"paths": ["p1"]}).json()["job"]["job"]
    folder = jobs.get(job).folder
    assert folder.is_dir()
    assert served.client.delete(f"/jobs/{job}").status_code == 204
    assert not folder.exists()
    gone = served.client.get(f"/jobs/{job}")
    assert (gone.status_code, gone.json()["code"]) == (404, "not_found")
    opened = jobs.get(served.client.post("/jobs", json={}).json()["job"])
    jobs.expire()
    assert opened in jobs.list()
    opened.asked -= jobs.limits.expires_seconds + 1
    jobs.expire()
    assert opened not in jobs.list()
    assert not opened.folder.exists()


def test_too_many_jobs_are_refused_with_a_time_to_come_again(served: Running) -> None:
    made = []
    try:
        while (answer := served.client.post("/jobs", json={})).status_code == 201:
            made.append(answer.json()["job"])
    finally:
        for job in made:
            served.client.delete(f"/jobs/{job}")
    assert len(made) <= served.service.limits.clients_jobs
    assert (answer.status_code, answer.json()["code"]) == (429, "busy")
    assert int(answer.headers["retry-after"]) >= 1


def test_pictures_have_the_fields_own_shape_and_the_intensities_asked_for(served: Running) -> None:
    import cv2

    wide = np.random.default_rng(0).integers(100, 4000, (30, 60)).astype(np.uint16)
    (sample,) = served.send({f"w_{channel}.png": encode(wide) for channel in CHANNELS}).json()["samples"]
    job = served.client.get("/jobs").json()["jobs"][-1]["job"]
    url = f"/jobs/{job}/samples/{sample['key']}/channels/green.png"
    answer = served.client.get(url, params={"side": 30})
    shown = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert shown.shape == (15, 30)
    assert answer.headers["x-depth"] == "16"
    whole = served.client.get(url, params={"low": 0, "high": 65535})
    pixels = cv2.imdecode(np.frombuffer(whole.content, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(pixels, np.rint(wide / 257).astype(np.uint8))
    assert served.client.get(url.replace("green", "ultraviolet")).status_code == 404


def test_exports_hold_the_same_answers_and_no_formula(served: Running, plane: np.ndarray) -> None:
    import io

    import openpyxl

    files = {f"a_{channel}.png": encode(plane) for channel in CHANNELS}
    answer = served.send(files | {"=cmd_green.png": encode(plane)}).json()
    job = answer["job"]["job"]
    told = json.loads(export(served, job, "answers.json"))
    (sample,) = told["samples"]
    assert sample["probs"] == {one["node"]: one["prob"] for one in answer["samples"][0]["nodes"]}
    book = openpyxl.load_workbook(io.BytesIO(export(served, job, "answers.xlsx")))
    assert book.sheetnames == ["answers", "probabilities", "left out", "about"]
    shown = [cell.value for cell in book["probabilities"][2]][1:]
    assert shown == pytest.approx(list(sample["probs"].values()), rel=1e-15)  # a workbook has 16 digits
    cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row]
    assert any(cell.value == "=cmd_green.png" for cell in cells)
    assert not any(cell.data_type == "f" for cell in cells)
    assert export(served, job, "figures.pdf").startswith(b"%PDF-")
    assert served.client.get(f"/jobs/{job}/export/answers.exe").status_code == 404


def test_no_other_user_of_the_machine_can_read_what_was_sent(served: Running) -> None:
    assert served.service.folder.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("form", [2, 3])
def test_a_zarr_store_is_sent_as_its_files(served: Running, plane: np.ndarray, tmp_path: Path, form: int) -> None:
    zarr = pytest.importorskip("zarr")
    store = tmp_path / "s.ome.zarr"
    axes = [{"name": axis} for axis in "cyx"]
    about = {
        "multiscales": [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": []}]}],
        "omero": {"channels": [{"label": label} for label in ("Microtubules", "protein", "DAPI", "ER")]},
    }
    group = zarr.open_group(store, mode="a", zarr_format=form)
    group.attrs.update(about if form == 2 else {"ome": {"version": "0.5", **about}})
    zarr.create_array(store / "0", data=np.stack([plane] * 4), chunks=(1, SIZE, SIZE), zarr_format=form)
    files = {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in store.rglob("*") if path.is_file()}
    (sample,) = served.send(files).json()["samples"]
    (alone,) = served.send({f"x_{channel}.png": encode(plane) for channel in CHANNELS}).json()["samples"]
    assert sample["id"] == "s"
    assert sample["nodes"] == alone["nodes"]
