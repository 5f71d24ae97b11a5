"""The shipped trees: what tables call their nodes, and a tree of another field from vectors to answers."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from hpa_hier.cli.data import main as data
from hpa_hier.cli.ensemble import main as ensemble
from hpa_hier.cli.train import main as train
from hpa_hier.files.shipped import shipped_names
from hpa_hier.taxonomy import Taxonomy

TREES = [Path(name).stem for name in shipped_names() if name.startswith("hierarchy/")]

CALLED = {
    "hpa28": {
        "Golgi": "Golgi apparatus",
        "nucleolus": "Nucleoli",
        "MTOC": "Microtubule organizing center",
        "ER": "Endoplasmic reticulum",
        "Mitochondrion": "Mitochondria",
        "F-actin": "Actin filaments",
        "Cytoplasm": "Cytoplasm",  # the group, and not the cytosol
        "vesicles": "Vesicles",
    },
    "hpa19_single_cell": {"Vesicles": "Vesicles and punctate cytosolic patterns", "Negative": "Negative"},
    "hela": {"Golgi": "Golgi apparatus", "giant": "Giantin", "ER": "Endoplasmic reticulum"},
    "yeast": {
        "Golgi": "Golgi",
        "lipid droplets": "lipid particle",
        "bud_neck": "bud neck",
        "ER to Golgi": "ER to Golgi",
    },
}


@pytest.mark.parametrize("name", TREES)
def test_names_and_labels_mean_their_own_node_whatever_aliases_there_are(name: str) -> None:
    taxonomy = Taxonomy.load(name)
    for node, entry in taxonomy.entries.items():
        assert taxonomy.find_node(node) == node
        for word in (*([] if entry.label is None else [entry.label]), *entry.aliases):
            assert taxonomy.find_node(word) == node


@pytest.mark.parametrize(("name", "words"), CALLED.items(), ids=CALLED)
def test_tables_may_use_the_words_of_the_field(name: str, words: dict[str, str]) -> None:
    taxonomy = Taxonomy.load(name)
    assert {word: taxonomy.find_node(word) for word in words} == words


def test_the_yeast_tree_has_the_categories_of_its_study() -> None:
    taxonomy = Taxonomy.load("yeast")
    assert len(taxonomy.leaves) == 22
    assert [taxonomy.label(leaf) for leaf in taxonomy.leaves] == list(taxonomy.leaves)
    assert taxonomy.find_node("ambiguous") is None  # the 23rd is no place


def test_a_tree_of_another_field_leads_from_vectors_to_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    places = ["nucleolus", "bud neck", "vacuole", "ER"]
    centres = rng.normal(0, 4, (4, 6))
    with Path("labels.csv").open("w", newline="") as labels, Path("vectors.csv").open("w", newline="") as vectors:
        told, numbers = csv.writer(labels), csv.writer(vectors)
        told.writerow(["yORF", "localization summary", "Localization"])
        numbers.writerow(["id", *(f"f{k}" for k in range(6)), "dead", "constant"])
        for k in range(80):
            told.writerow([f"Y{k:03}", "", f"{places[k % 4]},cytoplasm" if k % 8 == 0 else places[k % 4]])
            numbers.writerow([f"Y{k:03}", *(centres[k % 4] + rng.normal(0, 0.5, 6)).round(4), 1e-9 * (k == 7), 3])
    given = ["--vectors", "vectors.csv", "--labels", "labels.csv", "--taxonomy", "yeast"]
    assert data(["pack", *given, "--out", "pack"]) == 0
    settings = ["training.backbone=mlp", "training.epochs=20", "training.learning_rate=0.01", "split.folds=0"]
    settings += ["ensemble.members=[leaf]", "ensemble.baseline=[]", "ensemble.bootstrap=20"]
    sets = [word for setting in settings for word in ("--set", setting)]
    assert train(["--level", "Leaf", "--data", "pack", "--run", "y", "--no-progress", "--device", "cpu", *sets]) == 0
    assert ensemble(["fit", "--run", "y"]) == 0
    assert ensemble(["predict", "--vectors", "vectors.csv", "--run", "y", "--out", "answers", "--device", "cpu"]) == 0
    with Path("answers/submission.csv").open(newline="") as handle:
        answers = {row["Id"]: row["Predicted"].split("|") for row in csv.DictReader(handle)}
    lines = Path("vectors.csv").read_text().splitlines()
    Path("new.csv").write_text("\n".join([lines[0], *(line.rsplit(",", 2)[0] + ",1e-6,4" for line in lines[1:])]))
    assert ensemble(["predict", "--vectors", "new.csv", "--run", "y", "--out", "again", "--device", "cpu"]) == 0
    # what told nothing in training decides nothing, whatever it is now
    assert Path("again/submission.csv").read_text() == Path("answers/submission.csv").read_text()
    right = sum(places[k % 4] in answers[f"Y{k:03}"] for k in range(80))
    assert right > 60
    assert set().union(*map(set, answers.values())) - {""} <= set(Taxonomy.load("yeast").leaves)
