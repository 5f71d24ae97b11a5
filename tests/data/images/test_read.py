"""Reading images: the four forms, and every bad file with its reason."""

from __future__ import annotations

import os
import time
import unicodedata
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from image_folders import CHANNELS, planes, png, tinted, write, write_sample

from hpa_hier.data.images.channels import ChannelHint, parse_hint, split_name
from hpa_hier.data.images.read import convert_plane, read_image, to_uint8
from hpa_hier.data.images.reader import Layout, UnreadableImage
from hpa_hier.data.images.readers import READERS
from hpa_hier.data.images.scan import scan
from hpa_hier.data.labels.ids import ID_RULE
from hpa_hier.data.pack.build import build_pack
from hpa_hier.data.pack.matching import PackRequest
from hpa_hier.errors import UserError
from hpa_hier.taxonomy import Taxonomy


def only(folder: Path, channels: str | None = None):
    found = scan(folder, channels)
    assert found.rejects == ()
    assert len(found.sources) == 1
    return found.sources[0]


def reason(folder: Path, channels: str | None = None) -> str:
    """Return why the one sample of a folder cannot be used, at scanning or at reading."""
    found = scan(folder, channels)
    if found.rejects:
        return found.rejects[0].reason
    with pytest.raises(UnreadableImage) as raised:
        read_image(found.sources[0], 16, CHANNELS[:3], "depth")
    return raised.value.reason


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_with_alpha_is_one_grey_plane(tmp_path, dtype):
    pixels = np.arange(64, dtype=dtype).reshape(8, 8) * (np.iinfo(dtype).max // 64)
    rows = np.dstack([pixels, np.full_like(pixels, np.iinfo(dtype).max)]).astype(f">u{pixels.itemsize}")
    data = b"".join(b"\0" + row.tobytes() for row in rows)  # filter 0, then grey and alpha
    content = png(8, 8, pixels.itemsize * 8, data, colours=4)
    (tmp_path / "a_green.png").write_bytes(content)
    np.testing.assert_array_equal(
        read_image(only(tmp_path), 8, ("green",), "depth").image[0], to_uint8(pixels, "depth")
    )
    (tmp_path / "a_green.png").rename(tmp_path / "a.png")
    assert reason(tmp_path).startswith("one grey plane, and no channel in its name")


# the four forms


@pytest.mark.parametrize("suffix", [".png", ".tif", ".PNG"])
def test_competition_files_are_one_grey_file_a_channel(tmp_path, suffix):
    made = write_sample(tmp_path, "a")
    for file in tmp_path.glob("*.png"):
        write(file.with_suffix(suffix.lower()), cv2.imread(str(file), cv2.IMREAD_UNCHANGED))
        if suffix != ".png":
            (file.rename if suffix == ".PNG" else lambda _, f=file: f.unlink())(file.with_suffix(suffix))
    source = only(tmp_path)
    reading = read_image(source, 32, CHANNELS, "depth")
    assert reading.missing == ()
    np.testing.assert_array_equal(reading.image, np.stack([made[c] for c in CHANNELS]))


def test_sixteen_bits_become_eight_by_depth(tmp_path):
    made = write_sample(tmp_path, "a", dtype=np.uint16)
    image = read_image(only(tmp_path), 32, ("blue",), "depth").image
    np.testing.assert_array_equal(image[0], np.rint(made["blue"] / 257).astype(np.uint8))


def test_atlas_files_are_coloured_and_give_their_largest_component(tmp_path):
    made = planes(0)
    for channel, plane in made.items():
        write(tmp_path / f"800_A6_1_{channel}.png", tinted(plane, channel))
    image = read_image(only(tmp_path), 32, CHANNELS, "depth").image
    np.testing.assert_array_equal(image, np.stack([made[c] for c in CHANNELS]))


def test_one_rgb_file_holds_microtubules_protein_and_nucleus(tmp_path):
    made = planes(0)
    write(tmp_path / "0-1-a.png", np.dstack([made[c] for c in CHANNELS[:3]]))
    source = only(tmp_path)
    reading = read_image(source, 32, CHANNELS, "depth", may_be_missing=("yellow",))
    assert (source.missing_channels(CHANNELS), reading.missing) == (("yellow",), ("yellow",))
    np.testing.assert_array_equal(reading.image[:3], np.stack([made[c] for c in CHANNELS[:3]]))
    assert not reading.image[3].any()


def test_the_atlas_overlay_is_an_rgb_file_and_no_green_channel(tmp_path):
    made = planes(0)
    write(tmp_path / "800_A6_1_blue_red_green.png", np.dstack([made[c] for c in CHANNELS[:3]]))
    source = only(tmp_path)
    assert source.id == "800_A6_1"
    np.testing.assert_array_equal(read_image(source, 32, ("green",), "depth").image[0], made["green"])


def test_an_overlay_beside_a_file_per_channel_is_left_aside_and_named(tmp_path):
    write_sample(tmp_path, "a")
    write(tmp_path / "a_blue_red_green.png", np.zeros((32, 32, 3), np.uint8))
    found = scan(tmp_path)
    assert [len(source.planes) for source in found.sources] == [4]
    assert found.ignored == ("a_blue_red_green.png",)


@pytest.mark.parametrize("writer", ["ome", "imagej"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_tiff_of_several_planes_is_read_by_the_names_in_it(tmp_path, writer, dtype):
    made = planes(0, dtype=dtype)
    names = ["DAPI", "protein", "ER", "Microtubules"]
    stack = np.stack([made[c] for c in ("blue", "green", "yellow", "red")])
    extra = {"Channel": {"Name": names}} if writer == "ome" else {"Labels": names}
    tifffile.imwrite(tmp_path / "a.ome.tif", stack, **{writer: True}, metadata={"axes": "CYX", **extra})
    source = only(tmp_path)
    image = read_image(source, 32, CHANNELS, "depth").image
    assert source.id == "a"
    np.testing.assert_array_equal(image, np.stack([to_uint8(made[c], "depth") for c in CHANNELS]))


def write_ome(path: Path, stack: np.ndarray, channels: str) -> None:
    description = (
        "<?xml version='1.0' encoding='UTF-8'?><OME xmlns='http://www.openmicroscopy.org/Schemas/OME/2016-06'>"
        f"<Image ID='Image:0'><Pixels ID='Pixels:0' DimensionOrder='XYCZT' Type='uint8' SizeX='{stack.shape[2]}' "
        f"SizeY='{stack.shape[1]}' SizeC='{len(stack)}' SizeZ='1' SizeT='1'>{channels}"
        "<TiffData/></Pixels></Image></OME>"
    )
    tifffile.imwrite(path, stack, description=description.encode(), metadata=None, photometric="minisblack")


def test_ome_names_are_read_in_any_spelling_of_xml(tmp_path):
    made = planes(0)
    write_ome(
        tmp_path / "a.ome.tif",
        np.stack([made[c] for c in ("blue", "green", "red")]),
        "<Channel Name='DAPI' ID='Channel:0'/><Channel ID='Channel:1' Name=\"G&#70;P &amp; x\"/>"
        "<Channel\n\tName = 'Tubulin'><LightPath/></Channel>",
    )
    image = read_image(only(tmp_path, "green=gfp & x"), 32, CHANNELS[:3], "depth").image
    np.testing.assert_array_equal(image, np.stack([made[c] for c in CHANNELS[:3]]))


def test_names_that_no_channel_has_are_shown(tmp_path):
    write_ome(tmp_path / "a.ome.tif", np.zeros((2, 32, 32), np.uint8), "<Channel Name='0488'/><Channel Name='x'/>")
    assert "2 planes without known names (it calls them 0488, x); say which is which" in reason(tmp_path)


@pytest.mark.parametrize("hostile", ["<Channel " * 100_000, "<a>" * 100_000, "<Channel Name='" + "x" * 900_000])
def test_a_hostile_description_takes_no_time(tmp_path, hostile):
    write_ome(tmp_path / "a.ome.tif", np.zeros((2, 32, 32), np.uint8), hostile)
    began = time.process_time()
    assert reason(tmp_path)
    assert time.process_time() - began < 2


class NpyReader:
    """A format of the test's own: arrays of planes."""

    def layout(self, path: Path) -> Layout:
        return Layout(planes=len(np.load(path, mmap_mode="r", allow_pickle=False)), names=("dapi", "protein"))

    def read(self, path: Path) -> np.ndarray:
        return np.load(path, allow_pickle=False)


def test_a_new_format_takes_one_reader_and_one_row(tmp_path, monkeypatch):
    monkeypatch.setitem(READERS, ".npy", NpyReader())
    made = planes(0)
    (tmp_path / "images").mkdir()
    np.save(tmp_path / "images" / "a.npy", np.stack([made["blue"], made["green"]]))
    (tmp_path / "labels.csv").write_text("Id,Target\na,0\n")
    tree = Taxonomy.load("hierarchy/hpa28.yaml")
    request = PackRequest(
        tmp_path / "images", tmp_path / "labels.csv", tmp_path / "pack", tree, size=32, channels=("green", "blue")
    )
    pack = build_pack(request).pack
    np.testing.assert_array_equal(pack.images(np.array([0]))[0], np.stack([made["green"], made["blue"]]))


@pytest.mark.parametrize("axis", [0, 2])
def test_a_tiff_without_names_needs_channels(tmp_path, axis):
    made = planes(0)
    stack = np.stack([made[c] for c in ("blue", "green", "red", "yellow")], axis=axis)
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    assert reason(tmp_path) == (
        "4 planes without known names; say which is which, as in --channels red,green,blue,yellow"
    )
    image = read_image(only(tmp_path, "blue,green,red,-"), 32, ("red", "green", "blue"), "depth").image
    np.testing.assert_array_equal(image, np.stack([made[c] for c in ("red", "green", "blue")]))


def test_an_rgb_tiff_is_read_like_any_rgb_file(tmp_path):
    made = planes(0)
    tifffile.imwrite(tmp_path / "a.tif", np.dstack([made[c] for c in CHANNELS[:3]]), photometric="rgb")
    image = read_image(only(tmp_path), 32, CHANNELS[:3], "depth").image
    np.testing.assert_array_equal(image, np.stack([made[c] for c in CHANNELS[:3]]))


def test_own_channel_names_are_given_with_channels(tmp_path):
    made = planes(0)
    for channel, name in (("red", "tubulin"), ("green", "GFP"), ("blue", "dapi")):
        write(tmp_path / f"plate1-{name}.png", made[channel])
    image = read_image(only(tmp_path, "red=tubulin,green=gfp,blue=DAPI"), 32, ("green", "blue"), "depth").image
    np.testing.assert_array_equal(image, np.stack([made["green"], made["blue"]]))


# what a folder may hold besides


def test_a_missing_channel_that_is_not_allowed_is_named(tmp_path):
    write_sample(tmp_path, "a")
    (tmp_path / "a_yellow.png").unlink()
    source = only(tmp_path)
    assert source.missing_channels(CHANNELS) == ("yellow",)
    with pytest.raises(
        UnreadableImage,
        match="channel yellow of a is missing; --may-be-missing yellow fills missing channels with zeros",
    ):
        read_image(source, 16, CHANNELS, "depth")


def test_other_files_are_left_aside_and_named(tmp_path):
    write_sample(tmp_path, "a")
    (tmp_path / "labels.csv").write_text("Id,Target\n")
    (tmp_path / ".hidden_red.png").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    found = scan(tmp_path)
    assert found.ignored == (".hidden_red.png", "labels.csv")
    assert (len(found.sources), found.rejects) == (1, ())


def test_an_absent_and_an_empty_folder_are_distinguished(tmp_path):
    with pytest.raises(UserError, match="absent: no such file or folder; check the path"):
        scan(tmp_path / "absent")
    with pytest.raises(
        UserError,
        match=r"no image among 0 entries of it and its sub-folders; PNG, JPEG, TIFF and OME-Zarr are read",
    ):
        scan(tmp_path)


def test_one_bad_file_leaves_the_rest_usable(tmp_path):
    write_sample(tmp_path, "good")
    write_sample(tmp_path, "bad")
    (tmp_path / "bad_red.png").unlink()
    (tmp_path / "bad_red.png").mkdir()
    found = scan(tmp_path)
    assert [source.id for source in found.sources] == ["good"]
    assert [(r.id, r.file, r.reason) for r in found.rejects] == [
        ("bad", "bad_red.png", "a folder with an image's name")
    ]


# bad files


def test_a_truncated_png_is_refused(tmp_path):
    file = write(tmp_path / "a_red.png", planes(0)["red"])
    file.write_bytes(file.read_bytes()[:500])
    assert reason(tmp_path) == (
        "channel green, blue of a is missing; "
        "green is the protein and is never filled with zeros; name it, as in --channels green=GFP"
    )
    for channel in ("green", "blue"):
        write(tmp_path / f"a_{channel}.png", planes(0)[channel])
    assert reason(tmp_path) == "damaged or truncated: Truncated File Read"


def with_red(folder: Path, content: bytes, name: str = "a_red.png") -> str:
    for channel in ("green", "blue"):
        write(folder / f"a_{channel}.png", planes(0)[channel])
    (folder / name).write_bytes(content)
    return reason(folder)


def test_a_truncated_jpeg_is_refused(tmp_path):
    whole = cv2.imencode(".jpg", planes(0)["red"])[1].tobytes()
    for cut in (1, 2, 200):
        assert "damaged or truncated: Premature end of JPEG file" in with_red(tmp_path, whole[:-cut], "a_red.jpg")


def test_a_png_with_a_flipped_byte_is_refused(tmp_path):
    whole = bytearray(cv2.imencode(".png", planes(0)["red"])[1].tobytes())
    whole[200] ^= 1
    assert with_red(tmp_path, bytes(whole)) == (
        "damaged or truncated: broken PNG file (bad header checksum in b'IDAT')"
    )


def test_a_png_without_its_end_mark_is_refused(tmp_path):
    whole = cv2.imencode(".png", planes(0)["red"])[1].tobytes()
    assert with_red(tmp_path, whole[:-12]) == "damaged or truncated: truncated PNG file"
    for damaged in (whole[:-1], whole[:-4], whole[:-1] + bytes([whole[-1] ^ 1])):
        assert with_red(tmp_path, damaged) == "damaged or truncated: the PNG has no whole end mark"


def test_a_png_with_too_few_pixels_is_refused(tmp_path, capfd):
    told = with_red(tmp_path, png(32, 32, pixels=b"\0" * 100))
    assert told == "damaged or truncated: image file is truncated (0 bytes not processed)"


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path):
    assert with_red(tmp_path, png(40_000, 40_000)) == ("claims over 134,217,728 pixels; at most 67,108,864 are read")
    assert with_red(tmp_path, png(10_000, 10_000)) == "claims 10000 × 10000 pixels; at most 67,108,864 are read"


def test_more_pixels_than_the_bytes_can_hold_are_refused_before_decoding(tmp_path):
    content = png(8000, 8000, pixels=b"\0" * 100)
    expected = f"damaged: claims 8000 × 8000 pixels in {len(content)} bytes, which cannot hold them"
    assert with_red(tmp_path, content) == expected


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_black_channel_is_read_however_well_it_is_compressed(tmp_path, suffix):
    write(tmp_path / f"a_red{suffix}", np.zeros((4096, 4096), np.uint8))
    assert not read_image(only(tmp_path), 16, ("red",), "depth").image.any()


def test_an_empty_file_is_refused(tmp_path):
    assert with_red(tmp_path, b"") == "0 bytes"
    (tmp_path / "a_red.png").unlink()
    assert with_red(tmp_path, b"", "a_red.tif") == "0 bytes"


def test_another_format_under_an_image_name_is_refused(tmp_path):
    assert with_red(tmp_path, b"%PDF-1.7 and more") == ("neither a PNG nor a JPEG header: it begins with b'%PDF-1.7'")


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_a_png_of_few_bits_is_refused(tmp_path, bits):
    many = "bit" if bits == 1 else "bits"
    assert with_red(tmp_path, png(32, 32, bits=bits)) == f"{bits} {many} a channel; save it with 8 or 16"


@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.uint32])
def test_a_tiff_of_another_depth_is_refused(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "a_red.tif", np.zeros((32, 32), dtype))
    content = (tmp_path / "a_red.tif").read_bytes()
    expected = f"{np.dtype(dtype)} pixels; save it with 8 or 16 bits, unsigned, as in Fiji: Image > Type > 16-bit"
    assert with_red(tmp_path, content, "a_red.tif") == expected


