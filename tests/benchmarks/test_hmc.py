"""The benchmark on hierarchical data sets, on drawn ones: the whole way, what it prints, and what it refuses."""

from __future__ import annotations

import csv
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from hpa_hier.errors import UserError
from hpa_hier.settings.recipe import MemberSettings, Recipe

ROOT = Path(__file__).resolve().parents[2]
RECIPE = """
data: {below_annotation: absent}
training: {backbone: mlp, mlp: {hidden: 8, layers: 1}, stop_on: none, batch_size: 16, max_steps: 8}
members:
  - {name: trunk-one, level: all, training: {mlp: {dropout: 0.1}}}
  - {name: trunk-two, level: all, training: {mlp: {dropout: 0.5, input_dropout: 0.2}, learning_rate: 0.01}}
  - {name: flat-0, level: all}
  - {name: flat-1, level: all, seed: 1}
  - {name: flat-scores-0, level: all, training: {vectors: normal_scores}}
  - {name: constraint-0, level: all, training: {loss: max_constraint}}
  - name: trees-0
    level: all
    training: {backbone: sklearn, estimator: label_trees, estimator_parameters: {n_estimators: 5}}
ensemble:
  members: [flat-0, flat-scores-0, constraint-0, trees-0]
  baseline: [flat-0, flat-1]
  calibrate: none
  aggregate: selection
  bootstrap: 0
  folds: 0
"""
EDGES = "root/GO0003674,GO0003674/a,GO0003674/b,a/c,b/c,root/d,d/E"


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hmc", ROOT / "benchmarks" / "hmc.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # data classes look their module up
    spec.loader.exec_module(module)
    return module


hmc = script()


def draw(path: Path, count: int, seed: int, classes: str = EDGES, nominal: str = "{x,y}") -> Path:
    """Write an ARFF file whose classes follow its attributes."""
    rng = np.random.default_rng(seed)
    names = sorted({entry.split("/")[-1] for entry in classes.split(",")})
    lines = ["@RELATION drawn", "@ATTRIBUTE 'a b' numeric", "@ATTRIBUTE wide numeric", f"@ATTRIBUTE kind {nominal}"]
    lines += [f"@ATTRIBUTE class hierarchical {classes}", "@DATA"]
    for _ in range(count):
        at = int(rng.integers(len(names)))
        first = "?" if rng.random() < 0.1 else f"{at + rng.normal():.3f}"
        labels = "@".join({names[at], names[int(rng.integers(len(names)))]})
        lines.append(f"{first},{np.exp(at + rng.normal()):.3f},{'xy'[at % 2]},{labels}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def arguments(folder: Path, *, valid: bool = True) -> list[str]:
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    files = ["--train", str(draw(folder / "a.arff", 60, 0)), "--test", str(draw(folder / "c.arff", 30, 2))]
    files += ["--valid", str(draw(folder / "b.arff", 30, 1))] if valid else []
    return [*files, "--config", str(folder / "recipe.yaml"), "--out", str(folder / "out"), "--device", "cpu"]


def test_every_system_is_measured_and_answers_without_violations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert hmc.main([*arguments(tmp_path), "--seeds", "0", "1"]) == 0
    told = capsys.readouterr()
    assert "- train: a.arff, 60 samples, sha256 " in told.out
    assert "5 nodes, 5 with positives in the test part" in told.out  # without the root and the namespace
    with (tmp_path / "out" / "table.csv").open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    systems = [row["system"] for row in rows if row["seed"] == "0"]
    assert systems == [row["system"] for row in rows if row["seed"] == "1"]
    assert {*systems} <= {
        "flat",
        "flat-scores",
        "constraint",
        "trees",
        "trunk-one",
        "trunk-two",
        "flat ensemble",
        "full ensemble",
    }
    assert systems[-2:] == ["flat ensemble", "full ensemble"]
    assert "validation part: flat 0." in told.err
    assert "; full ensemble: " in told.err
    assert {row["violations"] for row in rows} == {"0.0"}
    assert all(0 < float(row["AU(PRC)"]) <= 1 for row in rows)
    full = [row for row in rows if row["system"] == "full ensemble"]
    mean = np.mean([float(row["AU(PRC)"]) for row in full])
    assert f"| full ensemble | {full[0]['members']} | {mean:.4f} ± " in told.out
    again = arguments(tmp_path)
    draw(tmp_path / "c.arff", 30, 3)
    with pytest.raises(UserError, match=r"out: holds what was made of other files; name another folder with --out"):
        hmc.main(again)


def test_without_a_validation_part_a_quarter_of_the_training_part_is_held_out(tmp_path: Path) -> None:
    data = hmc.read_set({"train": draw(tmp_path / "a.arff", 60, 0), "test": draw(tmp_path / "c.arff", 30, 2)})
    assert [len(data.part(name)) for name in ("train", "valid", "test")] == [45, 15, 30]
    assert not set(data.part("train")) & set(data.part("valid"))


def test_attributes_are_as_they_were_written_and_gaps_stay_gaps(tmp_path: Path) -> None:
    train, test = draw(tmp_path / "a.arff", 60, 0), draw(tmp_path / "c.arff", 30, 2)
    data = hmc.read_set({"train": train, "test": test})
    assert data.features == ("a b", "wide", "kind=x", "kind=y")
    first = next(line for line in train.read_text().splitlines() if line[0] in "-0123456789").split(",")
    np.testing.assert_allclose(data.values[0, :2], [float(first[0]), float(first[1])], rtol=1e-6)
    assert np.isnan(data.values[:, 0]).any()


def test_the_search_for_a_trunk_climbs_from_the_middle_and_stops_at_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"trunk-a": 0.1, "trunk-b": 0.3, "trunk-c": 0.2, "trunk-d": 0.9}
    members = [{"name": name, "level": "all"} for name in values]
    bench, tried = hmc.Bench.__new__(hmc.Bench), []
    bench.recipe, bench.parts, bench.notes = Recipe.model_validate({"members": members}), {}, []
    monkeypatch.setattr(bench, "train", lambda run, parts, listed: tried.append(listed[0].name))
    monkeypatch.setattr(bench, "scores", lambda run, name: name)
    monkeypatch.setattr(bench, "au_prc", values.get)
    assert [one.name for one in bench.choose_trunks()] == ["trunk-b", "trunk-c", "trunk-a"]
    assert tried == ["trunk-b", "trunk-c", "trunk-a"]
    values["trunk-c"] = 0.5
    assert bench.choose_trunks()[0].name == "trunk-d"


