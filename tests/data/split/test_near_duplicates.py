"""Near-duplicates: fingerprints that copies share, a search that misses nothing, splits that keep copies together."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpa_hier.cli.data import main
from hpa_hier.data.pack.audit import audit
from hpa_hier.data.pack.pack import Pack
from hpa_hier.data.pack.simulated_pack import write_simulated_pack
from hpa_hier.data.pack.vector_pack import write_vector_pack
from hpa_hier.data.split import near_duplicates
from hpa_hier.data.split.fingerprint import fingerprints, likeness, thumbnails, turn_codes, turn_images
from hpa_hier.data.split.hamming import find_close_pairs
from hpa_hier.data.split.near_duplicates import MOST_OTHERS, find_near_duplicates, join_groups
from hpa_hier.data.split.split import make_split, read_split, split_pack
from hpa_hier.errors import UserError
from hpa_hier.settings.recipe import SplitSettings
from hpa_hier.taxonomy import Taxonomy

TREE = Taxonomy.load("hierarchy/hpa28.yaml")
CHANNELS = ("red", "green", "blue", "yellow")
SIDE = 64


def field(seed: int) -> np.ndarray:
    """Return blobs on a dark ground, (4, 64, 64) uint8, as different from another seed's as two fields are."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 1, (4, SIDE, SIDE)).astype(np.float32)
    smooth = np.stack([cv2.GaussianBlur(plane, (0, 0), 4) for plane in noise])
    return np.clip(60 + 400 * smooth, 0, 255).astype(np.uint8)


def pack_of(folder: Path, images: list[np.ndarray]) -> Pack:
    ids = [f"d{i}" for i in range(len(images))]
    write_simulated_pack(
        folder, iter(images), ids, [("Cytosol",)] * len(ids), [""] * len(ids), CHANNELS, TREE, "simulated"
    )
    return Pack.open(folder)