def test_a_truncated_tiff_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a_red.tif", planes(0)["red"])
    content = (tmp_path / "a_red.tif").read_bytes()[:-100]
    expected = f"truncated: its planes reach past its {len(content):,} bytes"
    assert with_red(tmp_path, content, "a_red.tif") == expected


def test_a_tiff_bomb_is_refused_before_it_is_decoded(tmp_path):
    tifffile.imwrite(tmp_path / "a_red.tif", np.zeros((9000, 9000), np.uint8), compression="zlib")
    content = (tmp_path / "a_red.tif").read_bytes()
    assert len(content) < 1_000_000
    assert with_red(tmp_path, content, "a_red.tif") == "claims 9000 × 9000 pixels; at most 67,108,864 are read"


def test_a_link_that_leaves_the_folder_is_refused(tmp_path):
    outside = write(tmp_path / "outside" / "secret.png", planes(0)["red"])
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a_red.png").symlink_to(outside)
    assert reason(tmp_path / "images") == f"a link that leaves the folder, to {outside}; --follow-links reads it"


def test_a_link_inside_the_folder_is_followed(tmp_path):
    write_sample(tmp_path, "a")
    for channel in CHANNELS:
        (tmp_path / f"b_{channel}.png").symlink_to(tmp_path / f"a_{channel}.png")
    assert [source.id for source in scan(tmp_path).sources] == ["a", "b"]


