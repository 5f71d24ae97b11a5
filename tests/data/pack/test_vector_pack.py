"""Packs of feature vectors: packed, trained on, combined, predicted, reported."""

from __future__ import annotations

import csv
import json
import os
import signal
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from torch import Tensor

from hpa_hier.cli.data import main as data
from hpa_hier.cli.ensemble import main as ensemble
from hpa_hier.cli.report import main as report
from hpa_hier.cli.train import main as train
from hpa_hier.data.pack.pack import Pack
from hpa_hier.data.pack.vector_pack import VectorRequest, build_vectors, write_vector_pack
from hpa_hier.data.vectors.read import read_vectors
from hpa_hier.data.vectors.source import VectorSource
from hpa_hier.errors import UserError
from hpa_hier.members.score import Member
from hpa_hier.predict.predictor import Predictor
from hpa_hier.runs.run import Run
from hpa_hier.runs.start import start_run
from hpa_hier.settings.recipe import Recipe
from hpa_hier.settings.recipe_file import recipe_yaml
from hpa_hier.taxonomy import Taxonomy
from hpa_hier.training.batches.order import Batch
from hpa_hier.training.batches.statistics import IDLE, feature_statistics
from hpa_hier.training.loop.module import Training
from hpa_hier.training.loop.stopping import Interrupted
from hpa_hier.training.plan import plan_training
from hpa_hier.training.train_member import TrainOptions, train_member

TREE = """taxonomy: toy
levels: {coarse: 1, leaf: leaves}
tree:
  Inside:
    Dots: {label: 0}
    Rings: {label: 1}
  Outside:
    Blobs: {label: 2}
    Smears: {label: 3, also_under: [Inside]}
"""
QUIET = TrainOptions(device="cpu", lines=False)
FEATURES = ("length", "width", "mass", "charge", "age")


def make_vectors(count: int) -> tuple[np.ndarray, list[tuple[str, ...]]]:
    """Make vectors that give the leaves away, on scales that differ by 10,000, and the leaves."""
    taxonomy = Taxonomy.from_text(TREE)
    generator = np.random.default_rng(0)
    on = generator.random((count, 4)) < [0.5, 0.3, 0.3, 0.2]
    on[~on.any(axis=1), 0] = True
    vectors = on @ generator.normal(size=(4, 5)) + 0.3 * generator.normal(size=(count, 5))
    scaled = vectors * [1, 100, 0.01, 1, 1] + [0, 5000, 0, -3, 0]
    return scaled, [tuple(np.array(taxonomy.leaves)[row]) for row in on]


def write_tables(folder: Path, count: int = 240) -> None:
    """Write vectors.csv, labels.csv and toy.yaml."""
    vectors, leaves = make_vectors(count)
    (folder / "toy.yaml").write_text(TREE)
    with (folder / "vectors.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["id", *FEATURES])
        table.writerows([f"s{i:03d}", *row] for i, row in enumerate(vectors.tolist()))
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [("Id", "Target"), *((f"s{i:03d}", "|".join(names)) for i, names in enumerate(leaves))]
        )


def request(folder: Path, **changes: object) -> VectorRequest:
    facts = {"labels": folder / "labels.csv", "out": folder / "pack"}
    vectors = VectorSource(changes.pop("vectors", folder / "vectors.csv"), changes.pop("ids", None))  # type: ignore[arg-type]
    facts["vectors"] = vectors
    return VectorRequest(**{**facts, "taxonomy": Taxonomy.load(folder / "toy.yaml"), **changes})  # type: ignore[arg-type]


