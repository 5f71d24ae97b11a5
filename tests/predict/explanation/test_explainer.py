"""What stands behind an answer, of a run that was trained and of such as have no networks or no pictures."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_run import CHANNELS, SIZE, write_tiny

from hpa_hier.cli.ensemble import main
from hpa_hier.errors import UserError
from hpa_hier.members.nodes import find_member
from hpa_hier.predict.answers import Answers, join_answers
from hpa_hier.predict.explanation import neighbours as kept
from hpa_hier.predict.explanation.heat_maps import METHODS
from hpa_hier.predict.fit_run import fit_run
from hpa_hier.predict.predictor import Predictor
from hpa_hier.runs.run import Run
from hpa_hier.runs.start import start_run
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.training.plan import plan_training
from hpa_hier.training.train_member import TrainOptions, train_member

pytest.importorskip("captum", reason="heat maps need the extra `explain`")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose ensemble has one member, of the leaves; nobody answers for the groups."""
    folder = tmp_path_factory.mktemp("why")
    config = write_tiny(folder, training={"epochs": 1}, ensemble={"members": ["leaf"], "bootstrap": 0})
    recipe = load_recipe(str(config))
    plan = plan_training(start_run(recipe), find_member(recipe, "leaf"))
    train_member(plan, TrainOptions(device="cpu", lines=False))
    fit_run(plan.run)
    return plan.run


@pytest.fixture(scope="module")
def predictor(run: Run) -> Predictor:
    return Predictor.load(run)


@pytest.fixture(scope="module")
def answers(predictor: Predictor, run: Run) -> Answers:
    """Answers for two images of the test part, as an array."""
    return predictor.predict(run.pack.read(test_rows(run)), ids=["one", "other"])


def test_rows(run: Run) -> np.ndarray:
    return run.pack.find_rows(run.split.part_ids("test")[:2])


test_rows.__test__ = False  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", METHODS)
def test_a_node_has_a_map_of_the_size_of_the_picture(answers: Answers, method: str) -> None:
    maps = answers.heat_maps("one", "Dots", method)
    (one,) = maps.maps
    assert (one.node, one.member, one.method, maps.absent) == ("Dots", "leaf", method, ())
    assert one.values.shape == (SIZE, SIZE)
    assert one.values.dtype == np.float32
    assert one.empty or (one.values.max() == 1 and one.values.min() >= 0)
    np.testing.assert_array_equal(answers.heat_map("one", "Dots", method).values, one.values)
    assert one.grid == ((16, 16) if method == "grad_cam" else (SIZE, SIZE))


def test_a_group_that_nobody_answers_for_is_explained_by_its_leaves(answers: Answers) -> None:
    group, *leaves = (answers.heat_maps("one", node, "integrated_gradients") for node in ("Inside", "Dots", "Rings"))
    assert group.maps[0].member == "leaf"
    assert not group.maps[0].empty
    below = sum(one.maps[0].values for one in leaves)
    assert np.corrcoef(group.maps[0].values.ravel(), below.ravel())[0, 1] > 0.5