def test_links_to_nothing_and_pipes_are_refused(tmp_path):
    (tmp_path / "a_red.png").symlink_to(tmp_path / "nothing.png")
    os.mkfifo(tmp_path / "b_red.png")
    assert {r.reason for r in scan(tmp_path).rejects} == {"no regular file, or a link to nothing"}


def test_a_name_that_cannot_be_an_id_is_refused(tmp_path):
    write(tmp_path / "=image_red.png", planes(0)["red"])
    assert reason(tmp_path) == f"'=image' cannot be an id; {ID_RULE}"


@pytest.mark.parametrize("name", ["my image", "Zelle_0_µm_größe", "well A0 (1)", "細胞"])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_name_may_have_blanks_brackets_and_letters_of_any_script(tmp_path, name, form):
    for channel, plane in planes(0).items():
        write(tmp_path / unicodedata.normalize(form, f"{name}_{channel}.png"), plane)
    (source,) = scan(tmp_path).sources
    assert source.id == unicodedata.normalize("NFC", name)


def test_two_files_for_one_channel_are_refused(tmp_path):
    write(tmp_path / "a_red.png", planes(0)["red"])
    write(tmp_path / "a_red.tif", planes(0)["red"])
    assert reason(tmp_path) == "a second file for channel red, beside a_red.png"


