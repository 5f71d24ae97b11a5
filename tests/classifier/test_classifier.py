"""The classifier is an estimator of scikit-learn, and what it answers is what the run that it saves answers."""

from __future__ import annotations

import copy
import gc
import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from hpa_hier import HierarchicalClassifier
from hpa_hier.cli.main import dispatch
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_json
from hpa_hier.files.tables import read_table
from hpa_hier.training.loop.stopping import Interrupted

TREE = {"Animal": ["Cat", "Owl"], "Plant": ["Oak", "Fern"]}
LINEAR = ("linear", LogisticRegression())
NEAR = ("near", KNeighborsClassifier(5))


def _light(*estimators, **more) -> HierarchicalClassifier:
    return HierarchicalClassifier(estimators=list(estimators or (NEAR,)), **{"folds": 2, **more})


@parametrize_with_checks([_light(LINEAR)])
def test_scikit_learn_checks_hold(estimator, check) -> None:
    check(estimator)


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray]:
    """90 samples of two features, and which of four leaves each has: one, or two of different groups."""
    rng = np.random.default_rng(0)
    first = rng.integers(0, 4, 90)
    hot = np.eye(4, dtype=int)[first] | ((rng.random(90) < 0.3)[:, None] & np.eye(4, dtype=int)[(first + 2) % 4])
    return hot @ np.array([[3.0, 0], [0, 3], [-3, 1], [1, -3]]) + rng.normal(0, 0.4, (90, 2)), hot


NAMES = np.array(["Cat", "Owl", "Oak", "Fern"])
ABOVE = dict(zip(NAMES, ["Animal", "Animal", "Plant", "Plant"], strict=True))


def _forms(hot: np.ndarray) -> dict[str, object]:
    several = [[[ABOVE[name], name] for name in NAMES[row > 0]] for row in hot]
    return {
        "frame": pd.DataFrame(hot, columns=NAMES),
        "lists": [NAMES[row > 0].tolist() for row in hot],
        "paths": several,
    }


@pytest.fixture(scope="module")
def reference(drawn) -> HierarchicalClassifier:
    """Fitted on columns of 0 and 1, a column a leaf, of the first 60 samples."""
    X, hot = drawn
    return _light().fit(X[:60], hot[:60], taxonomy=TREE)


@pytest.mark.parametrize("form", ["frame", "lists", "paths"])
def test_several_labels_in_every_form_give_the_same_answers(drawn, reference, form: str) -> None:
    X, hot = drawn
    Y = _forms(hot[:60])[form]
    fitted = _light(taxonomy=TREE).fit(X[:60], Y)
    assert np.array_equal(fitted.answer(X[60:]).probs, reference.answer(X[60:]).probs)
    predicted = fitted.predict(X[60:])
    assert type(predicted) is (np.ndarray if form == "paths" else type(Y))
    assert fitted.score(X[60:], _forms(hot[60:])[form]) == reference.score(X[60:], hot[60:]) > 0.85


def test_no_node_is_likelier_than_one_above_it(drawn) -> None:
    X, hot = drawn
    fitted = _light(LINEAR, ("top", KNeighborsClassifier(5), "top"), ("plants", KNeighborsClassifier(5), "Plant"))
    answers = fitted.fit(X, hot, taxonomy=TREE).answer(X)
    column = {node: j for j, node in enumerate(answers.nodes)}
    for leaf, group in ABOVE.items():
        assert (answers.probs[:, column[leaf]] <= answers.probs[:, column[group]]).all()


def test_a_node_may_have_several_parents(drawn) -> None:
    X, hot = drawn
    tree = {**TREE, "Of the wood": ["Owl", "Oak", "Fern"]}
    fitted = _light().fit(X, pd.DataFrame(hot, columns=NAMES), taxonomy=tree)
    probs = dict(zip(fitted.answer(X).nodes, fitted.answer(X).probs.T, strict=True))
    for group in ("Of the wood", "Animal"):
        assert (probs["Owl"] <= probs[group]).all()


