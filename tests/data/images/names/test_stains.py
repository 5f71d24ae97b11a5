"""Stains: what words for them mean."""

from __future__ import annotations

import pytest

from hpa_hier.data.images.channels import CHANNELS
from hpa_hier.data.images.names.assign import read_stains
from hpa_hier.data.images.names.stains import STAINS, normalise, read_number, split_words


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        *((name, ("blue",)) for name in ("DAPI", "Hoechst 33342", "H33342", "DRAQ5", "TO-PRO-3", "Nuclei", "405 nm")),
        *((name, ("green",)) for name in ("GFP", "EGFP", "mNeonGreen", "YFP", "FITC", "Alexa 488", "AF488", "A488")),
        *((name, ("green",)) for name in ("Alexa Fluor 488", "alexa_fluor-488", "CSU488", "Ex488", "GFP488")),
        *((name, ("red",)) for name in ("Tubulin", "α-tubulin", "Tubulin Cy3", "Alexa 555 anti-tubulin", "Red")),
        *((name, ("yellow",)) for name in ("ER", "Calnexin", "endoplasmic reticulum", "ER-Tracker", "KDEL Cy5")),
        *((name, ("green", "red", "yellow")) for name in ("TRITC", "Cy3", "mCherry", "RFP", "Texas Red", "Alexa 568")),
        *((name, ("green", "yellow", "red")) for name in ("Cy5", "Alexa 647", "640 nm", "Far Red")),
        *((name, ()) for name in ("Brightfield", "BF", "DIC", "phalloidin-Alexa 488", "MitoTracker Red CMXRos", "TL")),
        ("GFP-tubulin", ("green", "red")),
        ("actin-GFP", ("green",)),
    ],
)
def test_a_name_means_the_channels_that_it_may_be(name, channels):
    (stain,) = read_stains([name])
    assert stain is not None
    assert stain.channels == channels


@pytest.mark.parametrize("name", ["A1", "B02", "sample", "0488", "488a", "ch1", "w2", "cell_3", "her2", "power", "123"])
def test_other_words_mean_nothing(name):
    assert read_stains([name]) == [None]


def test_every_stain_is_of_channels_that_there_are():
    assert {channel for stain in STAINS.values() for channel in stain.channels} == set(CHANNELS)
    assert all(normalise(word) == word for word in STAINS)  # a word that is never met otherwise


@pytest.mark.parametrize(
    ("word", "number"), [("ch00", "c0"), ("C1", None), ("w2", "w2"), ("d0", "d0"), ("c1234", None)]
)
def test_numbers_of_channels_are_read_in_small_letters(word, number):
    assert read_number(word) == number


def test_words_know_where_they_are():
    name = "Plate-1_w2GFP (x)"
    assert [name[word.start : word.end] for word in split_words(name)] == ["Plate", "1", "w2", "GFP", "x"]