def test_two_files_for_one_sample_are_refused(tmp_path):
    for suffix in (".jpg", ".png"):
        write(tmp_path / f"a{suffix}", np.zeros((32, 32, 3), np.uint8))
    assert reason(tmp_path) == "a second file for the sample, beside a.jpg"


def test_channels_of_different_sizes_are_refused(tmp_path):
    write_sample(tmp_path, "a")
    write(tmp_path / "a_blue.png", planes(0, side=16)["blue"])
    assert reason(tmp_path) == "16 × 16 pixels, another channel 32 × 32"


def test_one_grey_file_without_a_channel_in_its_name_is_refused(tmp_path):
    write(tmp_path / "a.png", planes(0)["red"])
    expected = "one grey plane, and no channel in its name; name it <id>_green.png, or as it is"
    assert reason(tmp_path) == expected


def test_a_cmyk_jpeg_is_refused(tmp_path):
    image = pytest.importorskip("PIL.Image").new("CMYK", (32, 32))
    image.save(tmp_path / "a.jpg")
    assert reason(tmp_path) == "a JPEG of CMYK colours; grey (L) and RGB are read"


@given(data=st.data())
@settings(max_examples=150)
def test_no_damage_to_a_file_brings_anything_but_its_reason(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damaged")
    suffix = data.draw(st.sampled_from([".png", ".jpg", ".tif"]))
    file = write(folder / f"a_green{suffix}", planes(0)["green"])
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    for source in scan(folder).sources:
        try:
            reading = read_image(source, 16, ("green",), "depth")
        except UnreadableImage:
            continue
        assert reading.image.shape == (1, 16, 16)


# sizes and intensities


def test_images_that_are_not_square_are_padded_not_stretched():
    wide = np.full((10, 30), 200, np.uint8)
    out = convert_plane(wide, 30, "depth")
    assert out.shape == (30, 30)
    np.testing.assert_array_equal(out[10:20], wide)
    assert not out[:10].any()
    assert not out[20:].any()


def test_a_strip_is_shrunk_before_it_is_padded_so_that_memory_stays_small():
    out = convert_plane(np.full((40, 60_000), 200, np.uint8), 64, "depth")  # a square of 60,000 would take 3.6 GB
    assert np.flatnonzero(out.any(axis=1)).tolist() == [31]
    assert (out[31] == 200).all()


@given(st.integers(16, 100), st.integers(16, 100))
def test_a_constant_plane_stays_constant_at_any_size(side, size):
    assert (convert_plane(np.full((side, side), 77, np.uint8), size, "depth") == 77).all()


def test_shrinking_takes_the_mean_over_the_area():
    plane = np.arange(64, dtype=np.uint8).reshape(8, 8)
    expected = plane.reshape(4, 2, 4, 2).mean(axis=(1, 3))
    assert np.abs(convert_plane(plane, 4, "depth") - expected).max() <= 0.5


@given(st.integers(0, 65_535))
def test_the_depth_rule_keeps_order_and_ends(value):
    pair = to_uint8(np.array([[0, value, 65_535]], np.uint16), "depth")[0]
    assert (pair[0], pair[2]) == (0, 255)
    assert abs(int(pair[1]) - value / 257) <= 0.5


def test_the_percentile_rule_stretches_a_dim_channel_and_takes_a_constant_one():
    dim = np.linspace(100, 400, 10_000).reshape(100, 100).astype(np.uint16)
    stretched = to_uint8(dim, "percentile")
    assert (stretched.min(), stretched.max()) == (0, 255)
    assert not to_uint8(np.full((8, 8), 9, np.uint16), "percentile").any()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 256), st.integers(0, 9))