def test_what_an_annotation_leaves_open_is_unknown_and_no_mistake(drawn) -> None:
    X, hot = drawn
    lists = _forms(hot)["lists"]
    coarse = [["Animal"] if names == ["Cat"] and i % 2 else names for i, names in enumerate(lists)]
    fitted = _light(taxonomy=TREE).fit(X, coarse)
    only = [i for i, names in enumerate(coarse) if names == ["Animal"]]
    assert fitted.score(X[only], [["Animal"]] * len(only)) > 0.9
    assert fitted.predict(X[only]).count(["Cat"]) > len(only) / 2


def test_hiclass_rows_tell_the_tree_and_come_back(drawn) -> None:
    X, hot = drawn
    one = hot.sum(axis=1) == 1
    leaf = NAMES[hot[one].argmax(axis=1)]
    Y = np.array([[ABOVE[name], name] for name in leaf])
    fitted = _light().fit(X[one], Y)
    predicted = fitted.predict(X[one])
    assert predicted.shape == Y.shape
    assert all(ABOVE[name] == above for above, name in predicted)
    assert (predicted[:, 1] == leaf).mean() > 0.9
    leaves = [list(fitted.classes_).index(name) for name in NAMES]
    assert np.allclose(fitted.predict_proba(X[one])[:, leaves].sum(axis=1), 1)
    safe = fitted.predict_safe(X[one])
    right = [
        tuple(row[: np.count_nonzero(row)]) == tuple(y[: np.count_nonzero(row)]) for row, y in zip(safe, Y, strict=True)
    ]
    assert safe.shape == Y.shape
    assert np.mean(right) > 0.9


def test_one_label_of_a_deep_tree_is_the_likeliest_leaf(drawn) -> None:
    X, hot = drawn
    leaf = NAMES[hot.argmax(axis=1)]
    fitted = _light().fit(X, leaf, taxonomy=TREE)
    assert fitted.classes_.tolist() == sorted(NAMES)
    probs = fitted.predict_proba(X)
    assert np.allclose(probs.sum(axis=1), 1)
    assert (fitted.classes_[probs.argmax(axis=1)] == fitted.predict(X)).all()


def test_groups_are_not_divided_between_folds(drawn) -> None:
    X, hot = drawn
    groups = [f"antibody {i // 6}" for i in range(len(X))]
    fitted = _light().fit(X, hot, groups=groups)
    split = fitted._predictor.run.split
    fold = dict(zip(split.ids, split.folds, strict=True))
    assert all(len({fold[str(i)] for i in range(len(X)) if groups[i] == group}) == 1 for group in set(groups))
    assert split.fold_count == 2


def test_one_group_alone_has_no_folds(drawn) -> None:
    X, hot = drawn
    with pytest.raises(ValueError, match="groups: all samples are of the group 'x', and folds need two"):
        _light().fit(X, hot, groups=["x"] * len(X))


@pytest.mark.parametrize("tree", [TREE, None])
@pytest.mark.parametrize("nothing", [[[]] * 6, np.zeros((6, 6), int), [[["", ""]]] * 6], ids=["lists", "hot", "paths"])
def test_samples_without_any_label_are_told(nothing: object, tree: object) -> None:
    with pytest.raises(ValueError, match="Y: no sample has a label, so that there is nothing to learn"):
        _light(NEAR).fit(np.eye(6), nothing, taxonomy=tree)


def test_ctrl_c_ends_a_fit_at_once_and_leaves_nothing(drawn, monkeypatch, tmp_path: Path) -> None:
    def stop(*_: object) -> str:
        raise Interrupted

    monkeypatch.setattr("hpa_hier.classifier.fitting.train_member", stop)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        _light(NEAR).fit(*drawn)
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_a_folder_without_a_classifier_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no saved classifier \(classifier.json is missing\); load a folder that"):
        HierarchicalClassifier.load(tmp_path)


def test_it_works_in_a_pipeline_in_a_grid_search_and_in_cross_validation(drawn) -> None:
    X, hot = drawn
    piped = make_pipeline(StandardScaler(), _light(NEAR, taxonomy=TREE))
    search = GridSearchCV(piped, {"hierarchicalclassifier__near__n_neighbors": [1, 7]}, cv=2).fit(X, hot)
    assert search.best_estimator_[-1].estimators[0][1].n_neighbors == search.best_params_.popitem()[1]
    assert cross_val_score(_light(NEAR, taxonomy=TREE), X, _forms(hot)["lists"], cv=KFold(2)).min() > 0.7


