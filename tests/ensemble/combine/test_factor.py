"""The partition as nodes of the tree: members trained on a part of the images, and the factor that they lack."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from ensemble_cases import SEEDS, draw_member, draw_truth, random_taxonomy
from examples import examples
from hypothesis import given
from scipy.special import expit, logit

from hpa_hier.cli import train
from hpa_hier.cli.ensemble import main
from hpa_hier.data.labels.partition import add_partition_nodes
from hpa_hier.ensemble import ensemble_file as keep
from hpa_hier.ensemble.combine.factor import apply_factors, product_logits
from hpa_hier.ensemble.decide.safe import SafeRule
from hpa_hier.ensemble.fit import fit
from hpa_hier.ensemble.scores.scores import Scores
from hpa_hier.errors import UserError
from hpa_hier.settings.recipe import EnsembleSettings, MemberSettings, SimulateSettings
from hpa_hier.simulate.write import write_folder
from hpa_hier.taxonomy import Taxonomy

often = examples(200)
PLAIN = EnsembleSettings(calibrate="none", aggregate="mean", refine=False, thresholds="fixed", bootstrap=0, folds=0)


def halved(taxonomy: Taxonomy) -> tuple[Taxonomy, dict[str, tuple[str, ...]]]:
    cut = (len(taxonomy.leaves) + 1) // 2
    sides = {"majority": taxonomy.leaves[:cut], "minority": taxonomy.leaves[cut:]}
    return add_partition_nodes(taxonomy, sides), sides


@often
@given(SEEDS)
def test_invariants_the_logit_of_a_product_is_that_of_the_multiplied_probabilities(seed):
    one, other = np.random.default_rng(seed).normal(0, 4, (2, 20))
    assert product_logits(one, other) == pytest.approx(logit(expit(one) * expit(other)), rel=1e-6, abs=1e-9)
    assert np.isfinite(product_logits(np.array([800.0, -800.0]), np.array([800.0, 800.0]))).all()


@often
@given(SEEDS)
def test_invariants_a_member_of_one_part_is_multiplied_by_the_probability_of_the_part(seed):
    rng = np.random.default_rng(seed)
    logits = list(rng.normal(size=(3, 6, 4)))
    covers = np.array([[1, 0, 0, 0], [1, 1, 1, 0], [0, 0, 1, 1]], bool)
    factored = apply_factors([one * known for one, known in zip(logits, covers, strict=True)], covers, [None, None, 0])
    part = expit((logits[0][:, 0] + logits[1][:, 0]) / 2)
    assert expit(factored[2][:, 2:]) == pytest.approx(part[:, None] * expit(logits[2][:, 2:]))
    assert (factored[2][:, :2] == 0).all()
    assert (factored[1] == logits[1] * covers[1]).all()


@often
@given(SEEDS)
def test_invariants_virtual_nodes_change_no_other_node_and_are_no_answer(seed):
    rng = np.random.default_rng(seed)
    plain = random_taxonomy(rng)
    if len(plain.leaves) < 2:
        return
    taxonomy, sides = halved(plain)
    assert (
        taxonomy.without_virtual.nodes == plain.nodes == tuple(n for n in taxonomy.nodes if n not in taxonomy.virtual)
    )
    assert [taxonomy.level(name) for name in plain.levels] == [plain.level(name) for name in plain.levels]
    assert taxonomy.groups == plain.groups
    assert {node: taxonomy.meaning(node) for node in plain.nodes} == {node: plain.meaning(node) for node in plain.nodes}
    assert taxonomy.leaves_below("has_minority") == sides["minority"]
    everything = np.ones((9, len(taxonomy.nodes)), bool)
    rule = SafeRule(np.full(len(taxonomy.nodes), 0.3))
    safe = rule.answer(rng.random(everything.shape), everything, taxonomy)
    assert not {taxonomy.nodes[j] for j in safe.column if j >= 0} & {*taxonomy.virtual}


@pytest.mark.parametrize("seed", range(5))
def test_an_ensemble_with_a_part_member_is_coherent_kept_and_better_than_without_the_factor(seed, tmp_path):
    rng = np.random.default_rng(seed)
    taxonomy, sides = halved(random_taxonomy(rng))
    truth = draw_truth(rng, taxonomy, 400, unknown=0)
    part = draw_member(rng, "part", taxonomy.virtual, truth, taxonomy)
    majority = draw_member(rng, "majority", sides["majority"], truth, taxonomy)
    in_part = truth.present[:, taxonomy.column["has_minority"]]
    own = draw_member(rng, "minority", sides["minority"], truth, taxonomy)
    blind = np.where(
        in_part[:, None], own.logits, rng.normal(2, 1, own.logits.shape)
    )  # elsewhere it has learned nothing
    members = [part, majority, Scores("minority", own.ids, own.nodes, blind, given="has_minority")]
    ensemble = fit(members, truth, taxonomy, PLAIN.model_copy(update={"calibrate": "platt"}))
    prediction = ensemble.predict(members)
    above = taxonomy.closure
    for node in range(len(taxonomy.nodes)):
        assert (prediction.probs[:, [node]] <= prediction.probs[:, above[node]]).all()
    keep.save(ensemble, tmp_path)
    assert keep.load(tmp_path).predict(members).probs.tobytes() == prediction.probs.tobytes()
    concat = fit(members, truth, taxonomy, PLAIN.model_copy(update={"aggregate": "concat"})).predict(members)
    columns = [taxonomy.column[leaf] for leaf in sides["minority"]]
    wrong = [np.abs(one.probs[:, columns] - truth.present[:, columns]).mean() for one in (prediction, concat)]
    assert wrong[0] < wrong[1]


def test_a_part_member_without_its_factor_is_refused_unless_it_is_only_concatenated():
    rng = np.random.default_rng(0)
    plain = random_taxonomy(rng)
    taxonomy, sides = halved(plain)
    for tree in (taxonomy, plain):
        truth = draw_truth(rng, tree, 60)
        leaf = draw_member(rng, "leaf", tree.leaves, truth, tree)
        few = draw_member(rng, "minority", sides["minority"], truth, tree)
        members = [leaf, Scores("minority", few.ids, few.nodes, few.logits, given="has_minority")]
        message = r"member 'minority' was trained on images of 'has_minority' alone .* level: partition"
        with pytest.raises(UserError, match=message):
            fit(members, truth, tree, PLAIN)
        fit(members, truth, tree, PLAIN.model_copy(update={"aggregate": "concat"}))


def test_a_level_has_no_images_of_its_own():
    with pytest.raises(ValueError, match="images: own goes with a group or a partition, not with a level"):
        MemberSettings(name="leaf", level="leaf", images="own")


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("virtual: []", r"t.yaml:5: 'virtual' must be nodes with their leaves .*, got an empty list"),
        ("virtual: {has_x: []}", r"t.yaml:5: 'has_x' must list leaves, got an empty list"),
        ("virtual: {has_x: [Nucleolii]}", r"t.yaml:5: 'Nucleolii' is no leaf of the tree; did you mean 'Nucleoli'"),
        ("virtual: {has_x: [Nucleus]}", r"t.yaml:5: 'Nucleus' is no leaf of the tree"),
        ("virtual: {has_x: [Nucleoli, Nucleoli]}", r"t.yaml:5: 'Nucleoli' is listed twice in 'has_x'; remove one"),
        ("virtual: {nucleus: [Nucleoli]}", r"t.yaml:5: the virtual node 'nucleus' has the name of a node of the tree"),
    ],
)
def test_a_wrong_virtual_node_is_named_with_its_line(block, message):
    text = f"taxonomy: t\nlevels: {{leaf: leaves}}\ntree:\n  Nucleus: {{Nucleoli: {{label: 2}}}}\n{block}\n"
    with pytest.raises(UserError, match=message):
        Taxonomy.from_text(text, "t.yaml")


def test_a_group_annotated_alone_leaves_untold_which_part_the_image_is_of():
    from hpa_hier.data.labels.table import targets

    text = (
        "taxonomy: t\nlevels: {leaf: leaves}\ntree:\n  Vesicles: {open: true, label: v, A: {label: a}, B: {label: b}}\n"
    )
    taxonomy = Taxonomy.from_text(f"{text}  C: {{label: c}}\nvirtual: {{has_minority: [A, C]}}\n")
    told = targets([("Vesicles",), ("C", "Vesicles"), ("B",)], taxonomy)
    column = taxonomy.column["has_minority"]
    assert told.present[:, column].tolist() == [False, True, False]
    assert told.known[:, column].tolist() == [False, True, True]


RECIPE = """run: parts
artifacts: {artifacts}
data: {{image_size: 32}}
simulate: {{count: 260, image_size: 32}}
partition: {{virtual_nodes: {virtual}, majority: [Nucleoplasm, Cytosol, Plasma membrane]}}
training: {{width: 4, epochs: 1, batch_size: 32, stop_on: none}}
members:
  - {{name: parts, level: partition}}
  - {{name: majority, partition: majority}}
  - {{name: minority, partition: minority, images: own}}
