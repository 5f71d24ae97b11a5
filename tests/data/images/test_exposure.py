"""Exposure: bits that are used, channels that are one picture or empty, saturation."""

from __future__ import annotations

import numpy as np
import pytest
from image_folders import CHANNELS, planes

from hpa_hier.data.images.exposure import Look, choose_rule, look_at, measure_exposure
from hpa_hier.data.images.read import read_image
from hpa_hier.data.images.scan import scan


def doubts(rule: str = "depth", **made: np.ndarray) -> tuple[str, ...]:
    return look_at(made).doubts(rule)


def equal(made: dict[str, np.ndarray]) -> tuple[tuple[str, ...], ...]:
    return look_at(made).equal


def test_an_exposure_is_what_the_sorted_pixels_say():
    plane = np.random.default_rng(0).integers(100, 4000, (60, 50)).astype(np.uint16)
    plane[0, :2] = 9, 65000
    found, ordered = measure_exposure(plane), np.sort(plane.ravel())
    assert (found.depth, found.floor, found.peak, found.bits) == (16, 9, 65000, 16)
    assert (found.low, found.high) == (ordered[2], ordered[2996])  # the 3rd and the 2,997th of 3,000
    assert found.levels == len(np.unique(plane))
    assert found.clipped == pytest.approx(1 / 3000)
    assert found.range_used == pytest.approx((found.high - found.low) / 65535)


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_bits_that_a_16_bit_image_leaves_unused_are_told(bits):
    made = {name: plane >> (16 - bits) for name, plane in planes(1, dtype=np.uint16).items()}
    assert doubts(**made) == (f"only {bits} of 16 bits used, so {'dark' if bits == 14 else 'nearly black'}",)
    assert doubts("percentile", **made) == ()


def test_a_camera_offset_hides_no_unused_range():
    made = {name: (plane >> 5) + np.uint16(100) for name, plane in planes(1, dtype=np.uint16).items()}
    assert doubts(**made) == ("only 12 of 16 bits used, so nearly black",)
    lifted = {name: (plane >> 5) + np.uint16(40_000) for name, plane in planes(1, dtype=np.uint16).items()}
    assert doubts(**lifted) == ("less than a sixteenth of 16 bits used, so nearly black",)


def test_one_channel_that_uses_its_range_is_enough():
    made = planes(1, dtype=np.uint16)
    dim = {**made, "red": made["red"] >> 6, "yellow": made["yellow"] >> 6}
    assert doubts(**dim) == doubts(**planes(2)) == ()


def test_channels_of_one_picture_are_found_whatever_their_brightness():
    made = planes(3, side=40)
    brighter = (made["red"] // 2 + 100).astype(np.uint8)
    assert equal({**made, "green": made["red"].copy(), "blue": brighter}) == (("red", "green", "blue"),)
    assert equal({**made, "yellow": made["blue"]}) == (("blue", "yellow"),)
    assert doubts(**{**made, "yellow": made["blue"]}) == ("blue and yellow are one picture",)
    assert equal(made) == ()


def test_small_images_are_one_picture_only_where_they_are_equal():
    red = np.array([[1, 200], [30, 90]], np.uint8)
    assert equal({"red": red, "green": red // 2}) == ()
    assert equal({"red": red, "green": red.copy()}) == (("red", "green"),)


def test_an_empty_protein_channel_and_an_empty_image_are_told():
    made, none = planes(4), np.full((32, 32), 3, np.uint8)
    assert doubts(**{**made, "green": none}) == ("green is empty, and it is the protein",)
    assert doubts(**{**made, "yellow": none}) == ("yellow is empty",)
    assert doubts(red=none, green=none) == ("empty: all pixels of each channel are alike",)


def test_a_camera_without_light_gives_noise_and_that_is_told():
    rng = np.random.default_rng(8)
    noise = {name: rng.normal(100, 4, (96, 160)).round().astype(np.uint16) for name in CHANNELS}
    noise["green"][20:70, 30:90] += 60000  # cells
    noise["blue"][30:50, 50:70] += 60000  # their nuclei
    assert doubts(**noise) == ("red is nothing but noise", "yellow is nothing but noise")
    dim = {**noise, "green": noise["red"][::-1]}
    assert "green is nothing but noise, and it is the protein" in doubts(**dim)
    assert doubts(red=noise["red"], green=noise["yellow"]) == ("empty: nothing but noise in each channel",)
    assert doubts(red=noise["red"][:63], green=noise["green"][:63]) == ()  # too small to tell


def test_saturated_channels_and_masks_are_told():
    made = planes(5)
    bright = made["green"].copy()
    bright[:6] = 255
    assert doubts(**{**made, "green": bright}) == ("green is saturated",)
    assert doubts(red=made["red"] // 64, green=made["green"] // 64) == ("fewer than 8 grey levels, as a mask has",)


def test_the_rule_is_percentile_where_a_quarter_of_the_images_are_dim():
    bright, dim = Look(16, 16, 0.9, False, ()), Look(16, 12, 0.06, True, ())
    assert choose_rule([bright] * 4 + [dim]) == ("depth", "images use the range of their files")
    assert choose_rule([bright] * 3 + [dim]) == ("percentile", "1 of 4 images use 12 of 16 bits")
    assert choose_rule([dim, dim._replace(bits=10)]) == ("percentile", "2 of 2 images use 10 to 12 of 16 bits")
    empty = Look(8, 3, 0.02, False, ("empty: nothing but noise in each channel",))
    assert choose_rule([bright, empty])[0] == "depth"
    hot = Look(16, 16, 0.15, False, ())  # a few hot pixels above a dim image, as one real field of the atlas
    assert choose_rule([hot]) == ("percentile", "1 of 1 images use less than a quarter of their 16 bits")


def test_new_images_are_compared_with_those_of_training():
    usual = (0.5, 1.0)
    black, dim, good = Look(16, 12, 0.06, True, ()), Look(8, 7, 0.2, False, ()), Look(8, 8, 0.3, False, ())
    assert black.doubts("depth", usual) == ("only 12 of 16 bits used, so nearly black",)
    assert dim.doubts("depth", usual) == ("much darker than the training images",)
    assert good.doubts("depth", usual) == dim.doubts("percentile", usual) == ()
    assert black.doubts("depth", (0.05, 0.06)) == ()  # as its training images were
    assert good.doubts("depth", (0.05, 0.06)) == ("much brighter than the training images",)


def test_nothing_is_said_of_real_fields(shared_data):
    for folder, channels in (("complete", CHANNELS), ("dictionary", CHANNELS[:3])):
        sources = scan(shared_data / "hpa" / folder).sources[::4]
        looks = [read_image(source, 16, channels, "depth").look for source in sources]
        assert len(looks) >= 7
        assert [look.doubts("depth") for look in looks] == [()] * len(looks)
        assert choose_rule(looks)[0] == "depth"


def test_stains_that_lie_on_each_other_are_no_one_picture():
    green = np.random.default_rng(0).normal(100, 40, (64, 64)).clip(0, 255)
    red = green + np.random.default_rng(1).normal(0, 12, green.shape)  # as a protein of the microtubules may do
    both = {name: plane.clip(0, 255).astype(np.uint8) for name, plane in (("red", red), ("green", green))}
    assert np.corrcoef(both["red"].ravel(), both["green"].ravel())[0, 1] > 0.95
    assert equal(both) == ()
    assert equal({**both, "red": (both["green"] // 3 + 20).astype(np.uint8)}) == (("red", "green"),)
