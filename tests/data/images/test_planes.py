"""Planes: the names that a file has for its own planes, and what only the user can say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from image_folders import planes, write

from hpa_hier.data.images.channels import parse_hint
from hpa_hier.data.images.planes import find_planes
from hpa_hier.data.images.read import read_image
from hpa_hier.data.images.reader import UnreadableImage
from hpa_hier.data.images.scan import scan
from hpa_hier.data.images.stacks import StackRules
from hpa_hier.errors import UserError


def write_ome(path: Path, channels: str, count: int) -> Path:
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="8" SizeY="8" '
        f'SizeC="{count}" SizeZ="1" SizeT="1">{channels}<TiffData/></Pixels></Image></OME>'
    )
    stack = np.zeros((count, 8, 8), np.uint8)
    tifffile.imwrite(path, stack, description=xml.encode(), metadata=None, photometric="minisblack")
    return path


def write_imagej(path: Path, labels: list[str], axes: str = "CYX", **sizes: int) -> Path:
    sizes = {"C": len(labels), "Y": 8, "X": 8, **sizes}
    stack = np.zeros(tuple(sizes[axis] for axis in axes), np.uint8)
    copies = stack[..., 0, 0].size // len(labels)
    tifffile.imwrite(path, stack, imagej=True, metadata={"axes": axes, "Labels": labels * copies})
    return path


def order(file: Path, hint: str | None = None) -> dict[str, int | None]:
    return {channel: plane.index for channel, plane in find_planes(file, parse_hint(hint)).planes.items()}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["Tubulin", "GFP", "DAPI"], {"red": 0, "green": 1, "blue": 2}),
        (["HOECHST 33342", "Alexa 488"], {"blue": 0, "green": 1}),
        (["EGFP-T2", "DAPI-T1"], {"green": 0, "blue": 1}),  # ZEN
        (["Confocal - Alexa 488", "Confocal - DAPI"], {"green": 0, "blue": 1}),
        (["CSU488", "CSU405"], {"green": 0, "blue": 1}),
        (["405 nm", "488 nm"], {"blue": 0, "green": 1}),
        (["Gray--FLUO--FITC", "Gray--FLUO--DAPI", "TL Brightfield"], {"green": 0, "blue": 1}),
        (["Alexa Fluor 555 anti-tubulin", "AF488", "Calnexin (Alexa 647)"], {"red": 0, "green": 1, "yellow": 2}),
        (["c:1/2 - GFP-exp DAPI", "c:2/2 - GFP-exp FITC"], {"blue": 0, "green": 1}),  # a word that all have is no stain
    ],
)
def test_stains_in_a_files_own_names_are_channels(tmp_path, names, expected):
    assert order(write_imagej(tmp_path / "a.tif", names)) == expected


@pytest.mark.parametrize("axes", ["ZCYX", "TCYX"])
def test_the_labels_of_all_sections_name_the_channels(tmp_path, axes):
    file = write_imagej(tmp_path / "a.tif", ["DAPI", "GFP"], axes, Z=3, T=3)
    assert order(file) == {"blue": 0, "green": 1}


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        (
            "<Channel Name='Channel 0' Fluor='DAPI'/><Channel Name='Channel 1' Fluor='Alexa Fluor 488'/>",
            ["blue", "green"],
        ),
        ("<Channel ExcitationWavelength='405'/><Channel ExcitationWavelength='488.0'/>", ["blue", "green"]),
        ("<Channel EmissionWavelength='461'/><Channel EmissionWavelength='520'/>", ["blue", "green"]),
        ("<Channel Name='DAPI' EmissionWavelength='520'/><Channel Name='GFP'/>", ["blue", "green"]),  # a name says more
    ],
)
def test_ome_dyes_and_wavelengths_say_what_names_do_not(tmp_path, channels, expected):
    file = write_ome(tmp_path / "a.ome.tif", channels, 2)
    assert list(order(file)) == expected


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["MTs", "Prot", "Chromatin"],
            r"\(it calls them MTs, Prot, Chromatin\); say which is which, as in --channels ",
        ),
        (
            ["DAPI", "Prot"],
            "none of DAPI, Prot is known as the protein; say which, as in --channels green=Prot,blue=DAPI",
        ),
        (["DAPI", "GFP", "Cy3"], "Cy3 may be microtubules, .*--channels red=Cy3,green=GFP,blue=DAPI"),
        (["DAPI", "FITC", "GFP"], "FITC and GFP would both be the protein; say which"),
        (["Channel 0", "Channel 1", "Channel 2"], "as in --channels red,green,blue$"),
        (["Ch1", "Ch2"], "as in --channels green,blue$"),
        (["a", "b", "c", "d", "e", "f"], "as in --channels red=c,green=b,blue=a,yellow=d$"),
        (["x", "x"], "as in --channels "),
    ],
)
def test_what_is_not_clear_is_asked_with_a_flag_that_answers(tmp_path, names, message):
    file = write_imagej(tmp_path / "a.tif", names)
    with pytest.raises(UnreadableImage, match=message) as raised:
        find_planes(file, parse_hint(None))
    answer = str(raised.value).partition("--channels ")[2].strip("'")
    assert "green" in order(file, answer)  # pasted, it works


def test_names_with_what_separates_a_list_can_be_typed(tmp_path):
    file = write_imagej(tmp_path / "a.tif", ["a=b, c?", "unknown, too", "third"])
    with pytest.raises(UnreadableImage) as raised:
        find_planes(file, parse_hint(None))
    answer = str(raised.value).partition("--channels ")[2].strip("'")
    assert len(order(file, answer)) >= 2


def test_a_single_named_plane_is_that_channel(tmp_path):
    file = write_ome(tmp_path / "a.ome.tif", "<Channel Name='EGFP'/>", 1)
    assert order(file) == {"green": None}


def test_a_stack_of_one_channel_without_its_name_is_called_what_it_is(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 8, 8), np.uint8), imagej=True, metadata={"axes": "ZYX"})
    with pytest.raises(UnreadableImage, match="a z stack of 4 sections of one channel, and no channel in its name"):
        find_planes(tmp_path / "a.tif", parse_hint(None))


def test_a_name_that_nothing_has_is_refused(tmp_path):
    write_imagej(tmp_path / "a.tif", ["MTs", "MyProt"])
    message = "no file and no plane is called mtz; they are called MTs, MyProt; did you mean 'MTs'?"
    with pytest.raises(UserError) as raised:
        scan(tmp_path, "green=MyProt,red=MTz")
    assert message in str(raised.value)
    with pytest.raises(UserError, match="GFP is given to two channels"):
        scan(tmp_path, "green=GFP,red=GFP")


def test_what_was_taken_for_what_is_said_once(tmp_path):
    for k in range(3):
        write_imagej(tmp_path / f"{k}.tif", ["Tubulin", "GFP", "DAPI", "BF"])
    assert scan(tmp_path).notes[0] == (
        "Tubulin was taken for red (microtubules), GFP for green (the protein), DAPI for blue (the nucleus); "
        "BF was left out"
    )


@pytest.mark.parametrize("rule", ["max", "mean", "middle"])
def test_files_of_a_section_each_are_projected(tmp_path, rule):
    made = [planes(k, side=16)["green"] for k in range(3)]
    for k, plane in enumerate(made):
        write(tmp_path / f"a_z{k:02d}_green.png", plane)
    (source,) = scan(tmp_path).sources
    reading = read_image(source, 16, ("green",), "depth", stacks=StackRules(rule))
    stack = np.stack(made)
    expected = {"max": stack.max(axis=0), "mean": np.floor(stack.mean(axis=0) + 0.5), "middle": stack[1]}[rule]
    np.testing.assert_array_equal(reading.image[0], expected)
    assert (source.id, reading.sections) == ("a", 3)


def test_sections_of_other_sizes_are_refused(tmp_path):
    for k, side in enumerate((16, 16, 8)):
        write(tmp_path / f"a_z{k}_green.png", planes(0, side=side)["green"])
    (source,) = scan(tmp_path).sources
    with pytest.raises(UnreadableImage, match=r"a_z2_green.png: section of 8 × 8 pixels, unlike the first"):
        read_image(source, 16, ("green",), "depth")