def recipe_of(folder: Path, **changes: object) -> Recipe:
    training = {"backbone": "mlp", "mlp": {"hidden": 16}, "epochs": 4, "batch_size": 16, "learning_rate": 0.01}
    return Recipe.model_validate(
        {
            "run": "small",
            "artifacts": str(folder / "artifacts"),
            "taxonomy": str(folder / "toy.yaml"),
            "data": {"pack": str(folder / "pack")},
            "split": {"folds": 0},
            "training": {**training, **changes.pop("training", {})},  # type: ignore[dict-item]
            "members": [
                {"name": "leaf", "level": "leaf"},
                {"name": "chain", "level": "all", "training": {"head": "chain", "vectors": "both"}},
                {
                    "name": "levels",
                    "level": "all",
                    "training": {"head": "levels", "levels": {"hidden": 16}, "vectors": "normal_scores"},
                },
                {"name": "constrained", "level": "all", "training": {"loss": "max_constraint"}},
            ],
            "ensemble": {"bootstrap": 0},
            **changes,
        }
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tables, their pack, and a recipe."""
    folder = tmp_path_factory.mktemp("vectors")
    write_tables(folder)
    build_vectors(request(folder))
    (folder / "recipe.yaml").write_text(recipe_yaml(recipe_of(folder)))
    return folder


def test_a_table_comes_back_from_the_pack_as_it_went_in(home: Path) -> None:
    pack = Pack.open(home / "pack")
    vectors, leaves = make_vectors(240)
    assert (pack.kind, pack.features, len(pack)) == ("vectors", FEATURES, 240)
    np.testing.assert_array_equal(pack.vectors(pack.find_rows(["s003", "s000"])), vectors[[3, 0]].astype(np.float32))
    assert {*pack.nodes[7]} == {*leaves[7]}
    assert build_vectors(request(home)).reused


def test_an_array_with_ids_makes_the_pack_of_the_same_numbers(home: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", make_vectors(240)[0])
    (tmp_path / "ids.txt").write_text("\n".join(f"s{i:03d}" for i in range(240)) + "\n")
    options = {"vectors": tmp_path / "v.npy", "ids": tmp_path / "ids.txt", "out": tmp_path / "pack"}
    pack = build_vectors(request(home, **options)).pack
    assert pack.features == ("f0", "f1", "f2", "f3", "f4")
    assert [shard.sha256 for shard in pack.shards] == [shard.sha256 for shard in Pack.open(home / "pack").shards]


def test_the_library_function_writes_the_same_vectors(home: Path, tmp_path: Path) -> None:
    vectors, leaves = make_vectors(240)
    ids = [f"s{i:03d}" for i in range(240)]
    write_vector_pack(tmp_path, vectors, ids, leaves, [""] * 240, FEATURES, Taxonomy.from_text(TREE), "made for a test")
    assert Pack.open(tmp_path).shards == Pack.open(home / "pack").shards
    with pytest.raises(UserError, match="already holds a finished pack"):
        write_vector_pack(
            tmp_path, vectors, ids, leaves, [""] * 240, FEATURES, Taxonomy.from_text(TREE), "made for a test"
        )


@pytest.fixture(scope="module")
def fitted(home: Path) -> Path:
    """A run with four trained members and their ensemble."""
    config = ["--config", str(home / "recipe.yaml"), "--device", "cpu", "--no-progress"]
    for member in recipe_of(home).members:
        assert train(["--member", member.name, *config]) == 0
    assert ensemble(["fit", "--config", str(home / "recipe.yaml")]) == 0
    return home / "artifacts" / "small"


def test_fit_evaluate_report_and_predict_take_vectors_as_they_take_images(
    home: Path, fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ensemble(["evaluate", "--config", str(home / "recipe.yaml")]) == 0
    report(["--run", str(fitted)])
    page = (fitted / "report" / "index.html").read_text()
    assert "There are no pictures here: the samples are feature vectors." in page
    table, out = str(home / "vectors.csv"), str(tmp_path / "out")
    assert ensemble(["predict", "--run", str(fitted), "--vectors", table, "--out", out]) == 0
    assert "240 vectors" in capsys.readouterr().out
    with (tmp_path / "out" / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 240
    assert sum("Dots" in row["labels"] for row in rows) > 60
    with (tmp_path / "out" / "probabilities.csv").open() as file:
        probs = list(csv.DictReader(file))
    assert all(float(row["Inside"]) >= float(row["Smears"]) <= float(row["Outside"]) for row in probs)
    assert ensemble(["explain", "s003", "--run", str(fitted)]) == 0
    assert "annotated" in capsys.readouterr().out


def test_a_member_answers_from_its_files_as_it_did_in_training(home: Path, fitted: Path) -> None:
    pack = Pack.open(home / "pack")
    for folder in sorted((fitted / "members").iterdir()):
        kept = np.load(folder / "scores.npz", allow_pickle=False)
        vectors = pack.vectors(pack.find_rows(kept["ids"].tolist()))
        np.testing.assert_array_equal(Member.load(folder, "cpu").logits(vectors), kept["logits"])


def test_what_members_know_is_found_by_name_in_a_table_of_any_format(home: Path, fitted: Path, tmp_path: Path) -> None:
    predictor = Predictor.load(Run.open(fitted), "cpu")
    wanted = predictor.predict(home / "vectors.csv")
    frame = pd.read_csv(home / "vectors.csv")
    other = frame[["mass", "age", "id", "width", "charge", "length"]].assign(gene="TP53", dose=3.5)
    other.to_parquet(tmp_path / "v.parquet")
    found = predictor.predict(tmp_path / "v.parquet")
    assert found.ids == wanted.ids
    np.testing.assert_array_equal(found.probs, wanted.probs)
    pd.concat([other, other]).to_csv(tmp_path / "cells.csv", index=False)
    means = predictor.predict(VectorSource(tmp_path / "cells.csv", per="id"))
    np.testing.assert_allclose(means.probs, wanted.probs, atol=1e-6)
    assert ensemble(["predict", "--run", str(fitted), "--vectors", str(tmp_path / "cells.csv"), "--per", "id"]) == 0
    with pytest.raises(UserError, match=r"cells\.csv: id 's000' appears twice, and 239 more ids do; .* --per id makes"):
        ensemble(["predict", "--run", str(fitted), "--vectors", str(tmp_path / "cells.csv")])


def test_members_of_vectors_refuse_images_and_tables_of_other_features(fitted: Path, tmp_path: Path) -> None:
    run = ["predict", "--run", str(fitted), "--out", str(tmp_path / "out")]
    with pytest.raises(UserError, match="the members take vectors, not images; use --vectors FILE"):
        ensemble([*run, "--images", str(tmp_path)])
    (tmp_path / "other.csv").write_text("id,length,width,mass,charge,height\na,1,2,3,4,5\n")
    with pytest.raises(UserError, match=r"other\.csv: 5 features, not the 5 that the .* trained on; it has no 'age'"):
        ensemble([*run, "--vectors", str(tmp_path / "other.csv")])


def test_a_training_on_vectors_that_was_interrupted_gives_the_same_bits(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, stops = Training.training_step, {3, 12}

    def training_step(self: Training, batch: Batch, index: int) -> Tensor:
        if recipe.run == "stopped" and self.global_step in stops:
            stops.remove(self.global_step)
            os.kill(os.getpid(), signal.SIGINT)  # as Ctrl-C does
        return usual(self, batch, index)

    monkeypatch.setattr(Training, "training_step", training_step)
    outcomes = []
    for name in ("straight", "stopped"):
        recipe = recipe_of(home, run=name)
        plan = plan_training(start_run(recipe), recipe.members[1])
        for _ in range(3 if name == "stopped" else 1):
            with suppress(Interrupted):
                train_member(plan, QUIET)
        outcomes.append([(plan.folder / file).read_bytes() for file in ("model.safetensors", "scores.npz")])
    assert not stops
    assert outcomes[0] == outcomes[1]


def test_missing_values_are_refused_unless_they_are_to_be_filled(home: Path, tmp_path: Path) -> None:
    text = (home / "vectors.csv").read_text().splitlines()
    text[3] = "s002,1,?,0,,2"
    (tmp_path / "gaps.csv").write_text("\n".join(text))
    gaps = {"vectors": tmp_path / "gaps.csv", "out": tmp_path / "pack"}
    with pytest.raises(
        UserError, match=r"gaps\.csv: 2 of 1,200 values are missing, the first is 'width' of s002; fill"
    ):
        build_vectors(request(home, **gaps))
    pack = build_vectors(request(home, **gaps, fill=True)).pack
    assert np.isnan(pack.vectors(pack.find_rows(["s002"]))).tolist() == [[False, True, False, True, False]]
    mean, std, *_ = feature_statistics(pack.vectors, np.arange(240))
    values = pack.vectors(np.arange(240)).astype(np.float64)
    np.testing.assert_allclose(mean, np.nanmean(values, axis=0), rtol=1e-6)
    np.testing.assert_allclose(std, np.nanstd(values, axis=0), rtol=1e-6)


def test_a_gap_scores_as_the_training_mean_does(home: Path, tmp_path: Path) -> None:
    recipe = recipe_of(home, run="gap")
    plan = plan_training(start_run(recipe), recipe.members[0])
    train_member(plan, QUIET)
    member = Member.load(plan.folder, "cpu")
    vector = Pack.open(home / "pack").vectors(np.array([0]))
    gap, mean = vector.copy(), vector.copy()
    gap[0, 1], mean[0, 1] = np.nan, member.manifest.mean[1]
    np.testing.assert_allclose(member.logits(gap), member.logits(mean), atol=1e-5)
    assert not np.allclose(member.logits(gap), member.logits(vector), atol=1e-3)
    with pytest.raises(
        UserError, match=r"'leaf' scores float32 vectors of shape \(B, 5\), got float32 of shape \(1, 4\)"
    ):
        member.logits(gap[:, :4])


def test_a_constant_feature_far_from_zero_does_not_blow_up(tmp_path: Path) -> None:
    vectors = np.column_stack([np.full(50, 1e6), 1e6 + np.arange(50)])
    names = [("Dots",)] * 50
    ids = [f"s{i}" for i in range(50)]
    write_vector_pack(tmp_path, vectors, ids, names, [""] * 50, ("a", "b"), Taxonomy.from_text(TREE), "")
    mean, std, *_ = feature_statistics(Pack.open(tmp_path).vectors, np.arange(50))
    np.testing.assert_allclose(mean, [1e6, 1e6 + 24.5])
    np.testing.assert_allclose(std, [IDLE, np.arange(50).std()], rtol=1e-6)


@pytest.mark.parametrize("gap", ["", "NA", "nan", "?", "Null", " none "])
def test_a_table_is_the_same_however_it_is_separated(tmp_path: Path, gap: str) -> None:
    rows = np.random.default_rng(1).normal(0, 1e3, (40, 3)).tolist()
    cells = [[f"{i:03}", *map(repr, row)] for i, row in enumerate(rows)]
    cells[3][2], cells[5][3] = gap, gap
    for name, mark in (("fast.csv", ","), ("slow.csv", ";")):  # pandas reads only plain tables, separated by commas
        (tmp_path / name).write_text("\n".join(mark.join(row) for row in [["id", "a", "b ", "c"], *cells]) + "\n")
    fast, slow = read_vectors(VectorSource(tmp_path / "fast.csv")), read_vectors(VectorSource(tmp_path / "slow.csv"))
    assert (fast.ids[:2], fast.features) == (("000", "001"), ("a", "b", "c"))
    assert (fast.ids, fast.features) == (slow.ids, slow.features)
    np.testing.assert_array_equal(fast.values, slow.values)
    assert np.argwhere(np.isnan(fast.values)).tolist() == [[3, 1], [5, 2]]


def test_feature_statistics_leave_gaps_out_whatever_rows_they_are_in() -> None:
    table = np.random.default_rng(3).normal([5, -2, 0, 1], [1, 1e-3, 1, 7], (9000, 4)).astype(np.float32)
    table[:4500, 0] = np.nan  # missing in all of the rows that are read first
    table[::3, 1] = np.nan
    table[:, 2] = np.nan
    mean, std, *_ = feature_statistics(table.__getitem__, np.arange(9000))
    kept = table[:, [0, 1, 3]].astype(np.float64)
    np.testing.assert_allclose(mean, np.insert(np.nanmean(kept, axis=0), 2, 0.0), rtol=1e-9)
    np.testing.assert_allclose(std, np.insert(np.nanstd(kept, axis=0), 2, IDLE), rtol=1e-9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,a\nx,1\nx,2\n", "id 'x' appears twice; a sample has one vector"),
        ("id,a\nx,red\n", "v.csv:2: 'red' in the column 'a' is no number"),
        ("id,a\nx,1e60\n", "1 values are infinite or too large for float32, the first is 'a' of x"),
        ("id,a\n", "v.csv: holds no vectors"),
        ("id\nx\n", "v.csv: holds no vectors"),
        ("id,a\n=x,1\n", "'=x' is no id"),
    ],
)
def test_a_bad_table_of_vectors_is_named_with_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "v.csv").write_text(text)
    with pytest.raises(UserError) as error:
        read_vectors(VectorSource(tmp_path / "v.csv"))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("array", "ids", "message"),
    [
        (np.zeros(4), "a\n", "float64 of shape (4,); vectors are numbers of shape (samples, features)"),
        (np.zeros((2, 3)), "a\n", "1 ids for the 2 rows"),
        (np.array([["a"]]), "a\n", "vectors are numbers"),
    ],
)
def test_a_bad_array_of_vectors_is_named_with_what_is_wrong(
    tmp_path: Path, array: np.ndarray, ids: str, message: str
) -> None:
    np.save(tmp_path / "v.npy", array)
    (tmp_path / "ids").write_text(ids)
    with pytest.raises(UserError) as error:
        read_vectors(VectorSource(tmp_path / "v.npy", tmp_path / "ids"))
    assert message in str(error.value)
    with pytest.raises(UserError, match="an array has no ids; give --ids FILE"):
        read_vectors(VectorSource(tmp_path / "v.npy"))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("hot", [False, True])
def test_labels_in_the_table_of_vectors_are_no_features(home: Path, tmp_path: Path, suffix: str, hot: bool) -> None:
    frame = pd.read_csv(home / "vectors.csv").merge(pd.read_csv(home / "labels.csv"), left_on="id", right_on="Id")
    labels = frame["Target"].str.get_dummies("|") if hot else frame[["Target"]]
    frame, path = pd.concat([frame[["id", *FEATURES]], labels], axis=1), tmp_path / f"both{suffix}"
    frame.to_csv(path, index=False) if suffix == ".csv" else frame.to_parquet(path)
    report = build_vectors(request(home, vectors=path, labels=path, out=tmp_path / "pack"))
    assert report.pack.shards == Pack.open(home / "pack").shards
    assert report.pack.nodes == Pack.open(home / "pack").nodes
    assert f"left out, as labels: {', '.join(map(repr, labels))}" in report.sample_notes


def test_vectors_and_rows_that_do_not_match_stop_or_are_left_out(home: Path, tmp_path: Path) -> None:
    lines = (home / "labels.csv").read_text().splitlines()
    (tmp_path / "labels.csv").write_text("\n".join([lines[0], *lines[2:], "extra,Dots"]))
    other = {"labels": tmp_path / "labels.csv", "out": tmp_path / "pack"}
    with pytest.raises(
        UserError, match=r"(?s)2 problems.*vector without row \(1\): s000.*row without vector \(1\): extra"
    ):
        build_vectors(request(home, **other))
    report = build_vectors(request(home, **other, on_problem="skip"))
    assert len(report.pack) == 239
    assert {reject.id: reject.reason for reject in report.rejects} == {
        "s000": "no row in labels.csv",
        "extra": "no vector",
    }


@pytest.mark.parametrize(
    ("training", "message"),
    [
        (
            {"backbone": "small_cnn"},
            "training.backbone: 'small_cnn' takes images, and .* holds vectors; set it to mlp",
        ),
        ({"frozen": True}, "training.frozen: has no effect on vectors, which .* holds; leave it out"),
        ({"augment": {"drop_channels": {"red": 0.5}}}, r"training.augment.drop_channels: has no effect on vectors"),
        ({"augment": {"mixing": "mixup"}}, r"training.augment.mixing: has no effect on vectors"),
        ({"sizes": [32, 64]}, r"training.sizes: has no effect on vectors"),
        ({"pooling": "max"}, r"training.pooling: has no effect on vectors"),
    ],
)
def test_what_only_images_have_is_refused_for_vectors(home: Path, training: dict[str, object], message: str) -> None:
    recipe = recipe_of(home, run="refused", training=training)
    with pytest.raises(UserError, match=message):
        plan_training(start_run(recipe), recipe.members[0])


def test_flags_of_images_and_of_vectors_are_not_mixed(home: Path, tmp_path: Path) -> None:
    base = ["pack", "--labels", str(home / "labels.csv"), "--taxonomy", str(home / "toy.yaml"), "--out", str(tmp_path)]
    with pytest.raises(UserError, match="--size: goes with --images; vectors have none of that, leave it out"):
        data([*base, "--vectors", str(home / "vectors.csv"), "--size", "64"])
    with pytest.raises(UserError, match="--fill: goes with --vectors; leave it out for images"):
        data([*base, "--images", str(home), "--fill", "mean"])


def test_the_pack_command_tells_of_vectors(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tables = ["--vectors", str(home / "vectors.csv"), "--labels", str(home / "labels.csv")]
    data(["pack", *tables, "--taxonomy", str(home / "toy.yaml"), "--out", str(tmp_path / "p")])
    assert "240 vectors of 5 features" in capsys.readouterr().out
    assert json.loads((tmp_path / "p" / "pack.json").read_text())["facts"]["kind"] == "vectors"


def test_a_chain_first_learns_only_below_what_is_present(tmp_path: Path) -> None:
    taxonomy = Taxonomy.from_text(TREE)
    vectors, _ = make_vectors(60)
    names = [("Dots",) if i % 2 else ("Rings",) for i in range(60)]  # nothing is ever outside
    ids = [f"s{i:03d}" for i in range(60)]
    write_vector_pack(tmp_path / "pack", vectors, ids, names, [""] * 60, FEATURES, taxonomy, "made for a test")
    (tmp_path / "toy.yaml").write_text(TREE)
    moved = {}
    for share in (0.0, 1.0):
        training = {"head": "chain", "chain": {"first_stage": share}, "epochs": 2}
        recipe = recipe_of(tmp_path, run=f"share{share:g}", training=training)
        plan = plan_training(start_run(recipe), recipe.members[1])
        train_member(plan, QUIET)
        member = Member.load(plan.folder, "cpu")
        share_of = np.array([1.0, 0.5, 0.5, 0, 0, 0])  # of Inside, Dots, Rings, Outside, Blobs, Smears
        first = np.log(np.clip(share_of, 1e-4, 1 - 1e-4)) - np.log1p(-np.clip(share_of, 1e-4, 1 - 1e-4))
        bias = member.network.head.linear.bias.detach().numpy()  # type: ignore[operator,union-attr]
        moved[share] = dict(zip(member.nodes, np.abs(bias - first) > 1e-5, strict=True))
    assert moved[0.0]["Blobs"]
    assert not moved[1.0]["Blobs"]
    assert not moved[1.0]["Smears"]
    assert moved[1.0]["Outside"]


def test_the_recipe_says_what_is_below_an_annotated_group(tmp_path: Path) -> None:
    vectors, _ = make_vectors(60)
    names = [("Inside",), ("Dots",), ("Outside", "Rings")] * 20
    ids = [f"s{i:03d}" for i in range(60)]
    taxonomy = Taxonomy.from_text(TREE)
    write_vector_pack(tmp_path / "pack", vectors, ids, names, [""] * 60, FEATURES, taxonomy, "made for a test")
    (tmp_path / "toy.yaml").write_text(TREE)
    for below in ("unknown", "absent"):
        data = {"pack": str(tmp_path / "pack"), "below_annotation": below}
        run = start_run(recipe_of(tmp_path, run=below, data=data))
        part = run.part("train", taxonomy.nodes)
        column = taxonomy.column["Blobs"]
        known = part.known[:, column]
        outside = part.present[:, taxonomy.column["Outside"]]
        assert not part.present[:, column].any()
        assert (known == ((below == "absent") | ~outside)).all()
        assert outside.any()
