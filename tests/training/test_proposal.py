"""Proposal: what a data set holds, which recipe suits it, and what fits into a time limit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from image_folders import CHANNELS, planes, write, write_folder

from hpa_hier.data.pack.matching import PackRequest
from hpa_hier.errors import UserError
from hpa_hier.settings.recipe import Recipe
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.settings.training import TrainingSettings
from hpa_hier.taxonomy import Taxonomy
from hpa_hier.training import proposal
from hpa_hier.training.forecast import Samples, forecast_training, measure_step

HPA28 = Taxonomy.load("hpa28")


def _request(folder: Path, labels: Path) -> PackRequest:
    return PackRequest(folder, labels, folder.parent / "pack", HPA28, size=32, channels=CHANNELS)


def _survey(folder: Path, labels: Path) -> proposal.Survey:
    """Do as the command does."""
    request = _request(folder, labels)
    absent = proposal.find_absent(proposal.match_leniently(request), request.channels)
    return proposal.survey(proposal.allow_missing(request, absent))


def test_a_channel_that_no_image_has_may_be_missing_but_one_that_some_lack_stops(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    labels = write_folder(folder, 4)
    request = _request(folder, labels)
    assert proposal.find_absent(proposal.match_leniently(request), CHANNELS) == ()
    assert len(_survey(folder, labels).ids) == 4
    (folder / "s1_yellow.png").unlink()
    with pytest.raises(UserError, match="missing channel"):
        _survey(folder, labels)
    for file in folder.glob("*_yellow.png"):
        file.unlink()
    assert proposal.find_absent(proposal.match_leniently(request), CHANNELS) == ("yellow",)
    found = _survey(folder, labels)
    assert len(found.ids) == 4
    assert "  channel yellow: missing in 4, filled with zeros there" in [*proposal.describe_survey(found, HPA28)]


def test_the_protein_is_never_allowed_to_be_missing(tmp_path: Path) -> None:
    for sample in ("a", "b"):
        for channel in ("red", "blue"):
            write(tmp_path / "images" / f"{sample}_{channel}.png", planes(0)[channel])
    labels = tmp_path / "labels.csv"
    labels.write_text("Id,Target\na,0\nb,1\n")
    with pytest.raises(UserError, match="green"):
        _survey(tmp_path / "images", labels)


@pytest.mark.parametrize(
    ("images", "gpu", "recipe"),
    [
        (399, False, "few_images"),
        (399, True, "few_images"),
        (400, False, "default"),
        (400, True, "gpu"),
        (None, True, "vectors"),
    ],
)
def test_the_recipe_follows_the_data_and_the_machine(images: int | None, gpu: bool, recipe: str) -> None:
    choice = proposal.choose_recipe(images, gpu)
    assert choice.recipe == recipe
    load_recipe(choice.recipe)  # is there


def test_the_prospect_counts_every_network_of_every_fold(tmp_path: Path) -> None:
    found = proposal.survey(_request(tmp_path / "images", write_folder(tmp_path / "images", 30)))
    recipe = load_recipe("few_images")
    prospect = proposal.foresee(found, HPA28, recipe)
    assert prospect.learning == 30 - len(prospect.split.part_ids("test"))
    assert prospect.networks == 5 * len(prospect.roster.trained)
    lines = [*proposal.describe_prospect(prospect)]
    assert any("5 folds to learn from" in line for line in lines)
    bare = proposal.foresee(
        found, HPA28, recipe.model_copy(update={"split": load_recipe(None, ["split.folds=0"]).split})
    )
    assert bare.learning == len(bare.split.part_ids("train"))


def test_a_time_limit_shortens_what_the_recipe_counts_in() -> None:
    by_steps = Recipe(training=TrainingSettings(max_steps=1000))
    assert proposal.fit_into(100.0, 25.0, by_steps) == ("training.max_steps=250",)
    assert proposal.fit_into(100.0, 100.0, by_steps) == ()
    assert proposal.fit_into(1e9, 1.0, Recipe()) == ("training.epochs=1",)


def test_the_forecast_grows_with_steps_and_members_and_shrinks_with_slots() -> None:
    settings = TrainingSettings(width=8, batch_size=4, max_steps=200)
    samples, cpu = Samples(40, CHANNELS, 32), torch.device("cpu")
    one = forecast_training([settings], samples, cpu, slots=1)
    longer = forecast_training([settings.model_copy(update={"max_steps": 200_000})], samples, cpu, slots=1)
    assert longer > 20 * one
    assert measure_step(settings, samples, 4, cpu, frozen=True) > 0
    pair = forecast_training([settings.model_copy(update={"max_steps": 200_000})] * 2, samples, cpu, slots=2)
    assert pair == pytest.approx(longer, rel=0.8)  # the clock of a busy machine


def test_missing_channels_are_added_once() -> None:
    request = replace(_request(Path("x"), Path("y")), may_be_missing=("yellow",))
    assert proposal.allow_missing(request, ("yellow", "red")).may_be_missing == ("yellow", "red")