def test_a_network_sees_as_many_passes_when_there_are_more_samples() -> None:
    member = MemberSettings(name="a", level="all", training={"max_steps": 400, "batch_size": 16})
    assert hmc._lengthen(member, 1.5).training == {"max_steps": 600, "batch_size": 16}
    passes = MemberSettings(name="a", level="all", training={"epochs": 60})
    assert hmc._lengthen(passes, 1.5) == passes


def test_members_are_shared_out_by_weight_and_never_more_than_there_are() -> None:
    weights = {"flat": 0.5, "both": 0.3, "trees": 0.2, "chain": 0.0}
    assert hmc.share_members(weights, 6, ["flat", "both", "chain"]) == {"flat": 3, "both": 2, "trees": 1}
    assert hmc.share_members(weights, 2, ["flat", "both", "chain"]) == {"flat": 1, "both": 1}
    assert hmc.share_members({"trees": 1.0}, 4, []) == {"trees": 1}


def test_the_metric_is_micro_average_precision_over_all_nodes_but_the_root(tmp_path: Path) -> None:
    data = hmc.read_set({"train": draw(tmp_path / "a.arff", 60, 0), "test": draw(tmp_path / "c.arff", 30, 2)})
    assert sorted(data.taxonomy.nodes) == ["E", "GO0003674", "a", "b", "c", "d"]
    truth = data.truth(data.part("test"))
    assert (truth.present[:, data.taxonomy.column["GO0003674"]] >= truth.present[:, data.taxonomy.column["c"]]).all()
    probs = np.random.default_rng(0).random(truth.present.shape)
    counted = [data.taxonomy.column[node] for node in ("E", "a", "b", "c", "d")]
    wanted = average_precision_score(truth.present[:, counted].ravel(), probs[:, counted].ravel())
    bench = hmc.Bench.__new__(hmc.Bench)
    bench.data = data
    assert bench.micro_ap(truth, probs) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("classes", "nominal", "message"),
    [
        (EDGES, "{x,y,z}", r"c\.arff: has other attributes than .*a\.arff; the files are of two data sets"),
        (EDGES + ",d/f", "{x,y}", r"c\.arff:\d+: 'f' is not a class of the attribute"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(
    tmp_path: Path, classes: str, nominal: str, message: str
) -> None:
    train, test = draw(tmp_path / "a.arff", 60, 0), draw(tmp_path / "c.arff", 30, 2, classes, nominal)
    with pytest.raises(UserError, match=message):
        hmc.read_set({"train": train, "test": test})


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.arff: no such file"):
        hmc.main(["--train", str(tmp_path / "absent.arff"), "--test", str(tmp_path / "absent.arff")])