def test_estimators_are_set_and_cloned_by_their_names() -> None:
    classifier = _light(("near", KNeighborsClassifier(5), "leaves"))
    copied = clone(classifier).set_params(near__n_neighbors=3)
    assert copied.estimators == [("near", copied.get_params()["near"], "leaves")]
    assert (copied.get_params()["near__n_neighbors"], classifier.get_params()["near__n_neighbors"]) == (3, 5)
    assert copied.set_params(near=LogisticRegression()).estimators[0][2] == "leaves"


def test_a_member_may_be_made_of_other_estimators(drawn, tmp_path: Path) -> None:
    X, hot = drawn
    piped = make_pipeline(StandardScaler(), KNeighborsClassifier(3))
    fitted = _light(("piped", piped), ("platt", CalibratedClassifierCV(NEAR[1], cv=2), "leaves")).fit(
        X, hot, taxonomy=TREE
    )
    fitted.save(tmp_path / "model")
    loaded = HierarchicalClassifier.load(tmp_path / "model")
    assert loaded.get_params()["piped__kneighborsclassifier__n_neighbors"] == 3
    assert loaded.get_params()["platt__estimator__n_neighbors"] == 5
    assert np.array_equal(loaded.predict_proba(X), fitted.predict_proba(X))


def test_random_state_moves_members_and_folds(drawn) -> None:
    X, hot = drawn
    trees = ("trees", ExtraTreesClassifier(5))
    one, same, other = (_light(trees, random_state=seed).fit(X, hot).predict_proba(X) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_settings_reach_the_ensemble(drawn) -> None:
    X, hot = drawn
    fitted = _light(LINEAR, NEAR, settings={"ensemble.aggregate": "mean", "ensemble.thresholds": "fixed"}).fit(X, hot)
    ensemble = fitted._predictor.ensemble
    assert ensemble.aggregate == "mean"
    assert np.array_equal(fitted.decision_function(X) >= 0, ensemble.predict(fitted.answer(X).scores).probs >= 0.5)


def test_a_network_may_be_a_member(drawn) -> None:
    X, hot = drawn
    training = {"backbone": "mlp", "mlp": {"hidden": 8, "layers": 1}, "max_steps": 20, "stop_on": "none"}
    fitted = _light(("network", training, "leaves"), LINEAR).fit(X, hot, taxonomy=TREE)
    assert [member.name for member in fitted._predictor.ensemble.members] == ["linear", "network"]


def test_a_saved_classifier_is_a_run_that_answers_the_same(drawn, tmp_path: Path, monkeypatch, capsys) -> None:
    X, hot = drawn
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame(X, columns=["height", "warmth"])
    fitted = _light(LINEAR, ("near", KNeighborsClassifier(5), "leaves"), taxonomy=TREE).fit(frame, _forms(hot)["frame"])
    fitted.save(tmp_path / "model")
    loaded = HierarchicalClassifier.load(tmp_path / "model")
    assert np.array_equal(loaded.predict_proba(frame), fitted.predict_proba(frame))
    pd.testing.assert_frame_equal(loaded.predict(frame), fitted.predict(frame))
    assert loaded.get_params()["near__n_neighbors"] == 5
    assert np.array_equal(
        clone(loaded).fit(frame, _forms(hot)["frame"]).predict_proba(frame), fitted.predict_proba(frame)
    )

    frame.rename_axis("id").to_csv("vectors.csv")
    assert dispatch(["predict", "--run", "model", "--vectors", "vectors.csv", "--out", "answers"]) == 0
    probs = read_table(tmp_path / "answers" / "probabilities.csv", ("id",)).set_index("id").astype(float)
    assert np.allclose(probs[list(fitted.nodes_)], fitted.answer(frame).probs, atol=1e-6)
    capsys.readouterr()
    assert "hpa-hier-" not in "".join(path.read_text() for path in (tmp_path / "model").glob("*.*"))
    with pytest.raises(UserError, match="none of its samples was set aside for testing; evaluate it on others: python"):
        dispatch(["ensemble", "evaluate", "--run", "model"])
    pd.DataFrame({"id": frame.index, **{name: hot[:, j] for j, name in enumerate(NAMES)}}).to_csv(
        "labels.csv", index=False
    )
    labelled = ["--vectors", "vectors.csv", "--labels", "labels.csv", "--out", "evaluated"]
    assert dispatch(["ensemble", "evaluate", "--run", "model", *labelled]) == 0


def test_nothing_of_the_samples_is_kept_but_scores(reference, tmp_path: Path) -> None:
    reference.save(tmp_path / "model")
    assert not (tmp_path / "model" / "pack").exists()
    assert not list((tmp_path / "model").rglob("*.npy"))


def test_saving_never_replaces_what_is_there(reference, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="is there already; name another folder"):
        reference.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_folder_of_another_author_cannot_make_any_object(reference, tmp_path: Path) -> None:
    reference.save(tmp_path / "model")
    path = tmp_path / "model" / "classifier.json"
    facts = read_json(path)
    facts["estimators"][0][1] |= {"estimator": "subprocess.Popen", "estimator_parameters": {"args": ["touch", "harm"]}}
    path.write_text(json.dumps(facts))
    with pytest.raises(UserError, match=r"'near' is a subprocess\.Popen; where you trust its author, name it"):
        HierarchicalClassifier.load(tmp_path / "model")


def test_copies_outlive_the_original_and_folders_go_with_their_classifiers(drawn) -> None:
    X, hot = drawn
    fitted = _light().fit(X, hot)
    expected, folder = fitted.predict_proba(X), fitted._kept.folder
    copies = [copy.deepcopy(fitted), copy.deepcopy(fitted)]  # scikit-learn's own checks also send one through bytes
    del fitted
    gc.collect()
    assert not folder.exists()
    for one in copies:
        assert np.array_equal(one.predict_proba(X), expected)
    folders = [one._kept.folder for one in copies]
    copies.clear()
    del one
    gc.collect()
    assert not any(folder.exists() for folder in folders)


@pytest.mark.parametrize("count", [2, 3, 7])
def test_very_few_samples_are_enough_to_answer(count: int) -> None:
    X = np.arange(count, dtype=float)[:, None]
    Y = np.array(["a", "b"])[np.arange(count) % 2]
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        assert set(_light(LINEAR, folds=5).fit(X, Y).predict(X)) <= {"a", "b"}


def test_one_class_is_always_answered() -> None:
    assert _light().fit(np.arange(6.0)[:, None], ["only"] * 6).predict([[9.0]]).tolist() == ["only"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"folds": 1}, "folds: 1 must be a whole number from 2 to 20"),
        ({"settings": {"ensemble.agregate": "mean"}}, "settings: ensemble.agregate: unknown setting"),
        ({"settings": {"ensemble.aggregate": "men"}}, "there is no 'men'"),
        ({"estimators": [LogisticRegression()]}, "each is a pair or a triple"),
        ({"estimators": [("linear", LogisticRegression)]}, "give an estimator, or training settings"),
        ({"estimators": [("linear", LogisticRegression(), "levs")]}, "no level or group of the tree"),
        ({"estimators": [LINEAR, LINEAR]}, "Names provided are not unique"),
        ({"estimators": [("linear", LogisticRegression(C=-1))]}, "linear"),
        ({"form": "rows"}, "form: there is no 'rows'"),
        ({"taxonomy": "hpa29"}, "hpa29"),
        ({"safe_precision": 2}, "safe_precision=2: ensemble.safe_precision must be less than 1"),
    ],
)
def test_wrong_parameters_are_a_value_error_that_names_them(drawn, changes: dict, message: str) -> None:
    X, hot = drawn
    with pytest.raises(ValueError, match=message):
        HierarchicalClassifier(**{"estimators": [LINEAR], "folds": 2, **changes}).fit(X, hot)


def test_labels_of_another_form_have_no_score(drawn, reference) -> None:
    X, _ = drawn
    with pytest.raises(ValueError, match="of the form single, and was hot when it was fitted"):
        reference.score(X, ["a"] * len(X))
