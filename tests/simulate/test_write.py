"""Simulated fields on disk: the same files whatever the number of workers, as PNGs and as a pack."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from hpa_hier.cli.data import main
from hpa_hier.data.images.channels import CHANNELS
from hpa_hier.data.images.read import to_uint8
from hpa_hier.data.pack.pack import Pack
from hpa_hier.data.pack.pack_file import CLAIM
from hpa_hier.errors import UserError
from hpa_hier.places.place import open_place
from hpa_hier.settings.recipe import SimulateSettings
from hpa_hier.simulate.field import simulate_field
from hpa_hier.simulate.labelsets import LEAVES, draw_samples
from hpa_hier.simulate.write import _draw_radius, image_id, simulate_images, write_folder, write_pack


def settings(count: int, seed: int, size: int = 48, **more: object) -> SimulateSettings:
    return SimulateSettings(count=count, image_size=size, seed=seed, **more)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_files_are_the_same_whatever_the_number_of_workers(tmp_path: Path) -> None:
    write_folder(tmp_path / "one", settings(10, 3), workers=1)
    write_folder(tmp_path / "two", settings(10, 3), workers=2)
    with open_place("threading", 2) as place:
        write_folder(tmp_path / "place", settings(10, 3), workers=place)
    assert files_of(tmp_path / "place") == files_of(tmp_path / "one")
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
    assert len(files_of(tmp_path / "one")) == 4 * 10 + 2  # labels.csv, simulated.json


def test_an_image_does_not_depend_on_how_many_others_are_simulated() -> None:
    assert (
        simulate_field(3, 5, 48, ["7"], antibody=2).image == simulate_field(3, 5, 48, ["7"], antibody=2).image
    ).all()


def test_the_label_table_is_the_competitions_with_the_antibody_beside(tmp_path: Path) -> None:
    table = write_folder(tmp_path / "simulated", settings(4, 8))
    with table.open() as handle:
        rows = list(csv.DictReader(handle))
    samples = draw_samples(4, 8)
    assert [row["Id"] for row in rows] == [image_id(i) for i in range(4)]
    assert [tuple(row["Target"].split()) for row in rows] == [sample.labels for sample in samples]
    assert [row["antibody"] for row in rows] == [sample.antibody_name for sample in samples]


@pytest.mark.parametrize(("depth", "kind"), [(8, np.uint8), (16, np.uint16)])
def test_channels_are_grey_pngs_of_the_depth_asked_for(tmp_path: Path, depth: int, kind: type) -> None:
    write_folder(tmp_path, settings(1, 8), depth=depth)
    for channel in ("red", "green", "blue", "yellow"):
        plane = cv2.imread(str(tmp_path / f"drawn-000000_{channel}.png"), cv2.IMREAD_UNCHANGED)
        assert plane.shape == (48, 48)
        assert plane.dtype == kind


def test_a_folder_that_holds_simulated_cells_is_not_written_over(tmp_path: Path) -> None:
    table = write_folder(tmp_path, settings(1, 8))
    written = table.stat().st_mtime_ns
    assert write_folder(tmp_path, settings(1, 8)).stat().st_mtime_ns == written
    with pytest.raises(UserError, match=r"labels.csv: exists already; give another --out or remove the folder"):
        write_folder(tmp_path, settings(1, 9))


def test_the_pack_holds_the_same_images_labels_and_antibodies_as_the_folder(tmp_path: Path) -> None:
    pack = Pack.open(write_pack(tmp_path / "pack", settings(6, 3)))
    write_folder(tmp_path / "folder", settings(6, 3))
    samples = draw_samples(6, 3)
    assert list(pack.ids) == [image_id(i) for i in range(6)]
    assert [set(nodes) for nodes in pack.nodes] == [{LEAVES[label] for label in s.labels} for s in samples]
    assert list(pack.groups) == [sample.antibody_name for sample in samples]
    images = pack.images(np.arange(6))
    for i, image in enumerate(images):
        for channel, plane in zip(pack.channels, image, strict=True):
            path = tmp_path / "folder" / f"{image_id(i)}_{channel}.png"
            assert (cv2.imread(str(path), cv2.IMREAD_UNCHANGED) == plane).all()


def test_the_pack_of_the_same_settings_is_there_already_and_that_of_others_is_not_written_over(tmp_path: Path) -> None:
    made = files_of(write_pack(tmp_path, settings(2, 3, 32)))
    (tmp_path / CLAIM).write_text("{}")  # as where a process was killed when all else was done
    assert files_of(write_pack(tmp_path, settings(2, 3, 32))) == made
    for changes in ({"intensity": "percentile"}, {"channels": CHANNELS[:3]}):
        with pytest.raises(UserError, match="already holds a finished pack; name another folder, or remove this one"):
            write_pack(tmp_path, settings(2, 3, 32), **changes)


def test_a_pack_keeps_the_channels_that_were_asked_for_in_their_order(tmp_path: Path) -> None:
    whole, part = tmp_path / "whole", tmp_path / "part"
    write_pack(whole, settings(3, 2))
    write_pack(part, settings(3, 2), channels=("blue", "green"))
    rows = np.arange(3)
    assert Pack.open(part).channels == ("blue", "green")
    np.testing.assert_array_equal(Pack.open(part).images(rows), Pack.open(whole).images(rows)[:, [2, 1]])


def test_masks_are_written_where_they_are_asked_for_and_change_no_image(tmp_path: Path) -> None:
    write_folder(tmp_path / "plain", settings(4, 8))
    write_folder(tmp_path / "masked", settings(4, 8), masks=True, workers=2)
    plain, masked = files_of(tmp_path / "plain"), files_of_images(tmp_path / "masked")
    assert plain == masked
    for index, sample in enumerate(draw_samples(4, 8)):
        name = image_id(index)
        cells, nuclei = (
            read_mask(tmp_path / "masked" / "masks" / f"{name}_{what}.png") for what in ("cells", "nuclei")
        )
        assert cells.dtype == np.uint16
        assert (nuclei[nuclei > 0] == cells[nuclei > 0]).all()
        for label in sample.labels:
            assert read_mask(tmp_path / "masked" / "masks" / f"{name}_place-{label}.png").max() == 255


def files_of_images(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def read_mask(path: Path) -> np.ndarray:
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def test_every_fields_cells_get_a_radius_between_the_shares_of_the_side() -> None:
    radii = [_draw_radius(settings(300, 1, 96, radius=(0.1, 0.4)), index) for index in range(300)]
    assert 9.6 <= min(radii) < 11 < 35 < max(radii) <= 38.4
    assert _draw_radius(settings(1, 1, 40, radius=(0.05, 0.06)), 0) == 8.0  # no cell is smaller


def test_a_range_of_radii_gives_fields_of_many_cells_and_of_few(tmp_path: Path) -> None:
    write_folder(tmp_path, settings(12, 8, 96, radius=(0.09, 0.42)), masks=True)
    counts = [len(np.unique(read_mask(path))) - 1 for path in (tmp_path / "masks").glob("*_cells.png")]
    assert min(counts) <= 3
    assert max(counts) >= 8


def test_a_pack_can_have_its_intensities_stretched_as_real_images_have(tmp_path: Path) -> None:
    plain, stretched = (
        Pack.open(write_pack(tmp_path / rule, settings(4, 3), intensity=rule)) for rule in ("depth", "percentile")
    )
    assert (plain.intensity, stretched.intensity) == ("depth", "percentile")
    rows = np.arange(4)
    for before, after in zip(plain.images(rows), stretched.images(rows), strict=True):
        assert (after == np.stack([to_uint8(plane, "percentile") for plane in before])).all()


@pytest.mark.parametrize("form", ["files", "pack"])
def test_a_folder_that_cannot_be_made_is_named_in_one_line(tmp_path: Path, form: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        UserError, match=r"--out .*file/simulated: cannot be made \(Not a directory\); name another folder"
    ):
        main(["simulate", "--count", "1", "--as", form, "--out", str(tmp_path / "file" / "simulated")])


def test_an_unfinished_folder_of_other_settings_is_not_filled_up(tmp_path: Path) -> None:
    write_folder(tmp_path, settings(2, 8))
    (tmp_path / "labels.csv").unlink()
    for changes in ({"count": 1}, {"depth": 16}):
        count = changes.pop("count", 2)
        with pytest.raises(UserError, match=r"simulated\.json: the folder holds unfinished fields of other settings"):
            write_folder(tmp_path, settings(count, 8), **changes)
    write_folder(tmp_path, settings(2, 8))


def test_an_interrupted_set_is_finished_and_what_is_there_is_kept(tmp_path: Path) -> None:
    whole = files_of(write_folder(tmp_path / "whole", settings(4, 8)).parent)
    cut = tmp_path / "cut"
    write_folder(cut, settings(4, 8))
    for name in ("labels.csv", *(f"{image_id(3)}_{channel}.png" for channel in CHANNELS)):
        (cut / name).unlink()
    (cut / f"{image_id(2)}_blue.png").unlink()  # it was being written
    kept = (cut / f"{image_id(1)}_red.png").stat().st_mtime_ns
    write_folder(cut, settings(4, 8))
    assert files_of(cut) == whole
    assert (cut / f"{image_id(1)}_red.png").stat().st_mtime_ns == kept


def test_simulated_cells_are_not_put_among_other_pictures(tmp_path: Path) -> None:
    (tmp_path / "mine.png").write_bytes(b"")
    with pytest.raises(
        UserError, match=r"holds pictures that are not simulated, such as mine\.png; give another --out"
    ):
        write_folder(tmp_path, settings(1, 8))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.png"]


def _running(session: int) -> list[str]:
    """Return the commands of a session's processes that have not ended."""
    lines = subprocess.run(["ps", "-eo", "sid=,stat=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(maxsplit=2) for line in lines.splitlines()]
    return [row[2] for row in rows if row[0] == str(session) and not row[1].startswith("Z")]


@pytest.mark.skipif(sys.platform != "linux", reason="asks ps for a session's processes")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_stopped_command_leaves_neither_processes_nor_half_a_file(tmp_path: Path, number: int, status: int) -> None:
    words = ["simulate", "--count", "4000", "--size", "64", "--workers", "2", "--out", str(tmp_path / "out")]
    process = subprocess.Popen(
        [sys.executable, "-m", "hpa_hier.data", *words],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while process.poll() is None and not (tmp_path / "out" / f"{image_id(9)}_red.png").exists():
        time.sleep(0.02)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status
    if number == signal.SIGINT:
        again = "the same command goes on behind the last picture; without labels.csv the set is not whole"
        assert errors == f"\ninterrupted; {again}: {tmp_path / 'out'}\ninterrupted\n"
        assert not list((tmp_path / "out").glob(".*"))
    until = time.monotonic() + 20
    while _running(process.pid) and time.monotonic() < until:
        time.sleep(0.1)
    assert _running(process.pid) == []


def test_what_an_ended_command_left_is_tidied_up_without_a_word() -> None:
    leave = (
        "from hpa_hier.places.signals import start_trackers; start_trackers()\n"
        "from joblib.externals.loky.backend import resource_tracker\n"
        "resource_tracker.register('/no-such-semaphore', 'semlock')"
    )
    ended = subprocess.run([sys.executable, "-c", leave], capture_output=True, text=True, check=True)
    assert ended.stderr == ""


def test_some_images_are_those_of_the_whole_pack(tmp_path: Path) -> None:
    five, channels = settings(5, 4, 32), ("green", "blue")
    pack = Pack.open(write_pack(tmp_path / "pack", five, channels=channels, intensity="percentile"))
    some = np.stack(list(simulate_images(five, (3, 1), "percentile", channels)))
    np.testing.assert_array_equal(some, pack.read(np.array([3, 1])))
