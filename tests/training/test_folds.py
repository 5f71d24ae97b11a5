"""Folds: one network each, scores of samples it has not seen, and a member that answers with the mean."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_run import finish, write_tiny

from hpa_hier.data.split.split import make_split
from hpa_hier.errors import UserError
from hpa_hier.members.nodes import find_member
from hpa_hier.members.score import Member
from hpa_hier.members.scores_file import load_scores
from hpa_hier.predict.fit_run import evaluate_run, fit_run
from hpa_hier.runs.manifest import read_manifest
from hpa_hier.runs.run import Run
from hpa_hier.runs.start import start_run
from hpa_hier.settings.recipe import SplitSettings
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.training.folds import fold_split
from hpa_hier.training.plan import Plan, plan_training
from hpa_hier.training.train_member import TrainOptions, train_fold, train_member

QUIET = TrainOptions(device="cpu", lines=False)
FOLDS = 3


def planned(folder: Path, name: str = "leaf", **training: object) -> Plan:
    config = write_tiny(folder, training={"epochs": 2, "folds": FOLDS, **training}, split={"folds": FOLDS})
    recipe = load_recipe(str(config))
    return plan_training(start_run(recipe), find_member(recipe, name))


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    plan = planned(tmp_path_factory.mktemp("folds"))
    train_member(plan, QUIET)
    return plan


def test_no_sample_is_scored_by_a_network_that_saw_it_and_every_one_outside_the_test_part_is_scored(plan: Plan) -> None:
    split = plan.run.split
    fold_of = dict(zip(split.ids, split.folds, strict=True))
    held = load_scores(plan.folder / "scores.npz", "leaf", "calibration")
    assert sorted(held.ids) == sorted((*split.part_ids("train"), *split.part_ids("calibration")))
    assert set(load_scores(plan.folder / "scores.npz", "leaf", "test").ids) == set(split.part_ids("test"))
    for fold in range(FOLDS):
        ids = [sample for sample in held.ids if fold_of[sample] == fold]
        images = plan.run.pack.images(plan.run.pack.find_rows(ids))
        alone = Member.load(plan.folder / f"fold-{fold}", "cpu")
        np.testing.assert_array_equal(alone.logits(images), held.take(ids).logits)
        seen = fold_split(split, fold).part_ids("train")
        assert not {*seen} & {*ids}
        assert not {*seen} & {*split.part_ids("test")}


def test_the_member_answers_with_the_mean_of_its_folds_bit_for_bit(plan: Plan) -> None:
    test = load_scores(plan.folder / "scores.npz", "leaf", "test")
    images = plan.run.pack.images(plan.run.pack.find_rows(test.ids))
    member = Member.load(plan.folder, "cpu")
    np.testing.assert_array_equal(member.logits(images), test.logits)
    np.testing.assert_array_equal(member.logits(images[:1]), test.logits[:1])
    single = [Member.load(plan.folder / f"fold-{fold}", "cpu").logits(images) for fold in range(FOLDS)]
    np.testing.assert_allclose(np.mean(single, axis=0), test.logits, rtol=1e-5, atol=1e-6)
    assert not np.array_equal(single[0], single[1])


@pytest.mark.slow
def test_folds_that_are_trained_apart_in_any_order_join_to_the_same_member(plan: Plan, tmp_path: Path) -> None:
    apart = planned(tmp_path)
    for fold in (2, 0, 1):
        train_fold(apart, fold, QUIET)
    assert not (apart.folder / "member.json").exists()
    train_member(apart, QUIET)
    for name in ("model.safetensors", "scores.npz"):
        assert (apart.folder / name).read_bytes() == (plan.folder / name).read_bytes()


def test_its_record_counts_what_all_folds_cost(plan: Plan) -> None:
    whole = read_manifest(plan.folder)
    folds = [read_manifest(plan.folder / f"fold-{fold}") for fold in range(FOLDS)]
    assert whole.parameters == sum(one.parameters for one in folds)
    assert whole.images_seen == sum(one.images_seen for one in folds)
    assert (whole.split_digest, whole.folds) == (plan.run.split.digest, FOLDS)
    assert len({one.split_digest for one in folds}) == FOLDS
    assert len((plan.folder / "history.csv").read_text().splitlines()) == 1 + whole.epochs


def test_groups_stay_whole_in_every_fold() -> None:
    rng = np.random.default_rng(0)
    groups = [f"g{i}" for i in rng.integers(0, 40, 200)]
    split = make_split([f"s{i}" for i in range(200)], rng.random((200, 4)) < 0.3, groups, SplitSettings(folds=4))
    for fold in range(4):
        parts: dict[str, set[str]] = {}
        for group, part in zip(groups, fold_split(split, fold).parts, strict=True):
            parts.setdefault(group, set()).add(part)
        assert all(len(found) == 1 for found in parts.values())


def test_an_ensemble_is_fitted_on_all_samples_outside_the_test_part(plan: Plan, tmp_path: Path) -> None:
    train_member(plan_training(plan.run, find_member(plan.run.recipe, "coarse")), QUIET)
    recipe = plan.run.recipe.model_copy(
        update={"ensemble": plan.run.recipe.ensemble.model_copy(update={"members": ("leaf", "coarse")})}
    )
    run = Run(plan.run.folder, recipe)
    ensemble, _ = fit_run(run)
    outside = len(plan.run.split) - len(plan.run.split.part_ids("test"))
    assert ensemble.about["samples"] == outside
    with np.load(evaluate_run(run)) as evaluation:
        assert len(evaluation["ids"]) == len(plan.run.split)  # so small a test part is joined by what is out of fold


@pytest.mark.parametrize("flat", [True, False])
def test_a_member_of_folds_is_not_combined_or_compared_with_one_without(plan: Plan, flat: bool) -> None:
    recipe = plan.run.recipe
    single = find_member(recipe, "group-Inside").model_copy(update={"training": {"folds": 0}})
    train_member(plan_training(plan.run, single), QUIET)
    names = {"members": ("leaf",), "baseline": ("group-Inside",)} if flat else {"members": ("leaf", "group-Inside")}
    recipe = recipe.model_copy(update={"ensemble": recipe.ensemble.model_copy(update=names)})
    with pytest.raises(UserError, match=r"members '[\w-]+' and '[\w-]+' differ in folds \((3, 0|0, 3)\)"):
        fit_run(Run(plan.run.folder, recipe))


def test_a_second_training_leaves_all_folds_alone_and_an_unfinished_one_goes_on(plan: Plan) -> None:
    assert "already trained" in train_member(plan, QUIET)
    weights = (plan.folder / "model.safetensors").read_bytes()
    (plan.folder / "member.json").unlink()
    (plan.folder / "fold-1" / "member.json").unlink()
    assert f"{FOLDS} folds in " in train_member(plan, QUIET)
    assert (plan.folder / "model.safetensors").read_bytes() == weights


def test_folds_trained_under_different_settings_are_not_put_together(tmp_path: Path) -> None:
    train_member(planned(tmp_path, epochs=1), QUIET)
    (tmp_path / "artifacts" / "tiny" / "members" / "leaf" / "member.json").unlink()
    with pytest.raises(UserError, match=r"fold-0: was trained with other settings, another split, pack or start"):
        train_member(planned(tmp_path, epochs=1, learning_rate=0.01), QUIET)


def test_a_split_without_folds_is_named(plan: Plan) -> None:
    split = replace(plan.run.split, folds=(-1,) * len(plan.run.split))
    other = replace(plan, run=plan.run.with_split(split), folder=plan.folder.parent / "other")
    with pytest.raises(UserError, match=r"training\.folds: 3, but .*split\.csv has no folds; start another run with"):
        train_member(other, QUIET)


def test_a_training_by_several_processes_is_refused_where_nobody_starts_them(plan: Plan) -> None:
    settings = plan.settings.model_copy(update={"devices": 2})
    other = replace(plan, settings=settings, folder=plan.folder.parent / "other")
    with pytest.raises(UserError, match=r"ask for 2 processes, which the command `hpa-hier train` starts"):
        train_member(other, QUIET)


def test_folds_that_the_recipe_does_not_split_into_are_refused() -> None:
    with pytest.raises(UserError, match=r"training\.folds is 4 and split\.folds null; they must be the same"):
        load_recipe(None, ["training.folds=4"])
    with pytest.raises(UserError, match=r"training\.folds is 4 and split\.folds 5; they must be the same"):
        load_recipe("demo", ["split.folds=5", "members.coarse.training.folds=4"])


def test_the_flag_splits_and_trains(tmp_path: Path) -> None:
    config = write_tiny(tmp_path, training={"epochs": 1})
    log = tmp_path / "log"
    status, said = finish(log, "--config", config, "--level", "coarse", "--folds", 2, "--device", "cpu")
    assert (status, "coarse: fold 2 of 2" in said) == (0, True), said
    assert read_manifest(tmp_path / "artifacts" / "tiny" / "members" / "coarse").folds == 2


def test_networks_are_summed_in_float32_in_their_order(plan: Plan) -> None:
    network = Member.load(plan.folder, "cpu").network
    images = torch.from_numpy(plan.run.pack.images(np.arange(4)))
    with torch.inference_mode():
        first, second, third = (one(images).numpy() for one in network.networks)  # type: ignore[union-attr]
        np.testing.assert_array_equal(network(images).numpy(), (first + second + third) / np.float32(3))


@pytest.mark.parametrize(
    ("asked", "trained", "folds"), [((None, None), 5, 5), ((None, 0), 0, 5), ((0, None), 0, 0), ((3, None), 3, 3)]
)
def test_few_images_get_folds_unless_the_recipe_says_how_many(
    tmp_path: Path, asked: tuple[int | None, int | None], trained: int, folds: int
) -> None:
    config = write_tiny(tmp_path, split={"folds": asked[0]}, training={"folds": asked[1]})
    recipe = load_recipe(str(config))
    plan = plan_training(start_run(recipe), find_member(recipe, "leaf"))
    assert (plan.folds, plan.run.split.fold_count) == (trained, folds)