def test_the_percentile_rule_is_that_of_all_pixels_for_eight_bits_as_for_sixteen(height, width, values, seed):
    plane = np.random.default_rng(seed).integers(0, values, (height, width), dtype=np.uint8)
    np.testing.assert_array_equal(to_uint8(plane, "percentile"), to_uint8(plane.astype(np.uint16), "percentile"))


def test_padding_has_no_share_in_the_percentiles(tmp_path):
    wide = np.linspace(5_000, 9_000, 32 * 16).reshape(16, 32).astype(np.uint16)
    for channel in CHANNELS:
        cv2.imwrite(str(tmp_path / f"a_{channel}.png"), wide)
    image = read_image(scan(tmp_path).sources[0], 32, CHANNELS, "percentile").image
    np.testing.assert_array_equal(image[0, 8:24], to_uint8(wide, "percentile"))
    assert (image[0, 8:24].min(), image[0, 8:24].max()) == (0, 255)


# names


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("800_A6_1_green", ("800_A6_1", "green")),
        ("a.RED", ("a", "red")),
        ("a-Yellow", ("a", "yellow")),
        ("infrared", ("infrared", None)),
        ("red", ("red", None)),
        ("800_A6_1_blue_red_green", ("800_A6_1", None)),
    ],
)
def test_the_channel_is_the_last_word_of_the_name(stem, expected):
    assert split_name(stem, ChannelHint()) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("red,purple", "'purple' is no channel; the channels are red, green, blue, yellow"),
        ("red,red", "red appears twice"),
        ("red=tubulin,green", "either an order .* or names"),
        ("red=", "a name is missing after ="),
    ],
)
def test_what_channels_says_is_checked(text, message):
    with pytest.raises(UserError, match=message):
        parse_hint(text)


