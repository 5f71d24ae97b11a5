"""Other models' score tables: fitted on, predicted from, and refused with a message each."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from hpa_hier.cli.ensemble import main
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_json

TAXONOMY = """taxonomy: small
levels: {coarse: 1, leaf: leaves}
tree:
  Nucleus:
    Nucleoplasm: {label: 0}
    Nucleoli: {label: 2}
  Cytoplasm:
    Cytosol: {label: 25}
    Centrosome: {label: 19}
"""
LEAVES = ("Nucleoplasm", "Nucleoli", "Cytosol", "Centrosome")


class Tables:
    """Drawn scores of 120 labelled and 40 other samples by three models."""

    def __init__(self, home: Path) -> None:
        rng = np.random.default_rng(0)
        self.home = home
        self.ids = [f"s{i:03d}" for i in range(160)]
        self.present = rng.random((160, 4)) < 0.3
        shared = rng.normal(size=(160, 4))
        self.logits = {
            name: 3 * self.present - 1.5 + shared + 0.5 * rng.normal(size=(160, 4)) for name in ("a", "b", "c")
        }
        (home / "small.yaml").write_text(TAXONOMY)
        labels = {"0": 0, "2": 1, "25": 2, "19": 3}
        rows = [["Id", "Target"]]
        for i in range(120):
            rows.append([self.ids[i], " ".join(label for label, j in labels.items() if self.present[i, j]) or "0"])
        write(home / "labels.csv", rows)
        for name in self.logits:
            self.write(name, f"{name}-fit.csv", range(120))
            self.write(name, f"{name}-new.csv", range(120, 160))

    def write(self, name: str, file: str, rows: object, columns: tuple[int, ...] = (0, 1, 2, 3)) -> Path:
        table = [["id", *(LEAVES[j] for j in columns)]]
        table += [[self.ids[i], *(f"{expit(self.logits[name][i, j]):.6f}" for j in columns)] for i in rows]
        return write(self.home / file, table)

    def fit(self, *flags: str, **files: str) -> int:
        given = [f"{name}={self.home / files.get(name, f'{name}-fit.csv')}" for name in self.logits]
        places = ["--labels", str(self.home / "labels.csv"), "--taxonomy", str(self.home / "small.yaml")]
        kind = [] if "--score-kind" in flags else ["--score-kind", "probs"]
        return main(["fit", "--scores", *given, *kind, *places, "--run", str(self.home / "run"), *flags])

    def predict(self, out: str = "out", **files: str) -> int:
        given = [f"{name}={self.home / files.get(name, f'{name}-new.csv')}" for name in sorted(self.logits)]
        return main(["predict", "--scores", *given, "--run", str(self.home / "run"), "--out", str(self.home / out)])


def write(path: Path, rows: list[list[str]]) -> Path:
    with path.open("w", newline="") as handle:
        csv.writer(handle).writerows(rows)
    return path


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture
def tables(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Tables(tmp_path)


def test_tables_are_fitted_and_predicted_and_say_how_it_was_decided(tables, capsys):
    assert tables.fit("--set", "ensemble.thresholds=plugin") == 0  # of the rules, the one near the most right answers
    assert "the mean" in capsys.readouterr().out
    assert tables.predict() == 0
    predicted = read(tables.home / "out" / "predictions.csv")
    assert [row["id"] for row in predicted] == tables.ids[120:]
    said = np.array([[leaf in row["labels"].split("|") for leaf in LEAVES] for row in predicted])
    assert (said == tables.present[120:]).mean() > 0.85
    assert len(read(tables.home / "out" / "submission.csv")) == 40
    acceptance = read_json(tables.home / "run/ensemble/ensemble.json")["about"]["acceptance"]
    assert [row["node"] for row in acceptance["classes"]] == list(LEAVES)


def test_order_of_rows_columns_and_tables_does_not_matter(tables):
    tables.fit()
    tables.predict("one")
    rng = np.random.default_rng(1)
    for name in tables.logits:
        tables.write(name, f"{name}-fit.csv", rng.permutation(120), (2, 0, 3, 1) if name == "b" else (0, 1, 2, 3))
        tables.write(name, f"{name}-new.csv", 120 + rng.permutation(40), (3, 0, 2, 1))
    tables.logits = dict(reversed(tables.logits.items()))
    tables.fit()
    tables.predict("other")
    for name in ("predictions.csv", "probabilities.csv"):
        one, other = (tables.home / folder / name for folder in ("one", "other"))
        assert one.read_bytes() == other.read_bytes()


def test_a_model_may_cover_some_nodes_and_some_samples_and_that_is_said(tables, capsys):
    tables.write("b", "b-fit.csv", range(100), (0, 2))
    tables.write("b", "b-new.csv", range(130, 160), (0, 2))
    tables.fit()
    words = "member 'b' answers for 2 of 4 leaves and 100 of 120 samples; elsewhere the others speak"
    assert words in capsys.readouterr().out
    assert tables.predict() == 0
    assert len(read(tables.home / "out" / "predictions.csv")) == 40


def test_samples_that_no_table_answers_for_are_left_out_with_a_reason(tables):
    tables.write("b", "b-fit.csv", range(120), (0, 1))
    tables.fit()
    tables.write("a", "a-new.csv", range(121, 160))
    tables.write("b", "b-new.csv", range(120, 160), (0, 1))
    tables.write("c", "c-new.csv", range(121, 160))
    assert tables.predict() == 1
    reason = {"id": "s120", "file": "", "reason": "no table answers for the leaf 'Cytosol'"}
    assert read(tables.home / "out" / "rejected.csv") == [reason]


@pytest.mark.parametrize(
    ("line", "cell", "message"),
    [
        (0, "Nucleolii", r"a-fit.csv:1: column 'Nucleolii' is no node of .*; did you mean 'Nucleoli'"),
        (0, "nucleoplasm", r"a-fit.csv:1: columns 'Nucleoplasm' and 'nucleoplasm' are both 'Nucleoplasm'"),
        (2, "nan", r"a-fit.csv:3: 'nan' of 'Nucleoli' for 's001' is no finite number"),
        (2, "", r"a-fit.csv:3: '' of 'Nucleoli' for 's001' is no finite number"),
        (2, "inf", r"a-fit.csv:3: 'inf' of 'Nucleoli' for 's001' is no finite number"),
        (2, "high", r"a-fit.csv:3: 'high' of 'Nucleoli' for 's001' is no finite number"),
        (3, "1.2", r"a-fit.csv:4: probability 1.2 of 'Nucleoli' for 's002' is outside \[0, 1\]; .*--score-kind logits"),
        (3, "-0.1", r"a-fit.csv:4: probability -0.1 of 'Nucleoli'"),
    ],
)
def test_a_bad_cell_is_named_with_its_line(tables, line, cell, message):
    path = tables.home / "a-fit.csv"
    rows = list(csv.reader(path.open()))
    rows[line][2] = cell
    write(path, rows)
    with pytest.raises(UserError, match=message):
        tables.fit()


def test_an_id_that_stands_twice_is_refused(tables):
    tables.write("a", "a-fit.csv", [0, 1, 2, 1])
    with pytest.raises(UserError, match=r"a-fit.csv:5: the id 's001' is in line 3 already; keep one"):
        tables.fit()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a-fit.csv: the file is empty"),
        ("id,Cytosol\n", "a-fit.csv: holds no scores, only a header"),
        ("id\ns001\n", "a-fit.csv:1: holds only the column 'id'; add one column a node"),
        ("id,Cytosol\n=s,0.5\n", r"a-fit.csv:2: '=s' is no id"),
    ],
)
def test_a_table_without_scores_is_refused(tables, text, message):
    (tables.home / "a-fit.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        tables.fit()


def test_ids_that_meet_no_label_are_refused(tables):
    tables.ids = [f"other-{i}" for i in range(160)]
    for name in tables.logits:
        tables.write(name, f"{name}-fit.csv", range(120))
    with pytest.raises(UserError, match="none of its 120 ids, such as 's000', is in a score table"):
        tables.fit()


def test_the_kind_of_scores_must_be_said(tables):
    with pytest.raises(UserError, match="--scores needs --score-kind too"):
        main(["fit", "--scores", f"a={tables.home / 'a-fit.csv'}", "--labels", "labels.csv"])
    with pytest.raises(UserError, match="--score-kind goes with --scores"):
        main(["fit", "--score-kind", "probs"])


def test_predict_wants_the_tables_that_were_fitted(tables):
    tables.fit()
    tables.logits.pop("c")
    with pytest.raises(UserError, match="its ensemble combines a, b, c; got --scores of a, b"):
        tables.predict()
    with pytest.raises(
        UserError, match=r"predict needs images \(a folder or files\), --vectors FILE, --scores .* or --own"
    ):
        main(["predict", "--out", "out"])


def test_tables_cannot_be_fitted_into_a_run_with_members(tables):
    (tables.home / "run" / "members").mkdir(parents=True)
    with pytest.raises(UserError, match="is a run with members of its own; name another one with --run"):
        tables.fit()


def test_500_samples_of_28_classes_by_9_models_take_seconds(tmp_path, monkeypatch):
    from hpa_hier.taxonomy import Taxonomy

    monkeypatch.chdir(tmp_path)
    taxonomy = Taxonomy.load("hierarchy/hpa28.yaml")
    rng = np.random.default_rng(0)
    present = rng.random((500, 28)) < rng.uniform(0.005, 0.3, 28)
    labels = [" ".join(taxonomy.label(taxonomy.leaves[j]) for j in np.flatnonzero(row)) or "0" for row in present]
    write(tmp_path / "labels.csv", [["Id", "Target"], *([f"s{i}", label] for i, label in enumerate(labels))])
    files = []
    for e in range(9):
        scores = expit(5 * present - 3 + rng.normal(size=present.shape))
        rows = [[f"s{i}", *(f"{value:.5f}" for value in row)] for i, row in enumerate(scores)]
        files.append(f"m{e}={write(tmp_path / f'{e}.csv', [['id', *taxonomy.leaves], *rows])}")
    began = time.process_time()
    flags = ["--score-kind", "probs", "--labels", "labels.csv", "--taxonomy", "hierarchy/hpa28.yaml"]
    main(["fit", "--scores", *files, *flags, "--run", "run/of-nine"])
    main(["predict", "--scores", *files, "--run", "run/of-nine", "--out", "out"])
    assert time.process_time() - began < 5  # seconds


def test_a_fit_writes_what_each_class_reached_out_of_fold(tables, capsys):
    tables.fit()
    said = capsys.readouterr().out
    assert "out of fold, the aggregate: macro F1 0." in said
    folder = tables.home / "run" / "ensemble"
    rows = read(folder / "held_out.csv")
    assert [row["node"] for row in rows] == ["all classes", *LEAVES]
    kept = read_json(folder / "held_out.json")
    for row in rows:
        for figure in ("ap", "f1"):
            assert float(row[f"{figure}_low"]) <= float(row[figure]) <= float(row[f"{figure}_high"])
    assert float(rows[0]["f1"]) == pytest.approx(kept["ensemble"]["macro_f1"]["value"], abs=1e-4)
    assert float(rows[0]["f1"]) == pytest.approx(np.mean([float(row["f1"]) for row in rows[1:]]), abs=1e-3)
    assert int(rows[1]["positives"]) == next(one["positives"] for one in kept["classes"] if one["node"] == LEAVES[0])
    tables.fit("--set", "ensemble.folds=0")
    assert not (folder / "held_out.csv").exists()


def test_a_network_down_the_levels_is_fitted_and_used_from_tables_alone(tables):
    tables.write("b", "b-fit.csv", range(100), (0, 2))
    tables.write("b", "b-new.csv", range(130, 160), (0, 2))
    assert (
        tables.fit("--set", "ensemble.aggregate=rnn", "--set", "ensemble.folds=2", "--set", "ensemble.accept=0.01") == 0
    )
    kept = read_json(tables.home / "run/ensemble/ensemble.json")
    assert (kept["aggregate"]["rule"] == "rnn") == (tables.home / "run/ensemble/rnn.safetensors").is_file()
    assert kept["about"]["acceptance"]["decided"]
    assert tables.predict() == 0
    assert len(read(tables.home / "out" / "predictions.csv")) == 40


def test_vectors_are_not_predicted_by_an_ensemble_of_tables_alone(tables):
    tables.fit()
    (tables.home / "vectors.csv").write_text("id,f\na,1\n")
    with pytest.raises(UserError, match="fitted on score tables alone; use --scores, not --vectors"):
        main(["predict", "--vectors", "vectors.csv", "--run", "run", "--out", "o"])
