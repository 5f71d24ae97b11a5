"""model.skops: what may be read from it, and what is refused."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest
from numpy.lib.npyio import DataSource
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from hpa_hier.errors import UserError
from hpa_hier.members.estimators.skops_file import TRUST, count_numbers, is_trusted, read_skops, write_skops

VALUES = np.random.default_rng(0).standard_normal((60, 3))
LABELS = VALUES[:, 0] > 0


class Guess(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A user's own classifier."""

    def fit(self, values: np.ndarray, labels: np.ndarray) -> Guess:
        self.classes_, self.share_ = np.unique(labels), labels.mean()
        return self

    def predict_proba(self, values: np.ndarray) -> np.ndarray:
        return np.full((len(values), 2), [1 - self.share_, self.share_])


def test_a_class_of_elsewhere_is_refused_until_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_skops(tmp_path / "m.skops", {"fit": Guess().fit(VALUES, LABELS)})
    name = f"{Guess.__module__}.Guess"
    with pytest.raises(UserError, match=rf"m.skops: holds {name}, which is not of sklearn.*: export {TRUST}={name}$"):
        read_skops(tmp_path / "m.skops", 3)
    monkeypatch.setenv(TRUST, f"other.Thing, {name}")
    assert read_skops(tmp_path / "m.skops", 3)["fit"].share_ == LABELS.mean()


def test_functions_are_never_trusted_by_their_library() -> None:
    assert [is_trusted(name) for name in ("numpy.fromfile", "scipy.io.loadmat", "sklearn.datasets.load_files")] == [
        False
    ] * 3
    assert not is_trusted("sklearn_elsewhere.Thing")
    assert not is_trusted("sklearn.datasets._base.Path")  # imported there, and not scikit-learn's
    assert not is_trusted("numpy.no_such_module.Thing")


def test_a_file_cannot_remove_a_folder(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    trap = DataSource.__new__(DataSource)
    trap.__dict__.update(_istmpdest=True, _destpath=str(tmp_path / "results"))  # which numpy removes with the object
    write_skops(tmp_path / "m.skops", {"fit": trap})
    trap._istmpdest = False
    with pytest.raises(UserError, match=r"m.skops: holds numpy\.lib\.npyio\.DataSource, which is not of sklearn"):
        read_skops(tmp_path / "m.skops", 3)
    gc.collect()
    assert (tmp_path / "results").is_dir()


def test_a_sparse_array_that_leads_out_of_itself_is_refused(tmp_path: Path) -> None:
    array = csr_matrix(np.eye(4))
    array.indices[2] = 10_000
    write_skops(tmp_path / "bad.skops", {"fit": array})
    with pytest.raises(UserError, match=r"bad.skops: (holds a tree, or an array, whose|cannot be read)"):
        read_skops(tmp_path / "bad.skops", 3)


@pytest.mark.parametrize("algorithm", ["kd_tree", "ball_tree"])
@pytest.mark.parametrize("harm", ["order", "end", "leaf"])
def test_search_trees_that_lead_out_of_themselves_are_refused(tmp_path: Path, algorithm: str, harm: str) -> None:
    fitted = KNeighborsClassifier(3, algorithm=algorithm, leaf_size=5).fit(VALUES, LABELS)
    write_skops(tmp_path / "good.skops", {"fit": fitted})
    read_skops(tmp_path / "good.skops", 3)
    state = list(fitted._tree.__getstate__())
    order, nodes = np.array(state[1]), np.array(state[2])
    if harm == "order":
        order[0] = 10_000
    else:
        nodes[{"end": "idx_end", "leaf": "is_leaf"}[harm]][-1] = {"end": 10_000, "leaf": 0}[harm]
    state[1], state[2] = order, nodes
    fitted._tree.__setstate__(tuple(state))
    write_skops(tmp_path / "bad.skops", {"fit": fitted})
    with pytest.raises(UserError, match=r"bad.skops: holds a tree, or an array, whose numbers lead out of it"):
        read_skops(tmp_path / "bad.skops", 3)


@pytest.mark.parametrize("estimator", [ExtraTreesClassifier(3), HistGradientBoostingClassifier(max_iter=2)])
@pytest.mark.parametrize("harm", ["child", "feature", "circle"])
def test_trees_that_lead_out_of_themselves_are_refused(
    tmp_path: Path, estimator: ExtraTreesClassifier | HistGradientBoostingClassifier, harm: str
) -> None:
    estimator.fit(VALUES, LABELS)
    write_skops(tmp_path / "good.skops", {"fit": estimator})
    read_skops(tmp_path / "good.skops", 3)
    value = {"child": 10_000, "feature": 3, "circle": 0}[harm]
    if isinstance(estimator, ExtraTreesClassifier):
        tree = estimator.estimators_[1].tree_
        state = tree.__getstate__()
        state["nodes"][{"feature": "feature"}.get(harm, "left_child")][0] = value
        tree.__setstate__(state)
    else:
        estimator._predictors[1][0].nodes[{"feature": "feature_idx"}.get(harm, "left")][0] = value
    write_skops(tmp_path / "bad.skops", {"fit": estimator})
    with pytest.raises(UserError, match=r"bad.skops: holds a tree, or an array, whose numbers lead out of it"):
        read_skops(tmp_path / "bad.skops", 3)


@pytest.mark.parametrize("name", ["_dual_coef_", "support_vectors_", "support_", "_intercept_", "_n_support"])
@pytest.mark.parametrize("classes", [2, 3])
def test_support_vector_machines_whose_arrays_do_not_fit_are_refused(tmp_path: Path, name: str, classes: int) -> None:
    machine = SVC().fit(VALUES, np.arange(len(VALUES)) % classes)
    write_skops(tmp_path / "good.skops", {"fit": machine})
    answers = read_skops(tmp_path / "good.skops", 3)["fit"].predict(VALUES)
    np.testing.assert_array_equal(answers, machine.predict(VALUES))
    array = getattr(machine, name)
    setattr(machine, name, np.repeat(array, 2, axis=array.ndim - 1))
    if name == "support_vectors_":
        machine.support_vectors_ = array[:-1]
    write_skops(tmp_path / "bad.skops", {"fit": machine})
    with pytest.raises(UserError, match=r"bad.skops: holds a tree, or an array, whose numbers lead out of it"):
        read_skops(tmp_path / "bad.skops", 3)


def test_a_file_that_unpacks_to_gigabytes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpa_hier.files.faults.arrays._SMALL", 1 << 10)
    write_skops(tmp_path / "m.skops", {"zeros": np.zeros((3000, 1000))})
    with pytest.raises(
        UserError, match=r"m\.skops: claims 22 MB of numbers and texts in [\d,]+ bytes, which cannot hold"
    ):
        read_skops(tmp_path / "m.skops", 3)


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "m.skops").write_bytes(b"PK nothing")
    with pytest.raises(UserError, match=r"m.skops: cannot be read \(File is not a zip file\); train the member again"):
        read_skops(tmp_path / "m.skops", 3)


def test_numbers_are_those_of_arrays_and_trees() -> None:
    fitted = ExtraTreesClassifier(2, random_state=0).fit(VALUES, LABELS)
    nodes = sum(one.tree_.node_count for one in fitted.estimators_)
    assert nodes * 3 <= count_numbers([fitted]) < nodes * 3 + 20  # a node and its two classes, and some class names