def random_codes(seed: int, count: int) -> np.ndarray:
    """Return codes of which many are near each other, and many share their bands."""
    rng = np.random.default_rng(seed)
    codes = rng.choice(rng.integers(0, 1 << 64, 1 + count // 4, dtype=np.uint64), count)
    for place in range(count):
        for bit in rng.integers(0, 64, rng.integers(0, 18)):
            codes[place] ^= np.uint64(1 << int(bit))
    return codes


@given(st.integers(0, 10_000), st.integers(0, 60), st.integers(0, 15))
@settings(max_examples=60)
def test_the_search_finds_just_what_comparing_each_with_each_finds(seed, count, distance):
    codes, queries = random_codes(seed, count), random_codes(seed, count)[::-1].copy()
    for asked in (codes, queries):
        apart = np.bitwise_count(asked[:, None] ^ codes[None, :])
        one, other = np.nonzero((apart <= distance) & np.triu(np.ones_like(apart, dtype=bool), 1))
        found = find_close_pairs(asked, codes, distance)
        np.testing.assert_array_equal(found[0], one)
        np.testing.assert_array_equal(found[1], other)
        np.testing.assert_array_equal(found[2], apart[one, other])


@given(st.integers(0, 10_000), st.integers(0, 60), st.integers(0, 15), st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_pairs_within_a_group_are_left_out_of_the_search_and_no_others(seed, count, distance, kinds):
    codes, groups = random_codes(seed, count), np.random.default_rng(seed).integers(0, kinds, count)
    every = find_close_pairs(codes, codes, distance)
    found = find_close_pairs(codes, codes, distance, groups, most=count + 1)
    between = groups[every.query] != groups[every.code]
    for one, other in zip(found, every, strict=True):
        np.testing.assert_array_equal(one, other[between])


def test_a_code_is_compared_with_so_many_of_each_band_at_most():
    codes = np.zeros(400, np.uint64)
    found = find_close_pairs(codes, codes, 0, most=10)
    assert 400 < len(found.query) <= 10 * 400
    assert len({*found.code.tolist()}) > 5


def test_a_crowd_of_equal_codes_is_searched_in_portions(monkeypatch):
    monkeypatch.setattr("hpa_hier.data.split.hamming._AT_ONCE", 50)
    codes = np.zeros(90, np.uint64)
    assert len(find_close_pairs(codes, codes, 3)[0]) == 90 * 89 // 2


def test_a_distance_beyond_what_is_probed_is_refused():
    with pytest.raises(ValueError, match="distance must be 0 to 15 bits, got 16"):
        find_close_pairs(np.zeros(1, np.uint64), np.zeros(1, np.uint64), 16)


@pytest.mark.parametrize("turn", range(8))
def test_the_fingerprint_of_a_turned_image_is_the_turned_fingerprint(turn):
    images = np.stack([field(seed) for seed in range(20)])
    codes = fingerprints(thumbnails(images))
    there = fingerprints(thumbnails(np.ascontiguousarray(turn_images(images, turn))))
    assert (
        np.bitwise_count(there ^ turn_codes(codes)[turn]).max() <= 1
    )  # a frequency that is nearly 0 may round either way


def test_turning_in_all_eight_ways_gives_eight_different_images_that_end_where_they_began():
    image = np.arange(9).reshape(3, 3)
    seen = {turn_images(image, turn).tobytes() for turn in range(8)}
    assert len(seen) == 8
    codes = fingerprints(thumbnails(field(0)[None]))
    assert len(set(turn_codes(codes)[:, 0].tolist())) == 8


def test_brightness_of_a_channel_and_a_channel_without_contrast_do_not_change_a_fingerprint():
    image = field(1)[None] // 2
    brighter = image.copy()
    brighter[:, 1] *= 2
    flat = image.copy()
    flat[:, 3] = 0
    other = image.copy()
    other[:, 3] = 7
    assert np.bitwise_count(fingerprints(thumbnails(image)) ^ fingerprints(thumbnails(brighter))) <= 1
    np.testing.assert_array_equal(thumbnails(flat), thumbnails(other))


def test_likeness_is_1_for_a_picture_and_itself_and_0_without_contrast():
    small = thumbnails(np.stack([field(0), np.zeros((4, SIDE, SIDE), np.uint8)]))
    np.testing.assert_allclose(likeness(small, small), [1, 0], atol=1e-6)


def copies(image: np.ndarray) -> list[np.ndarray]:
    coded = [cv2.imencode(".jpg", plane, [cv2.IMWRITE_JPEG_QUALITY, 60])[1] for plane in image]
    gain = np.array([0.7, 1.2, 0.9, 1.1])[:, None, None]
    return [
        np.stack([cv2.imdecode(plane, 0) for plane in coded]),
        np.clip(image * gain, 0, 255).astype(np.uint8),
        np.roll(image, 1, axis=2),
        np.rot90(image, axes=(1, 2)).copy(),
        image[:, ::-1].copy(),
    ]


def test_copies_that_were_compressed_brightened_shifted_or_turned_are_found_and_no_other_pair_is(tmp_path):
    originals = [field(seed) for seed in range(40)]
    pack = pack_of(tmp_path / "pack", originals + copies(originals[7]))
    pairs = find_near_duplicates(pack)
    family = {"d7", *(f"d{40 + k}" for k in range(5))}
    assert {pair.id for pair in pairs} | {pair.other for pair in pairs} == family
    by_other = {pair.other: pair for pair in pairs if pair.id == "d7"}
    assert len(by_other) == 5
    assert by_other["d40"].turn == 0
    assert by_other["d44"].turn != 0
    assert by_other["d44"].likeness > 0.99
    assert {p.other for p in find_near_duplicates(pack, turns=False) if p.id == "d7"} == {"d40", "d41", "d42"}


def test_identical_and_empty_images_make_no_pairs(tmp_path):
    blank = np.zeros((4, SIDE, SIDE), np.uint8)
    pack = pack_of(tmp_path / "pack", [field(0), field(0), blank, blank + 1, field(1)])
    assert find_near_duplicates(pack) == ()


def test_near_duplicates_stay_together_where_that_is_asked_for_and_are_reported_where_not(tmp_path, capsys):
    originals = [field(seed) for seed in range(30)]
    pack = pack_of(tmp_path / "pack", originals + [copies(image)[0] for image in originals])
    together = split_pack(pack, SplitSettings(near_duplicates=11))
    assert audit(pack, TREE, together).near_across_parts == ()
    assert len(audit(pack, TREE, together).near) == 30
    apart = make_split(pack.ids, np.ones((60, 1), bool), [""] * 60, SplitSettings())
    assert audit(pack, TREE, apart).near_across_parts
    path, pairs = tmp_path / "split.csv", tmp_path / "pairs.csv"
    where = ["--pack", str(pack.path)]
    main(["split", *where, "--out", str(path), "--near-duplicates", "11"])
    assert len({group for group in read_split(path).groups if group}) == 30
    main(["audit", *where, "--split", str(path), "--pairs", str(pairs)])
    said = capsys.readouterr().out
    assert "images that look the same in different parts of the split: 0 pairs" in said
    assert f"wrote {pairs}: 30 pairs of images that look the same" in said
    rows = [line.split(",") for line in pairs.read_text().splitlines()]
    assert rows[0] == ["id", "other", "bits", "turn", "likeness", "part", "part_of_other"]
    assert all(row[5] == row[6] != "" for row in rows[1:])


def test_a_label_table_has_no_images_to_compare(tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("Id,Target\na,0\n")
    flags = ["split", "--labels", str(table), "--out", str(tmp_path / "split.csv")]
    with pytest.raises(UserError, match="--near-duplicates: a label table has no images to compare; split the pack"):
        main([*flags, "--near-duplicates", "8"])
    with pytest.raises(
        UserError, match=r"--near-duplicates 16: split\.near_duplicates must be less than or equal to 15, got 16"
    ):
        main([*flags, "--near-duplicates", "16"])


def test_vectors_have_no_near_duplicates(tmp_path):
    tree = Taxonomy.load("hierarchy/hpa28.yaml")
    facts = (["a", "b"], [("Cytosol",)] * 2, ["", ""], ["x", "y", "z"], tree, "none")
    write_vector_pack(tmp_path / "pack", np.zeros((2, 3), np.float32), *facts)
    with pytest.raises(UserError, match="pack: holds vectors, and near-duplicates are images; leave split"):
        find_near_duplicates(Pack.open(tmp_path / "pack"))


def film(count: int, seed: int = 0) -> list[np.ndarray]:
    """Return noisy copies of one field."""
    rng = np.random.default_rng(seed)
    return [np.clip(field(seed) + rng.integers(0, 3, (4, SIDE, SIDE)), 0, 255).astype(np.uint8) for _ in range(count)]


def test_frames_of_a_film_are_compared_with_few_others_and_all_joined(tmp_path, monkeypatch):
    made, compared = [], []

    def count_thumbnails(images: np.ndarray) -> np.ndarray:
        made.append(len(images))
        return thumbnails(images)

    def count_pairs(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        compared.append(len(one))
        return likeness(one, other)

    monkeypatch.setattr(near_duplicates, "thumbnails", count_thumbnails)
    monkeypatch.setattr(near_duplicates, "likeness", count_pairs)
    pack = pack_of(tmp_path / "pack", [*film(120), *film(30, seed=1), field(2)])
    pairs = find_near_duplicates(pack)
    groups = join_groups(pack.samples, pairs)
    assert len({*groups[:120]}) == len({*groups[120:150]}) == 1
    assert groups[150] == ""
    assert sum(made) <= 2 * 151
    assert sum(compared) <= 2 * MOST_OTHERS * 151 < 120 * 119 / 2


def test_images_that_only_a_pair_beyond_the_nearest_joins_are_joined(tmp_path, monkeypatch):
    monkeypatch.setattr(near_duplicates, "MOST_OTHERS", 1)
    pack = pack_of(tmp_path / "pack", [*film(12), field(3)])
    (group,) = {*join_groups(pack.samples, find_near_duplicates(pack))[:12]}
    assert group
    monkeypatch.setattr(near_duplicates, "MOST_OTHERS", 99)
    assert len(find_near_duplicates(pack)) == 12 * 11 / 2


def test_a_film_whose_frames_were_turned_is_one_group_of_about_as_many_pairs(tmp_path):
    count = 8 * 66  # more in each of the eight ways than are compared with each other
    frames = [np.ascontiguousarray(turn_images(frame, place % 8)) for place, frame in enumerate(film(count))]
    pack = pack_of(tmp_path / "pack", [*frames, *film(70, seed=1), field(2)])
    pairs = find_near_duplicates(pack)
    groups = join_groups(pack.samples, pairs)
    assert len({*groups[:count]}) == len({*groups[count : count + 70]}) == 1
    assert groups[0] != groups[count]
    assert groups[-1] == ""
    assert len(pairs) < 2 * count
