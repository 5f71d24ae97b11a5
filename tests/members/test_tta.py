"""Test-time augmentation: the copies, a member's answer over them, and an ensemble fitted on just that."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_run import SIZE, write_tiny

from hpa_hier.ensemble import ensemble_file as keep
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_json
from hpa_hier.members.nodes import find_member
from hpa_hier.members.score import Member
from hpa_hier.members.scores_file import load_scores
from hpa_hier.members.tta import Tta, TtaMember, augmented_copies, load_with_tta, score_held_out
from hpa_hier.predict.fit_run import evaluate_run, fit_run
from hpa_hier.predict.predictor import Predictor, load_scorers
from hpa_hier.runs.manifest import read_manifest
from hpa_hier.runs.run import Run
from hpa_hier.runs.start import start_run
from hpa_hier.settings.recipe import Recipe
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.training.plan import plan_training
from hpa_hier.training.train_member import TrainOptions, train_member

QUIET = TrainOptions(device="cpu", lines=False)
ALL = [Tta(kind, merge) for kind in ("flips", "d4", "d4_crops") for merge in ("mean", "max")]
ALL += [Tta("none", "mean", (32, 48)), Tta("flips", "mean", (48,))]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    config = write_tiny(
        tmp_path_factory.mktemp("tta"),
        training={"epochs": 1, "folds": 0},
        ensemble={"members": ["leaf", "coarse"], "bootstrap": 0},
        split={"folds": 2},
    )
    run = start_run(load_recipe(str(config)))
    for name in ("leaf", "coarse"):
        train_member(plan_training(run, find_member(run.recipe, name)), QUIET)
    return run


@pytest.fixture(scope="module")
def member(run: Run) -> Member:
    return Member.load(run.member_folder("leaf"), "cpu")


def with_views(run: Run, views: str, **changes: object) -> Recipe:
    settings = run.recipe.ensemble.model_copy(update={"tta": views, **changes})
    return run.recipe.model_copy(update={"ensemble": settings})


def some(run: Run, count: int = 70) -> np.ndarray:
    return run.pack.images(np.arange(count))


@pytest.mark.parametrize(("kind", "count"), [("none", 1), ("flips", 4), ("d4", 8), ("d4_crops", 13)])
def test_copies_differ_and_the_first_is_the_image_itself(run: Run, kind: str, count: int) -> None:
    views = list(augmented_copies(some(run, 2), Tta(kind)))
    assert len(views) == Tta(kind).count == count
    assert len({view.tobytes() for view in views}) == count
    assert all(view.shape == (2, 4, SIZE, SIZE) and view.dtype == np.uint8 for view in views)
    np.testing.assert_array_equal(views[0], some(run, 2))


def test_turning_an_image_changes_the_order_of_its_d4_views_and_nothing_else(run: Run) -> None:
    image = some(run, 1)
    turned = np.ascontiguousarray(np.rot90(image, axes=(2, 3)))
    assert {view.tobytes() for view in augmented_copies(image, Tta("d4"))} == {
        view.tobytes() for view in augmented_copies(turned, Tta("d4"))
    }


def test_geometry_keeps_each_channels_values(run: Run) -> None:
    image = some(run, 1)
    for view in augmented_copies(image, Tta("d4")):
        for channel in range(4):
            np.testing.assert_array_equal(np.sort(view[0, channel].ravel()), np.sort(image[0, channel].ravel()))


@pytest.mark.parametrize("tta", ALL, ids=str)
def test_an_images_row_is_the_same_bits_whatever_stands_beside_it(run: Run, member: Member, tta: Tta) -> None:
    augmented, images = TtaMember(member, tta), some(run)
    whole = augmented.logits(images)
    assert whole.shape == (len(images), len(member.nodes))
    order = np.random.default_rng(0).permutation(len(images))
    np.testing.assert_array_equal(augmented.logits(images[order]), whole[order])
    np.testing.assert_array_equal(augmented.logits(images[5:6]), whole[5:6])


@pytest.mark.parametrize("merge", ["mean", "max"])
def test_the_answer_is_the_mean_or_the_maximum_over_the_copies(run: Run, member: Member, merge: str) -> None:
    images, tta = some(run, 6), Tta("d4_crops", merge)
    each = np.stack([member.logits(view) for view in augmented_copies(images, tta)])
    together = each.mean(axis=0) if merge == "mean" else each.max(axis=0)
    np.testing.assert_allclose(TtaMember(member, tta).logits(images), together, rtol=1e-5, atol=1e-5)


def test_a_quarter_turn_changes_nothing_under_d4(run: Run, member: Member) -> None:
    images, augmented = some(run, 6), TtaMember(member, Tta("d4"))
    turned = np.ascontiguousarray(np.rot90(images, axes=(2, 3)))
    np.testing.assert_allclose(augmented.logits(turned), augmented.logits(images), rtol=1e-4, atol=1e-4)
    assert np.abs(member.logits(turned) - member.logits(images)).max() > 1e-3


def test_without_augmentation_it_is_the_member_itself(run: Run) -> None:
    assert isinstance(load_with_tta(run.member_folder("leaf"), "cpu", Tta()), Member)
    assert Tta().file(read_manifest(run.member_folder("leaf"))) == "scores.npz"


def test_vectors_cannot_be_turned() -> None:
    with pytest.raises(UserError, match=r"ensemble\.tta: feature vectors cannot be turned"):
        list(augmented_copies(np.zeros((3, 7), np.float32), Tta("flips")))


def test_a_size_that_a_network_does_not_take_is_named(
    run: Run, member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("Input height (48) doesn't match model (32).")

    monkeypatch.setattr("hpa_hier.members.score.score", refuse)
    with pytest.raises(UserError, match=r"ensemble\.tta_sizes: member 'leaf' does not take images of 48×48 pixels"):
        TtaMember(member, Tta("none", "mean", (48,))).logits(some(run, 2))


def test_an_ensemble_is_fitted_on_the_views_that_it_predicts_with(run: Run, tmp_path: Path) -> None:
    recipe = with_views(run, "d4")
    file = run.folder / "ensemble" / "ensemble.json"
    fit_run(run)
    plain = read_json(file)["thresholds"]
    fit_run(Run(run.folder, recipe))
    assert read_json(file)["thresholds"] != plain
    kept = keep.load(run.folder / "ensemble")
    scorer = load_scorers(Run(run.folder, recipe), kept, "cpu")["leaf"]
    manifest = read_manifest(run.member_folder("leaf"))
    held = load_scores(run.member_folder("leaf") / Tta("d4").file(manifest), "leaf", "test")
    images = run.pack.images(run.pack.find_rows(held.ids))
    np.testing.assert_array_equal(scorer.logits(images), held.logits)
    with np.load(evaluate_run(Run(run.folder, recipe))) as evaluation:
        assert set(held.ids) <= set(evaluation["ids"].tolist())  # a small test part is joined by out-of-fold answers
    assert "held-out image" in Predictor.load(Run(run.folder, recipe)).explain(held.ids[0])
    for place in range(2):
        for channel, plane in zip(run.pack.channels, images[place], strict=True):
            cv2.imwrite(str(tmp_path / f"{held.ids[place]}_{channel}.png"), plane)
    assert len(Predictor.load(Run(run.folder, recipe)).predict(tmp_path)) == 2


def test_copies_of_folds_are_scored_by_the_network_that_did_not_see_the_sample(run: Run) -> None:
    settings = {"name": "folded", "level": "leaf", "training": {"folds": 2, "epochs": 1}}
    folded = type(run.recipe.members[0]).model_validate(settings)
    plan = plan_training(run, folded)
    train_member(plan, QUIET)
    tta = Tta("flips")
    path = score_held_out(plan.folder, read_manifest(plan.folder), run.pack, tta, "cpu")
    held = load_scores(path, "folded", "calibration")
    fold_of = dict(zip(run.split.ids, run.split.folds, strict=True))
    for fold in range(2):
        ids = [sample for sample in held.ids if fold_of[sample] == fold]
        augmented = load_with_tta(plan.folder / f"fold-{fold}", "cpu", tta)
        images = run.pack.images(run.pack.find_rows(ids))
        np.testing.assert_array_equal(augmented.logits(images), held.take(ids).logits)
    before = path.stat().st_mtime_ns
    assert score_held_out(plan.folder, read_manifest(plan.folder), run.pack, tta, "cpu") == path
    assert path.stat().st_mtime_ns == before


def test_score_tables_cannot_be_looked_at_from_other_sides(tmp_path: Path) -> None:
    from hpa_hier.predict.fit_tables import FitRequest as TableRequest
    from hpa_hier.predict.fit_tables import fit_tables

    settings = Recipe.model_validate({"ensemble": {"tta": "d4"}}).ensemble
    request = TableRequest({"a": tmp_path / "a.csv"}, "logits", tmp_path / "labels.csv", "hierarchy/hpa28.yaml")
    with pytest.raises(UserError, match=r"ensemble\.tta: score tables hold no images; set it to none for --scores"):
        fit_tables(tmp_path, request, settings)
