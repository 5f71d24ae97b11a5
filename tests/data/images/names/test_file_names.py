"""File names: the names that microscopes and people give, and what they mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from image_folders import planes, write

from hpa_hier.data.images.channels import parse_hint
from hpa_hier.data.images.names.file_names import Place, place_files

GUID = "A1B2C3D4-95E9-4466-8707-1234567890{:02d}"


def place(
    folder: Path, *names: str, hint: str | None = None, colour: bool = False, suffix: str = ".tif"
) -> list[Place]:
    """Write a small file of each name and place them; coloured ones are RGB."""
    files = []
    for k, name in enumerate(names):
        grey = planes(k, side=8)["green"]
        file = folder / f"{name}{suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        write(file, np.dstack([grey, grey, grey]) if colour else grey)
        files.append(file)
    return list(place_files(names, files.__getitem__, parse_hint(hint)).places)


def told(places: list[Place]) -> list[tuple[str, str | None]]:
    assert [place.fault for place in places] == [None] * len(places)
    return [(place.id, place.channel) for place in places]


@pytest.mark.parametrize(
    ("names", "sample"),
    [
        (["cell1_DAPI", "cell1_GFP", "cell1_tubulin"], "cell1"),
        (["GFP_cell1", "DAPI_cell1"], "cell1"),  # before the name
        (["exp1_GFP_A01", "exp1_DAPI_A01"], "exp1_A01"),  # within it
        (["0-1-a_w2GFP", "0-1-a_w1DAPI"], "0-1-a"),  # MetaXpress
        (["p_A01_s1_w1DAPI", "p_A01_s1_w2FITC"], "p_A01_s1"),
        (["p_s1_w1Hoechst 33342", "p_s1_w2Alexa 488"], "p_s1"),
        (["C1-GFP_cell", "C2-DAPI_cell"], "cell"),  # Fiji: split channels, with the name
        (["C1-cell_GFP", "C2-cell_DAPI"], "cell"),
        (["a_Alexa_Fluor_488", "a_Hoechst_33342"], "a"),
        (["a_AF488", "a_H33342"], "a"),
        (["a_Alexa488-protein", "a_Alexa555-Tubulin", "a_Alexa647-Calnexin"], "a"),
        (["img_405", "img_488"], "img"),  # wavelengths of lasers
        (["img_000000000_DAPI_000", "img_000000000_GFP_000"], "img"),  # Micro-Manager
        (["A - 01(fld 1 wv UV - DAPI)", "A - 01(fld 1 wv Blue - FITC)"], "A - 01(fld 1)"),  # IN Cell
        (["a_anti-tubulin", "a_anti-GFP", "a_TO-PRO-3"], "a"),
        (["a_α-tubulin", "a_FITC"], "a"),
        (["GFP-TUBA1_DAPI_01", "GFP-TUBA1_GFP_01"], "GFP-TUBA1_01"),  # the protein's own name has a stain
        (["plate/cell1/GFP", "plate/cell1/DAPI"], "plate/cell1"),  # a folder for each sample
    ],
)
def test_stains_in_names_are_channels(tmp_path, names, sample):
    blue = dict.fromkeys(("dapi", "hoechst", "h33342", "to-pro", "405"), "blue")
    meaning = {**blue, "tubulin": "red", "calnexin": "yellow"}

    def expected(name: str) -> str:
        stains = name.lower().replace("tuba1", "").removeprefix("gfp-") if "TUBA1" in name else name.lower()
        return next((channel for word, channel in meaning.items() if word in stains), "green")

    assert told(place(tmp_path, *names)) == [(sample, expected(name)) for name in names]


@pytest.mark.parametrize(
    ("names", "sample", "numbers"),
    [
        (["cell_ch00", "cell_ch01"], "cell", ["ch00", "ch01"]),  # LAS X
        (["C1-cell", "C2-cell"], "cell", ["C1", "C2"]),  # Fiji
        (["cell_c1", "cell_c2"], "cell", ["c1", "c2"]),
        (["cell_c1_ORG", "cell_c2_ORG"], "cell", ["c1", "c2"]),  # ZEN
        (["A01_s1_w1", "A01_s1_w2"], "A01_s1", ["w1", "w2"]),
        ([f"G10_s1_w1{GUID.format(1)}", f"G10_s1_w2{GUID.format(2)}"], "G10_s1", ["w1", "w2"]),  # BBBC021
        (["r01c01f01p01-ch1sk1fk1fl1", "r01c01f01p01-ch2sk1fk1fl1"], "r01c01f01", ["ch1", "ch2"]),  # Harmony
        (["P_A01_T0001F001L01A01Z01C01", "P_A01_T0001F001L01A02Z01C02"], "P_A01_F001L01", ["C01", "C02"]),
        (["MFGTMP_A01f00d0", "MFGTMP_A01f00d1"], "MFGTMP_A01f00", ["d0", "d1"]),  # Cellomics
        (["s_xy01c1", "s_xy01c2"], "s_xy01", ["c1", "c2"]),  # NIS-Elements
        (["s_CH1", "s_CH2"], "s", ["CH1", "CH2"]),
    ],
)
def test_channels_that_are_only_numbered_are_asked_for(tmp_path, names, sample, numbers):
    places = place(tmp_path, *names)
    assert [one.id for one in places] == [sample] * 2
    a, b = numbers
    question = f"{a} and {b} are only numbered; say which, as in --channels green={b},blue={a}"
    assert [one.fault for one in places] == [question] * 2
    assert told(place(tmp_path, *names, hint=f"green={b},blue={a}")) == [(sample, "blue"), (sample, "green")]


@pytest.mark.parametrize(
    ("names", "hint", "channels"),
    [
        (["a_w2GFP", "a_w1DAPI"], "green=gfp,blue=dapi", ["green", "blue"]),
        (["a_w2GFP", "a_w1DAPI"], "green=w2,blue=w1", ["green", "blue"]),
        (["a_w2GFP", "a_w1DAPI"], "green=w2GFP,blue=w1DAPI", ["green", "blue"]),
        (["a_w1TRITC", "a_w2GFP", "a_w3DAPI"], "red=TRITC,green=GFP,blue=DAPI", ["red", "green", "blue"]),
        (["a_Alexa 488", "a_Alexa 647"], "red=Alexa647,green=ALEXA-488", ["green", "red"]),
        (["a_ch00", "a_ch01"], "green=ch1,blue=ch0", ["blue", "green"]),
        (["Probe_a", "DNA_a"], "green=probe", ["green", "blue"]),
        (["a_Probe_1", "a_Other_1"], "green=probe,red=other", ["green", "red"]),
        (["a_w1Probe", "a_w2Other"], "green=probe,red=other", ["green", "red"]),
        (["a_Cy3", "a_GFP"], "green=Cy3,red=GFP", ["green", "red"]),
    ],
)
def test_names_that_are_given_fit_however_they_are_spelt(tmp_path, names, hint, channels):
    assert [channel for _, channel in told(place(tmp_path, *names, hint=hint))] == channels


@pytest.mark.parametrize(
    ("names", "question"),
    [
        (
            ["a_DAPI", "a_GFP", "a_Cy3"],
            "Cy3 may be microtubules, the protein or the endoplasmic reticulum; "
            "say which, as in --channels red=Cy3,green=GFP,blue=DAPI",
        ),
        (
            ["a_DAPI", "a_FITC", "a_Cy3", "a_Cy5"],
            "Cy3 and Cy5 may be microtubules, the protein or the endoplasmic reticulum; "
            "say which, as in --channels red=Cy3,green=FITC,blue=DAPI,yellow=Cy5",
        ),
        (["a_DAPI", "a_FITC", "a_GFP"], "FITC and GFP would both be the protein; say which, as in"),
        (["a_DAPI", "a_mCherry"], "mCherry may be microtubules, the protein or .* --channels green=mCherry,blue=DAPI"),
        (["a_DAPI", "a_Texas Red", "a_GFP"], "say which, as in --channels 'red=Texas Red,green=GFP,blue=DAPI'"),
        (["a_DAPI", "a_GFP-Tubulin"], "GFP-Tubulin may be microtubules or the protein"),
    ],
)
def test_what_may_be_several_channels_is_asked(tmp_path, names, question):
    import re

    faults = {one.fault for one in place(tmp_path, *names)}
    assert len(faults) == 1
    fault = str(faults.pop())
    assert question in fault or re.search(question, fault)
    answer = fault.partition("--channels ")[2].strip("'")
    assert None not in {channel for _, channel in told(place(tmp_path, *names, hint=answer))}  # pasted, it answers


def test_a_set_may_have_other_pictures_beside_it(tmp_path):
    names = ["a_GFP", "a_DAPI", "a_Brightfield", "a_Novel"]
    placed = place(tmp_path, *names)
    assert [(one.id, one.channel, one.left_out) for one in placed] == [
        ("a", "green", False),
        ("a", "blue", False),
        ("a", None, True),
        ("a", None, True),
    ]
    coloured = place_files([*names, "a_merge"], lambda i: tmp_path / f"{[*names, 'x'][i]}.tif", parse_hint(None))
    assert coloured.places[-1] == Place("a", None)
    assert coloured.meanings == {"GFP": "green", "DAPI": "blue", "Brightfield": None, "Novel": None}


def test_overlays_and_other_pictures_beside_colours_are_aside(tmp_path):
    names = ["a_red", "a_green", "a_blue", "a_BF", "b_BF", "a_2"]
    placed = place(tmp_path, *names)
    assert [(one.id, one.left_out) for one in placed[3:]] == [("a", True), ("b", True), ("a_2", False)]
    assert told(place(tmp_path, "a_red", "a_green"))[0] == ("a", "red")
    stems = ("a_red", "a_merge")
    (overlay,) = place_files(stems, lambda i: tmp_path / f"{stems[i]}.tif", parse_hint(None)).places[1:]
    assert overlay == Place("a", None)


def test_names_of_places_alone_are_no_stains(tmp_path):
    names = ["golgi_1", "actin_2", "mito_3"]
    assert told(place(tmp_path, *names)) == [(name, None) for name in names]


def test_thumbnails_beside_pictures_are_left_out(tmp_path):
    names = ["A01_s1_w1DAPI", "A01_s1_w2GFP", f"A01_s1_w1_thumb{GUID.format(1)}"]
    assert [one.left_out for one in place(tmp_path, *names)] == [False, False, True]


@pytest.mark.parametrize(
    "names",
    [
        ["nucleus_1", "golgi_1", "ER_1"],  # classes
        ["1_nucleus", "2_nucleus"],
        ["cell_c1", "cell_c2"],
        ["plate_C1", "plate_D1"],  # wells
        ["img_405", "img_488"],
        ["tubulin", "GFP"],
    ],
)
def test_coloured_pictures_stay_samples_of_their_own(tmp_path, names):
    assert told(place(tmp_path, *names, colour=True, suffix=".png")) == [(name, None) for name in names]


def test_coloured_pictures_are_channels_where_the_proteins_is_beside_them(tmp_path):
    assert told(place(tmp_path, "a_GFP", "a_DAPI", colour=True)) == [("a", "green"), ("a", "blue")]


def test_coloured_exports_that_are_only_numbered_are_asked_for(tmp_path):
    assert "only numbered" in str(place(tmp_path, "a_ch00", "a_ch01", colour=True)[0].fault)
    assert told(place(tmp_path, "a_ch00", "a_ch01", colour=True, hint="red,green,blue")) == [
        ("a_ch00", None),
        ("a_ch01", None),
    ]


def test_wells_are_no_channels(tmp_path):
    names = [f"plate_{well}_{stain}" for well in ("C1", "C2", "C3", "D1") for stain in ("GFP", "DAPI")]
    assert {one.id for one in place(tmp_path, *names)} == {"plate_C1", "plate_C2", "plate_C3", "plate_D1"}
    assert {one.id for one in place(tmp_path, *(f"p_{well}_GFP" for well in ("C1", "C2")))} == {"p_C1", "p_C2"}


def test_a_series_with_the_number_of_a_laser_is_no_set(tmp_path):
    names = [f"img_{number}" for number in (404, 405, 488, 489)]
    assert told(place(tmp_path, *names)) == [(name, None) for name in names]


def test_numbers_are_named_by_what_the_files_say(tmp_path):
    for k, name in enumerate(["DAPI", "EGFP"]):
        metadata = {"axes": "YX", "Channel": {"Name": name}}
        tifffile.imwrite(tmp_path / f"a_ch{k}.ome.tif", planes(0)["red"], ome=True, metadata=metadata)
    placement = place_files(["a_ch0", "a_ch1"], lambda i: tmp_path / f"a_ch{i}.ome.tif", parse_hint(None))
    assert told(list(placement.places)) == [("a", "blue"), ("a", "green")]
    assert placement.meanings == {"ch0 (DAPI)": "blue", "ch1 (EGFP)": "green"}


@pytest.mark.parametrize(
    "names",
    [
        ["a_z01_red", "a_z02_red", "a_z01_green", "a_z02_green"],
        ["a_red_z1", "a_red_z2", "a_green_z1", "a_green_z2"],
        ["a_z00_w1tubulin", "a_z01_w1tubulin", "a_z00_w2GFP", "a_z01_w2GFP"],
    ],
)
def test_the_sections_of_a_z_stack_are_one_sample(tmp_path, names):
    placed = place(tmp_path, *names)
    assert [(one.id, one.channel) for one in placed] == [("a", c) for c in ("red", "red", "green", "green")]
    assert len({(one.channel, one.section) for one in placed}) == 4


def test_a_name_with_one_section_keeps_it(tmp_path):
    assert told(place(tmp_path, "a_z01_red", "a_z01_green")) == [("a_z01", "red"), ("a_z01", "green")]


def test_sections_and_frames_of_instruments_are_told_apart(tmp_path):
    names = [f"r01c01f01p{z:02d}-ch1sk{t}fk1fl1" for z in (1, 2) for t in (1, 2)]
    placed = place(tmp_path, *names, hint="green=ch1")
    assert [(one.id, one.section) for one in placed] == [
        ("r01c01f01_t1", 1),
        ("r01c01f01_t2", 1),
        ("r01c01f01_t1", 2),
        ("r01c01f01_t2", 2),
    ]