# real images


def test_the_atlas_fields_are_read(shared_data):
    found = scan(shared_data / "hpa" / "fields")
    complete = [source for source in found.sources if not source.missing_channels(CHANNELS)]
    assert [source.id for source in complete] == ["57_F11_1", "800_A6_1", "89_B5_1"]
    for source in complete:
        image = read_image(source, 64, CHANNELS, "depth").image
        assert (image.reshape(4, -1).max(axis=1) > 40).all()


def test_the_field_of_one_16_bit_channel_lacks_the_others(shared_data):
    source = next(s for s in scan(shared_data / "hpa" / "fields").sources if s.id == "1000_A12_2")
    assert source.missing_channels(CHANNELS) == ("red", "blue", "yellow")
    assert read_image(source, 64, ("green",), "depth").image.max() > 10  # dim, but for a few hot pixels


def test_the_cell_dictionary_is_read_without_yellow(shared_data):
    found = scan(shared_data / "hpa" / "dictionary")
    assert (len(found.sources), found.rejects, found.ignored) == (28, (), ("labels.csv",))
    reading = read_image(found.sources[0], 64, CHANNELS, "depth", may_be_missing=("yellow",))
    assert reading.missing == ("yellow",)
    assert reading.image[:3].any(axis=(1, 2)).all()


def test_the_competition_channels_are_read(shared_data):
    found = scan(shared_data / "hpa" / "kaggle_channels")
    assert (len(found.sources), found.rejects) == (200, ())
    for source in found.sources[:20]:
        channel = next(iter(source.planes))
        assert read_image(source, 128, (channel,), "depth").image.any()