def test_a_node_is_found_by_its_label_and_in_any_case(answers: Answers) -> None:
    assert answers.heat_maps("one", "3").node == answers.heat_maps("one", "smears").node == "Smears"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("one", "Dotz"), "no node is called 'Dotz'; did you mean 'Dots'"),
        (
            ("one", "Dots", "gradcam"),
            "no heat maps are made by 'gradcam'; it is grad_cam or integrated_gradients; did you mean 'grad_cam'",
        ),
        (
            ("one", "Dots", "grad_cam", ["leav"]),
            "no member is called 'leav'; this ensemble combines leaf.*; did you mean 'leaf'",
        ),
        (("none", "Dots"), "'none': no answer for it; the first ids are one, other"),
    ],
)
def test_what_there_is_not_is_a_users_error(answers: Answers, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        answers.heat_maps(*arguments)


def test_without_captum_the_message_says_how_to_get_it(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "captum.attr", None)
    with pytest.raises(UserError, match=r"^heat maps: needs captum; `pip install 'hpa-hier\[explain\]'` adds it$"):
        answers.heat_maps("one", "Dots")


def test_answers_whose_pixels_are_gone_say_so_and_keep_their_reasons(answers: Answers) -> None:
    bare = replace(answers, evidence=None)
    assert bare.picture("one") is None
    assert bare.reasons("one") == answers.reasons("one")
    assert [one.member for one in bare.heat_maps("one", "Dots").absent] == ["leaf"]
    with pytest.raises(UserError, match="no heat map of Dots: 'leaf' is known by its scores alone"):
        bare.heat_map("one", "Dots")
    assert bare.neighbours("one").absent


def test_joined_answers_find_each_sample_in_its_part(run: Run, predictor: Predictor, answers: Answers) -> None:
    opened = predictor.open_array(run.pack.read(test_rows(run)), ["one", "other"], batch_size=1)
    parts = list(predictor.stream(opened))
    joined = join_answers(parts)
    for sample in answers.ids:
        np.testing.assert_array_equal(joined.picture(sample).image, answers.picture(sample).image)
    assert join_answers([parts[0], replace(parts[1], evidence=None)]).picture("one") is None


@pytest.fixture
def fresh(run: Run) -> Iterator[Path]:
    """The file of training features, absent before and after."""
    file = run.ensemble_folder / kept.FILE
    file.unlink(missing_ok=True)
    yield file
    file.unlink(missing_ok=True)


def test_the_nearest_training_images_are_those_by_the_members_features(
    run: Run, predictor: Predictor, answers: Answers, fresh: Path
) -> None:
    import torch

    train = run.split.part_ids("train")
    rows = run.pack.find_rows(train)
    network = predictor.scorers["leaf"].network  # type: ignore[attr-defined]
    with torch.inference_mode():
        seen = network.features(torch.from_numpy(run.pack.read(rows)))
        asked = network.features(torch.from_numpy(run.pack.read(test_rows(run))))
    cosines = torch.nn.functional.cosine_similarity(asked[:, None], seen[None], dim=2).numpy()
    for sample, similar in zip(answers.ids, cosines, strict=True):
        nearest = answers.neighbours(sample)
        assert (nearest.member, nearest.absent, len(nearest.found)) == ("leaf", "", 5)
        best = np.argsort(-similar)[:5]
        assert [one.similarity for one in nearest.found] == pytest.approx(similar[best].tolist(), abs=2e-3)
        first = nearest.found[0]
        row = run.pack.find_rows([first.id])[0]
        assert first.id in train
        assert first.labels == run.pack.nodes[row]
        np.testing.assert_array_equal(first.pixels, run.pack.read(np.array([row]))[0])
    assert json.loads(json.dumps(nearest.to_json()))["found"][0]["id"] == nearest.found[0].id


def test_a_training_image_is_not_its_own_neighbour(run: Run, predictor: Predictor, fresh: Path) -> None:
    train = run.split.part_ids("train")[:3]
    nearest = predictor.neighbours(run.pack.read(run.pack.find_rows(train)), count=4)
    assert all(own not in [near.id for near in one.found] for own, one in zip(train, nearest, strict=True))
    assert [len(one.found) for one in nearest] == [4, 4, 4]


def test_features_are_computed_once_and_again_when_the_member_or_the_file_changed(
    run: Run, fresh: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    image = run.pack.read(test_rows(run)[:1])
    first = Predictor.load(run)
    assert first.prepare_neighbours() == ""
    found = first.neighbours(image)[0].to_json()
    assert "'leaf' looks at" in capsys.readouterr().err
    assert Predictor.load(run).neighbours(image)[0].to_json() == found
    assert capsys.readouterr().err == ""
    fresh.write_bytes(fresh.read_bytes()[:-5])
    assert Predictor.load(run).neighbours(image)[0].to_json() == found
    assert "'leaf' looks at" in capsys.readouterr().err
    content = fresh.read_bytes()
    other = Predictor.load(run)
    training = other._explainer._training[0]
    assert training is not None
    changed = replace(training, member_digest="0" * 64)
    assert changed.find(image, 5)[0].to_json() == found
    assert "'leaf' looks at" in capsys.readouterr().err
    assert fresh.read_bytes() != content  # its digest is another one


def test_where_the_folder_cannot_be_written_to_the_neighbours_are_there_all_the_same(
    run: Run, fresh: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(path: Path, content: bytes) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(kept, "write_bytes", refuse)
    assert len(Predictor.load(run).neighbours(run.pack.read(test_rows(run)[:1]))[0].found) == 5
    assert f"{fresh}: is not kept (Read-only file system)" in capsys.readouterr().err


def test_where_the_training_images_are_gone_a_sentence_says_so(run: Run, fresh: Path) -> None:
    image = run.pack.read(test_rows(run)[:1])
    shutil.move(run.pack.path, run.pack.path.with_name("elsewhere"))
    try:
        nearest = Predictor.load(Run.open(run.folder)).neighbours(image)[0]
    finally:
        shutil.move(run.pack.path.with_name("elsewhere"), run.pack.path)
    assert nearest.found == ()
    assert nearest.absent.startswith("The images that this ensemble learned from cannot be shown: ")


def test_the_bundled_ensemble_says_that_its_images_did_not_come_with_it() -> None:
    nearest = Predictor.load("pretrained").neighbours(np.zeros((2, 4, 192, 192), np.uint8))
    assert [one.absent for one in nearest] == ["The images that this ensemble learned from did not come with it."] * 2


def test_each_bundled_member_has_a_map_with_as_many_rows_as_columns() -> None:
    bundled = Predictor.load("pretrained")
    image = np.random.default_rng(0).integers(0, 256, (4, 192, 192), dtype=np.uint8)
    maps = [*bundled.heat_maps(image, "Nucleus").maps, *bundled.heat_maps(image, "Nucleoli").maps]
    assert [(one.member, one.grid) for one in maps] == [(name, (24, 24)) for name in ("coarse", "leaf", "leaf-s1")]


def write_image(folder: Path, run: Run) -> Path:
    folder.mkdir()
    for channel, plane in zip(CHANNELS, run.pack.read(test_rows(run))[0], strict=True):
        cv2.imwrite(str(folder / f"cell_{channel}.png"), plane)
    return folder / "cell_green.png"


def test_the_page_has_heat_maps_and_the_nearest_training_images(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    image = str(write_image(tmp_path / "images", run))
    asked = ["explain", image, "--run", str(run.folder)]
    assert main([*asked, "--heat-map", "rings", "--out", "pages", "--method", "integrated_gradients"]) == 0
    printed = capsys.readouterr().out
    assert "heat map of Rings, by integrated gradients\n  leaf: " in printed
    assert f"wrote {Path('pages', 'cell.html')}" in printed
    page = (tmp_path / "pages" / "cell.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 5 + 1 + 5  # channels, one member's map, neighbours
    assert "What speaks for Rings" in page
    assert "By the features of member ‘leaf’" in page
    nearest = Predictor.load(run).neighbours(run.pack.read(test_rows(run)[:1]))[0].found[0]
    assert f"{nearest.id} ({nearest.similarity:.2f}): {', '.join(nearest.labels)}" in page
    assert main([*asked, "--heat-map"]) == 0  # of the likeliest place, in a page here
    likeliest = Predictor.load(run).predict([image]).places[0][0][0]
    assert f"heat map of {likeliest}, by gradient-weighted activations" in capsys.readouterr().out
    assert (tmp_path / "cell.html").is_file()
    assert main(["explain", "--heat-map", image, "--run", str(run.folder)]) == 0  # the image behind the flag


def test_a_node_that_there_is_not_is_said_before_anything_is_written(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = write_image(tmp_path / "images", run)
    with pytest.raises(UserError, match="no node is called 'Ringz'; did you mean 'Rings'"):
        main(["explain", str(image), "--run", str(run.folder), "--heat-map", "Ringz", "--out", str(tmp_path / "p")])
    with pytest.raises(UserError, match="--method: goes with --heat-map; add it, or leave this out"):
        main(["explain", str(image), "--run", str(run.folder), "--method", "grad_cam", "--out", str(tmp_path / "p")])
    assert not (tmp_path / "p").exists()
