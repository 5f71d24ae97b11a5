"""Packs: whole, resumable, checked, and the same whatever interrupted them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from image_folders import CHANNELS, planes, png, write, write_folder, write_sample

from hpa_hier.data.images.formats import png_jpeg
from hpa_hier.data.images.kernels import counts, switch
from hpa_hier.data.images.read import read_image, to_uint8
from hpa_hier.data.images.scan import scan
from hpa_hier.data.pack import fill, shard
from hpa_hier.data.pack.audit import audit
from hpa_hier.data.pack.build import build_pack
from hpa_hier.data.pack.matching import PackRequest
from hpa_hier.data.pack.pack import Pack
from hpa_hier.data.pack.samples import Sample
from hpa_hier.data.pack.shard import rows_per_shard
from hpa_hier.data.pack.simulated_pack import write_simulated_pack
from hpa_hier.data.split.near_duplicates import join_groups
from hpa_hier.data.split.split import make_split, split_pack
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_json, sha256
from hpa_hier.settings.recipe import SplitSettings
from hpa_hier.taxonomy import Taxonomy

TREE = Taxonomy.load("hierarchy/hpa28.yaml")


def request(folder: Path, **changes: object) -> PackRequest:
    settings = {
        "images": folder / "images",
        "labels": folder / "labels.csv",
        "out": folder / "pack",
        "taxonomy": TREE,
        "size": 16,
        "channels": CHANNELS,
    }
    return PackRequest(**{**settings, **changes})


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(shard, "_MOST_ROWS", 4)


def test_a_pack_holds_what_reading_gives(tmp_path, small_shards):
    write_folder(tmp_path / "images", 11)
    report = build_pack(request(tmp_path), threads=3)
    pack = Pack.open(tmp_path / "pack")
    assert (len(pack), pack.channels, pack.size, pack.intensity) == (11, CHANNELS, 16, "depth")
    assert [s.rows for s in pack.shards] == [4, 4, 3]
    assert (report.rejects, pack.filled, pack.simulated) == ((), {}, False)
    for source in scan(tmp_path / "images").sources:
        row = pack.find_rows([source.id])
        np.testing.assert_array_equal(pack.images(row)[0], read_image(source, 16, CHANNELS, "depth").image)


def test_rows_come_in_any_order_into_a_reused_buffer(tmp_path, small_shards):
    write_folder(tmp_path / "images", 11)
    pack = build_pack(request(tmp_path)).pack
    everything = pack.images(np.arange(11))
    rows = np.array([10, 0, 3, 4, 3])
    out = np.empty((5, 4, 16, 16), np.uint8)
    assert pack.images(rows, out) is out
    np.testing.assert_array_equal(out, everything[rows])
    with pytest.raises(IndexError, match="row 11 of a pack with 11 images"):
        pack.images(np.array([11]))
    with pytest.raises(IndexError, match="row -1 of a pack with 11 images"):
        pack.images(np.array([-1]))


def test_the_digest_does_not_depend_on_the_number_of_threads(tmp_path):
    write_folder(tmp_path / "images", 9)
    digests = {build_pack(request(tmp_path, out=tmp_path / f"pack{n}"), threads=n).pack.digest for n in (1, 2, 5)}
    assert len(digests) == 1


@pytest.mark.parametrize("price", [1e9, 1e-9])  # s of reading without kernels, after which they are compiled
def test_the_digest_does_not_depend_on_kernels(tmp_path, price, monkeypatch):
    pytest.importorskip("numba")
    write_folder(tmp_path / "images", 9)
    expected = build_pack(request(tmp_path)).pack.digest
    own = switch.Switch()
    monkeypatch.setattr(switch, "PRICE", price)
    for user in (counts, fill, png_jpeg):
        monkeypatch.setattr(user, "SWITCH", own)
    assert build_pack(request(tmp_path, out=tmp_path / "again"), threads=1).pack.digest == expected
    assert (own.kernels is not None) == (price < 1)


def test_labels_and_antibodies_stay_with_their_images(tmp_path):
    write_folder(tmp_path / "images", 3)
    (tmp_path / "labels.csv").write_text("Id,Target,antibody\ns2,0|25,HPA2\ns0,7,HPA0\ns1,Vesicles,\n")
    pack = build_pack(request(tmp_path)).pack
    assert pack.ids == ("s2", "s0", "s1")
    assert pack.nodes == (("Nucleoplasm", "Cytosol"), ("Golgi apparatus",), ("Vesicles",))
    assert pack.groups == ("HPA2", "HPA0", "")
    assert pack.targets(TREE).present[0, TREE.column["Nucleus"]]


# mismatches stop, or are left out


def test_mismatches_of_labels_and_images_are_listed_in_one_message(tmp_path):
    write_folder(tmp_path / "images", 5)
    (tmp_path / "images" / "s4_yellow.png").unlink()
    (tmp_path / "labels.csv").write_text("Id,Target\ns0,99\ns1,0\ns1,7\ns4,0\nghost,0\n")
    with pytest.raises(UserError) as raised:
        build_pack(request(tmp_path))
    message = str(raised.value)
    assert "6 problems; fix them, or give --on-problem skip to leave these samples out (rejected.csv" in message
    assert "unknown label (1): '99' (line 2)" in message
    assert "duplicate id (1): s1 (lines 3 and 4)" in message
    assert "image without row (2): s2; s3" in message
    assert "row without image (1): ghost" in message
    assert "missing channel (1): s4 has no yellow" in message
    assert not (tmp_path / "pack").exists()


def test_with_skip_the_rest_is_packed_and_what_was_left_out_is_listed(tmp_path):
    write_folder(tmp_path / "images", 5)
    (tmp_path / "images" / "s4_yellow.png").unlink()
    (tmp_path / "labels.csv").write_text("Id,Target\ns0,99\ns1,0\ns1,0\ns4,0\nghost,0\n")
    report = build_pack(request(tmp_path, on_problem="skip"))
    assert report.pack.ids == ("s1",)
    rejected = (tmp_path / "pack" / "rejected.csv").read_text().splitlines()
    assert rejected[0] == "id,file,reason"
    assert {*rejected[1:]} == {
        "s0,labels.csv,unknown label '99' (line 2)",
        "s2,,no row in labels.csv",
        "s3,,no row in labels.csv",
        "ghost,,no image",
        "s4,,missing channel: yellow",
    }


def test_a_channel_that_may_be_missing_is_zeros_and_is_counted_in_pack_json(tmp_path):
    write_folder(tmp_path / "images", 3)
    (tmp_path / "images" / "s1_yellow.png").unlink()
    pack = build_pack(request(tmp_path, may_be_missing=("yellow",))).pack
    assert pack.filled == {"yellow": 1}
    assert read_json(tmp_path / "pack" / "pack.json")["filled"] == {"yellow": 1}
    images = pack.images(np.arange(3))
    assert images[:, 3].reshape(3, -1).any(axis=1).tolist() == [True, False, True]


def test_bad_files_are_listed_with_reasons_and_the_rest_is_packed(tmp_path, small_shards):
    folder = tmp_path / "images"
    write_folder(folder, 12)
    (folder / "s1_red.png").write_bytes((folder / "s1_red.png").read_bytes()[:99])
    (folder / "s2_red.png").write_bytes(b"")
    (folder / "s3_red.png").write_bytes(png(50_000, 50_000))
    (folder / "s4_red.png").write_bytes(png(32, 32, bits=1))
    (folder / "s5_red.png").unlink()
    (folder / "s5_red.png").mkdir()
    outside = write(tmp_path / "outside.png", planes(0)["red"])
    (folder / "s6_red.png").unlink()
    (folder / "s6_red.png").symlink_to(outside)
    (folder / "s7_red.png").unlink()
    tifffile.imwrite(folder / "s7_red.tif", np.zeros((32, 32), np.float32))
    report = build_pack(request(tmp_path))
    assert report.pack.ids == ("s0", "s8", "s9", "s10", "s11")
    assert {reject.id: reject.reason for reject in report.rejects} == {
        "s1": "damaged or truncated: Truncated File Read",
        "s2": "0 bytes",
        "s3": "claims over 134,217,728 pixels; at most 67,108,864 are read",
        "s4": "1 bit a channel; save it with 8 or 16",
        "s5": "a folder with an image's name",
        "s6": f"a link that leaves the folder, to {outside}; --follow-links reads it",
        "s7": "float32 pixels; save it with 8 or 16 bits, unsigned, as in Fiji: Image > Type > 16-bit",
    }
    for source in scan(folder).sources:  # the gaps they left are closed
        if source.id in report.pack.ids:
            expected = read_image(source, 16, CHANNELS, "depth").image
            np.testing.assert_array_equal(report.pack.images(report.pack.find_rows([source.id]))[0], expected)


def test_a_folder_of_bad_files_only_cannot_be_packed(tmp_path):
    write_folder(tmp_path / "images", 2)
    for file in (tmp_path / "images").glob("*_red.png"):
        file.write_bytes(b"")
    with pytest.raises(UserError, match=r"none of 2 samples could be packed; first: s0_red\.png: 0 bytes"):
        build_pack(request(tmp_path))


# one folder, one request


def test_the_same_request_again_reuses_the_finished_pack(tmp_path):
    write_folder(tmp_path / "images", 3)
    first = build_pack(request(tmp_path))
    before = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "pack").iterdir()}
    again = build_pack(request(tmp_path))
    assert (first.reused, again.reused, again.pack.digest) == (False, True, first.pack.digest)
    assert {f.name: f.stat().st_mtime_ns for f in (tmp_path / "pack").iterdir() if f.name != ".lock"} == {
        name: when for name, when in before.items() if name != ".lock"
    }


@pytest.mark.parametrize("change", ["size", "image", "label"])
def test_another_request_into_the_same_folder_is_refused(tmp_path, change):
    write_folder(tmp_path / "images", 3)
    build_pack(request(tmp_path))
    if change == "image":
        write_sample(tmp_path / "images", "s0", seed=99)
    if change == "label":
        (tmp_path / "labels.csv").write_text("Id,Target\ns0,1\ns1,1\ns2,1\n")
    with pytest.raises(UserError, match="holds a pack of other samples, labels or settings; name another folder"):
        build_pack(request(tmp_path, size=20 if change == "size" else 16))


def test_a_second_process_packing_into_the_folder_is_refused(tmp_path):
    from filelock import FileLock

    write_folder(tmp_path / "images", 3)
    (tmp_path / "pack").mkdir()
    with (
        FileLock(tmp_path / "pack" / ".lock"),
        pytest.raises(UserError, match="another process is packing into this folder"),
    ):
        build_pack(request(tmp_path))


_PACKER = """
import sys
from pathlib import Path
from hpa_hier.data.pack import shard
from hpa_hier.data.pack.build import build_pack
from hpa_hier.data.pack.matching import PackRequest
from hpa_hier.taxonomy import Taxonomy
shard._MOST_ROWS = 4
home, out = Path(sys.argv[1]), Path(sys.argv[2])
tree = Taxonomy.load("hierarchy/hpa28.yaml")
build_pack(PackRequest(home / "images", home / "labels.csv", out, tree, 16, ("red", "green", "blue", "yellow")))
"""


def test_a_pack_killed_at_any_moment_is_finished_by_the_same_command(tmp_path):
    write_folder(tmp_path / "images", 160)
    (tmp_path / "images" / "s5_red.png").write_bytes(b"")
    whole = build_pack(request(tmp_path, out=tmp_path / "whole")).pack
    out = tmp_path / "killed"
    command = [sys.executable, "-c", _PACKER, str(tmp_path), str(out)]
    finished_at_kill = []
    for shards in (1, 7, 20):  # kill once so many shards are finished
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while process.poll() is None and len(list(out.glob("images-*.json"))) < shards:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
        finished_at_kill.append(len(list(out.glob("images-*.json"))))
        assert not (out / "pack.json").exists() or process.returncode == 0
    kept = {file.name: file.stat().st_mtime_ns for file in out.glob("images-*.json")}
    untouched = {file.name: file.stat().st_mtime_ns for file in out.glob("images-*.npy")}
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    pack = Pack.open(out)
    assert finished_at_kill == sorted(finished_at_kill)
    assert kept, "the last kill came too late to show anything"
    for name in kept:
        shard_file = name.replace(".json", ".npy")
        assert (out / shard_file).stat().st_mtime_ns == untouched[shard_file]
    assert pack.ids == whole.ids
    rows = np.arange(len(pack))
    np.testing.assert_array_equal(pack.images(rows), whole.images(rows))
    assert sha256(out / "samples.csv") == sha256(tmp_path / "whole" / "samples.csv")
    assert (out / "rejected.csv").read_text() == "id,file,reason\ns5,s5_red.png,0 bytes\n"
    left = {file.name for file in out.iterdir()} - {shard.file for shard in pack.shards}
    assert left == {".lock", "pack.json", "rejected.csv", "samples.csv", "taxonomy.yaml"}


def test_a_half_finished_pack_belongs_to_its_request(tmp_path, small_shards, monkeypatch):
    write_folder(tmp_path / "images", 9)
    from hpa_hier.data.pack import fill

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fill, "write_shard", stop)
        with pytest.raises(KeyboardInterrupt):
            build_pack(request(tmp_path))
    with pytest.raises(UserError, match="holds a half-finished pack of other images, labels or settings"):
        build_pack(request(tmp_path, size=20))
    assert len(build_pack(request(tmp_path)).pack) == 9


# opening


def test_a_folder_without_a_finished_pack_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no finished pack \(pack.json is missing\)"):
        Pack.open(tmp_path)


def test_an_edited_samples_file_is_noticed(tmp_path):
    write_folder(tmp_path / "images", 3)
    build_pack(request(tmp_path))
    samples = tmp_path / "pack" / "samples.csv"
    samples.write_text(samples.read_text().replace("Nucleoplasm", "Cytosol"))
    with pytest.raises(UserError, match=r"samples.csv: was edited after packing; edit the label table and pack again"):
        Pack.open(tmp_path / "pack")


@pytest.mark.parametrize("harm", ["shorter", "gone", "other shape"])
def test_a_harmed_shard_is_noticed(tmp_path, harm):
    write_folder(tmp_path / "images", 3)
    build_pack(request(tmp_path))
    shard_file = tmp_path / "pack" / "images-00000.npy"
    if harm == "shorter":
        os.truncate(shard_file, shard_file.stat().st_size - 1)
    elif harm == "gone":
        shard_file.unlink()
    else:
        np.save(shard_file, np.zeros((3, 4, 8, 8), np.uint8))
    with pytest.raises(UserError, match=r"images-00000.npy: .*; pack the images again"):
        Pack.open(tmp_path / "pack").images(np.array([0]))


def test_an_unknown_format_is_refused(tmp_path):
    write_folder(tmp_path / "images", 1)
    build_pack(request(tmp_path))
    file = tmp_path / "pack" / "pack.json"
    file.write_text(json.dumps(read_json(file) | {"format": 99}))
    with pytest.raises(UserError, match="not a pack of format 1; pack the images again"):
        Pack.open(tmp_path / "pack")


def test_samples_that_a_pack_lacks_are_named(tmp_path):
    write_folder(tmp_path / "images", 2)
    pack = build_pack(request(tmp_path)).pack
    with pytest.raises(UserError, match="1 of 2 samples are not in this pack, as 'zz'"):
        pack.find_rows(["s0", "zz"])


# taxonomies change


def test_a_renamed_leaf_keeps_its_images(tmp_path):
    write_folder(tmp_path / "images", 9)
    pack = build_pack(request(tmp_path)).pack
    renamed = Taxonomy.from_text(TREE.text.replace("Golgi apparatus: {", "Golgi: {"))
    before, after = pack.targets(TREE).present, pack.targets(renamed).present
    np.testing.assert_array_equal(before[:, TREE.column["Golgi apparatus"]], after[:, renamed.column["Golgi"]])


def test_a_leaf_that_left_the_taxonomy_is_named(tmp_path):
    write_folder(tmp_path / "images", 9)
    pack = build_pack(request(tmp_path)).pack
    other = Taxonomy.load("hierarchy/hpa19_single_cell.yaml")
    with pytest.raises(UserError, match=r"annotated nodes of .* have no place in 'hpa19_single_cell': .*Peroxisomes"):
        pack.targets(other)


# simulated images, duplicates, audit


def simulated(folder: Path, images: list[np.ndarray], groups: list[str]) -> Pack:
    ids = [f"d{i}" for i in range(len(images))]
    write_simulated_pack(folder, iter(images), ids, [("Cytosol",)] * len(ids), groups, CHANNELS, TREE, "simulated")
    return Pack.open(folder)


def test_simulated_images_make_a_pack_that_says_so(tmp_path, small_shards):
    images = [np.full((4, 16, 16), i, np.uint8) for i in range(10)]
    pack = simulated(tmp_path / "pack", images, [""] * 10)
    assert (pack.simulated, pack.facts.note, len(pack.shards)) == (True, "simulated", 3)
    np.testing.assert_array_equal(pack.images(np.arange(10)), np.stack(images))
    with pytest.raises(UserError, match="already holds a finished pack; name another folder, or remove this one"):
        simulated(tmp_path / "pack", images, [""] * 10)


def test_groups_that_share_a_picture_are_joined():
    rows = [("a", "1", "x"), ("b", "1", "y"), ("c", "2", "y"), ("d", "", "z"), ("e", "", "z"), ("f", "", "w")]
    samples = [Sample(i, (), group, pixels, ()) for i, group, pixels in rows]
    assert join_groups(samples) == ("1+2", "1+2", "1+2", "pixels-z", "pixels-z", "")


def test_identical_pictures_never_stand_in_two_parts(tmp_path):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (4, 16, 16), dtype=np.uint8) for _ in range(30)] * 2
    pack = simulated(tmp_path / "pack", images, [""] * 60)
    together = split_pack(pack, SplitSettings())
    assert len(audit(pack, TREE, together).duplicates) == 30
    assert audit(pack, TREE, together).across_parts == ()
    apart = make_split(pack.ids, np.ones((60, 1), bool), pack.groups, SplitSettings())
    assert audit(pack, TREE, apart).across_parts


def test_an_audit_finds_constant_channels_and_dark_images(tmp_path):
    bright = np.random.default_rng(0).integers(0, 255, (4, 16, 16), dtype=np.uint8)
    flat, dark = bright.copy(), bright // 32
    flat[1] = 7
    found = audit(simulated(tmp_path / "pack", [bright, flat, dark], ["", "", ""]), TREE)
    assert (found.flaws, found.dark) == ({"green is empty, and it is the protein": ("d1",)}, ("d2",))
    assert found.counts["Cytosol"] == 3


@pytest.mark.parametrize("hot", [0, 4095, 65535])
def test_an_audit_finds_12_bits_whatever_a_few_hot_pixels_are(tmp_path, hot):
    rng = np.random.default_rng(0)
    planes = rng.integers(0, 4096, (4, 64, 64)).astype(np.uint16)
    planes[:, 3, 5] = hot
    image = np.stack([to_uint8(plane, "depth") for plane in planes])
    bright = rng.integers(0, 256, (4, 64, 64)).astype(np.uint8)
    assert audit(simulated(tmp_path / "pack", [image, bright], ["", ""]), TREE).dark == ("d0",)


def test_an_audit_finds_a_flipped_byte(tmp_path):
    pack = simulated(tmp_path / "pack", [np.zeros((4, 16, 16), np.uint8)], [""])
    assert audit(pack, TREE).damaged == ()
    shard_file = tmp_path / "pack" / "images-00000.npy"
    content = bytearray(shard_file.read_bytes())
    content[-1] ^= 1
    shard_file.write_bytes(content)
    assert audit(Pack.open(tmp_path / "pack"), TREE).damaged == ("images-00000.npy",)


@pytest.mark.parametrize("key", ["facts", "shards", "digest"])
def test_an_edited_pack_json_is_noticed(tmp_path, key):
    simulated(tmp_path / "pack", [np.zeros((4, 16, 16), np.uint8)], [""])
    file = tmp_path / "pack" / "pack.json"
    file.write_text(json.dumps({k: v for k, v in read_json(file).items() if k != key}))
    with pytest.raises(UserError, match=rf"pack.json: was edited \({key}: Field required\); pack the images again"):
        Pack.open(tmp_path / "pack")


def test_a_full_disk_is_reported_and_the_same_command_resumes(tmp_path, small_shards, monkeypatch):
    write_folder(tmp_path / "images", 9)
    from hpa_hier.data.pack import fill

    def full(folder: Path, number: int, images: np.ndarray) -> shard.Shard:
        if number == 1:
            raise OSError(28, "No space left on device")
        return shard.write_shard(folder, number, images)

    with monkeypatch.context() as patch:
        patch.setattr(fill, "write_shard", full)
        with pytest.raises(
            UserError, match=r"pack: cannot be written to \(No space left on device\); the same command"
        ):
            build_pack(request(tmp_path))
    report = build_pack(request(tmp_path))
    assert (len(report.pack), report.reused_shards) == (9, 1)


def test_shards_stay_within_memory_and_file_handles():
    assert rows_per_shard(31_072, 4, 128) == 1024
    assert rows_per_shard(31_072, 4, 512) == 256
    for count, size in ((31_072, 2048), (1_000_000, 64), (3, 2048)):
        assert -(-count // rows_per_shard(count, 4, size)) <= max(500, count // 1024 + 1)


def test_the_atlas_fields_and_the_dictionary_are_packed(shared_data, tmp_path):
    hpa = shared_data / "hpa"
    fields = request(tmp_path, images=hpa / "fields", labels=hpa / "fields" / "labels.csv", size=64)
    with pytest.raises(UserError, match=r"image without row \(1\): 1000_A12_2"):
        build_pack(fields)
    report = build_pack(request(tmp_path, images=fields.images, labels=fields.labels, on_problem="skip"))
    assert report.pack.nodes == (("Cytosol",), ("Endoplasmic reticulum",), ("Plasma membrane",))
    shown = hpa / "dictionary"
    settings = {"images": shown, "labels": shown / "labels.csv", "out": tmp_path / "dictionary"}
    pack = build_pack(request(tmp_path, may_be_missing=("yellow",), **settings)).pack
    assert (len(pack), pack.filled) == (28, {"yellow": 28})
    assert pack.targets(TREE).present[:, [TREE.column[leaf] for leaf in TREE.leaves]].sum() == 28


def test_wells_of_one_name_are_matched_with_rows_by_their_plate(tmp_path):
    for seed, plate in enumerate(("plate1", "plate2")):
        write_sample(tmp_path / "images" / plate, "A01", seed=seed)
    (tmp_path / "labels.csv").write_text("image,plate,Target\nA01.png,2,3\nplate1/A01.png,,5\n")
    pack = build_pack(request(tmp_path)).pack
    tree = pack.taxonomy
    assert dict(zip(pack.ids, pack.nodes, strict=True)) == {
        "plate2_A01": (tree.find_node("3"),),
        "plate1_A01": (tree.find_node("5"),),
    }
    (tmp_path / "labels.csv").write_text("image,Target\nA01.png,3\n")
    with pytest.raises(
        UserError, match=r"row that fits several images; .* \(1\): A01 is in plate1, plate2; write the path"
    ):
        build_pack(request(tmp_path, on_problem="stop", out=tmp_path / "other"))


@pytest.mark.parametrize(
    ("out", "why"),
    [("images", "is the folder of images itself"), ("images/plate", "holds pictures, such as s0_blue.png")],
)
def test_a_pack_is_not_written_among_the_images(tmp_path, out, why):
    write_folder(tmp_path / "images" / "plate", 2).rename(tmp_path / "labels.csv")
    before = sorted((tmp_path / "images").rglob("*"))
    with pytest.raises(UserError, match=rf"--out .*: {why}; name another folder"):
        build_pack(request(tmp_path, out=tmp_path / out))
    assert sorted((tmp_path / "images").rglob("*")) == before


def test_a_pack_in_a_folder_of_its_own_below_the_images_is_no_image(tmp_path):
    write_folder(tmp_path / "images", 2)
    made = build_pack(request(tmp_path, out=tmp_path / "images" / "pack")).pack
    again = build_pack(request(tmp_path, out=tmp_path / "other")).pack
    assert made.ids == again.ids == ("s0", "s1")


def test_linked_images_are_packed_where_that_is_asked_for(tmp_path):
    write_folder(tmp_path / "store", 3)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "plate").symlink_to(tmp_path / "store")
    with pytest.raises(UserError, match=r"of 1 images none can be used; plate: a link .*; --follow-links reads it"):
        build_pack(request(tmp_path))
    assert build_pack(request(tmp_path, follow_links=True)).pack.ids == ("s0", "s1", "s2")


def test_an_image_that_cannot_be_used_is_named_beside_the_row_that_lacks_it(tmp_path):
    table = write_folder(tmp_path / "images", 1)
    tifffile.imwrite(tmp_path / "images" / "t1_GREYISH.tif", np.zeros((8, 8), np.uint8))
    table.write_text("Id,Target\ns0,0\nt1,1\n")
    message = r"image that cannot be used \(1\): t1_GREYISH.tif: one grey plane.*\n  row without image \(1\): t1"
    with pytest.raises(UserError, match=message):
        build_pack(request(tmp_path))
