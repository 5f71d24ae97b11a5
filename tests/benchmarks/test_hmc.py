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

ROOT = Path(__file__).resolve().parents[2]
RECIPE = """
data: {below_annotation: absent}
training: {backbone: mlp, mlp: {hidden: 8, layers: 1}, levels: {hidden: 4}, stop_on: none, batch_size: 16, max_steps: 8}
members:
  - {name: trunk-one, level: all, training: {mlp: {dropout: 0.1}}}
  - {name: trunk-two, level: all, training: {mlp: {dropout: 0.5, input_dropout: 0.2}}}
  - {name: flat-0, level: all}
  - {name: flat-1, level: all, seed: 1}
  - {name: constraint-0, level: all, training: {loss: max_constraint}}
  - {name: chain-0, level: all, training: {head: chain}}
  - {name: levels-0, level: all, training: {head: levels}}
ensemble:
  members: [flat-0, chain-0]
  baseline: [flat-0, flat-1]
  calibrate: none
  aggregate: blend
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
    assert "train: a.arff, 60 samples, sha256 " in told.out
    assert "5 nodes, 5 with positives in the test part" in told.out  # without the root and the namespace
    with (tmp_path / "out" / "table.csv").open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["system"] for row in rows] == [*hmc.ROWS, *hmc.ROWS]
    assert {row["violations"] for row in rows} == {"0.0"}
    assert all(0 < float(row["AU(PRC)"]) <= 1 for row in rows)
    assert f"| full ensemble | 2 | {np.mean([float(row['AU(PRC)']) for row in rows[5::6]]):.4f} ± " in told.out
    again = arguments(tmp_path)
    draw(tmp_path / "c.arff", 30, 3)
    with pytest.raises(UserError, match=r"out: holds what was made of other files; name another folder with --out"):
        hmc.main(again)


def test_without_a_validation_part_a_quarter_of_the_training_part_is_held_out(tmp_path: Path) -> None:
    data = hmc.read_set({"train": draw(tmp_path / "a.arff", 60, 0), "test": draw(tmp_path / "c.arff", 30, 2)})
    assert [len(data.part(name)) for name in ("train", "valid", "test")] == [45, 15, 30]
    assert not set(data.part("train")) & set(data.part("valid"))


def test_attributes_become_normal_scores_that_the_test_part_has_no_say_in(tmp_path: Path) -> None:
    train, test = draw(tmp_path / "a.arff", 60, 0), draw(tmp_path / "c.arff", 30, 2)
    data = hmc.read_set({"train": train, "test": test})
    assert data.features == ("a b", "wide", "kind=x", "kind=y")
    other = hmc.read_set({"train": train, "test": draw(tmp_path / "d.arff", 30, 3)})
    np.testing.assert_array_equal(data.values[:60], other.values[:60])
    assert np.nanmax(np.abs(data.values)) <= 3
    assert np.isnan(data.values[:, 0]).any()


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