ensemble: {{members: [{members}], bootstrap: 10, folds: 2}}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("parts")
    text = RECIPE.format(artifacts=home / "artifacts", virtual="true", members="parts, majority, minority")
    (home / "parts.yaml").write_text(text)
    for member in ("parts", "majority", "minority"):
        train.main(["--member", member, "--config", str(home / "parts.yaml"), "--device", "cpu", "--no-progress"])
    write_folder(home / "images", SimulateSettings(count=5, image_size=48, seed=3))
    return home


def test_the_whole_way_with_parts_never_answers_a_virtual_node(home, capsys):
    config = ["--config", str(home / "parts.yaml")]
    assert main(["fit", *config]) == 0
    assert main(["evaluate", *config]) == 0
    run = ["--run", str(home / "artifacts" / "parts")]
    images = ["--images", str(home / "images"), "--device", "cpu"]
    assert main(["predict", *run, *images, "--out", str(home / "out")]) == 0
    for name in ("predictions.csv", "probabilities.csv"):
        with (home / "out" / name).open(newline="") as handle:
            rows = list(csv.reader(handle))
        assert not [cell for row in rows for cell in row if "has_m" in cell]
        assert len(rows) == 6
    capsys.readouterr()
    first = next(line for line in (home / "artifacts/parts/split.csv").read_text().splitlines() if ",test," in line)
    explain = ["explain", first.split(",")[0], *config, "--device", "cpu"]
    assert main([*explain, "--numbers"]) == 0
    assert "has_minority" in capsys.readouterr().out
    assert main(explain) == 0
    assert "has_minority" not in capsys.readouterr().out
    kept = keep.load(home / "artifacts/parts/ensemble")
    assert kept.combiner.factors == {"minority": "has_minority"}


def test_a_run_whose_ensemble_leaves_the_factor_out_is_refused(home):
    with pytest.raises(UserError, match="member 'minority' was trained on images of 'has_minority' alone"):
        main(["fit", "--config", str(home / "parts.yaml"), "--set", "ensemble.members=[majority, minority]"])


def test_the_partition_level_needs_virtual_nodes(tmp_path):
    text = RECIPE.format(artifacts=tmp_path / "artifacts", virtual="false", members="majority")
    (tmp_path / "plain.yaml").write_text(text)
    with pytest.raises(UserError, match=r"level partition: .*partition.virtual_nodes: true"):
        train.main(["--member", "parts", "--config", str(tmp_path / "plain.yaml"), "--device", "cpu", "--no-progress"])
