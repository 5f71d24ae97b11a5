"""Estimators by name: those that have a word here, and every other classifier by the dotted path of its class."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from hpa_hier.errors import UserError
from hpa_hier.files.spelling import did_you_mean

NAMED = {
    "extra_trees": "sklearn.ensemble.ExtraTreesClassifier",
    "label_trees": "hpa_hier.members.estimators.label_trees.LabelTrees",
    "random_forest": "sklearn.ensemble.RandomForestClassifier",
    "logistic_regression": "sklearn.linear_model.LogisticRegression",
    "nearest_neighbours": "sklearn.neighbors.KNeighborsClassifier",
    "hist_gradient_boosting": "sklearn.ensemble.HistGradientBoostingClassifier",
    "svm": "sklearn.svm.SVC",
}


def create_estimator(name: str, parameters: Mapping[str, object], seed: int, member: str = "") -> Any:  # noqa: ANN401
    """Create an untrained classifier.

    Args:
        name: a word of NAMED, or the dotted path of a class, as ``sklearn.naive_bayes.GaussianNB``.
        parameters: of the class; those left out have its own defaults. Where one is an estimator itself, or a list with
            some, each is written as {estimator: name, parameters: {...}}.
        seed: what it draws at random follows from, where the parameters do not say.
        member: whose estimator it is, for messages; "" for none.

    Raises:
        UserError: there is no such class, it is no classifier, or the parameters are not its own.

    >>> create_estimator("nearest_neighbours", {"n_neighbors": 3}, seed=0, member="near")
    KNeighborsClassifier(n_neighbors=3)
    >>> create_estimator("extra_trees", {}, seed=7, member="trees").random_state
    7
    >>> steps = [["pca", {"estimator": "sklearn.decomposition.PCA"}], ["svm", {"estimator": "svm"}]]
    >>> create_estimator("sklearn.pipeline.Pipeline", {"steps": steps}, seed=0, member="piped")[-1]
    SVC(random_state=0)
    """
    from sklearn.base import is_classifier  # takes a second to import

    kind = find_class(name, member)
    where = f"training.estimator_parameters{_of(member)}"
    if "n_jobs" in parameters:
        raise UserError(f"{where}: n_jobs: how many threads there are is no part of a member; give --threads N")
    try:
        estimator = kind(**{key: _make_inner(value, member) for key, value in parameters.items()})
        is_one = is_classifier(estimator)
        known = sorted(estimator.get_params(deep=False))
    except (TypeError, AttributeError) as error:
        names = _list_parameters(kind)
        unknown = next((key for key in parameters if key not in names), None) if names else None
        if unknown:
            near = did_you_mean(unknown, names) or f"; it has {', '.join(names)}"
            raise UserError(f"{where}: {name} has no '{unknown}'{near}") from None
        raise UserError(f"{where}: {name} cannot be made with them ({error})") from None
    if not (is_one and (hasattr(kind, "predict_proba") or hasattr(kind, "decision_function"))):
        raise UserError(
            f"training.estimator{_of(member)}: {name} is no classifier with predict_proba or decision_function; name "
            f"one, such as {', '.join(NAMED)}"
        )
    if "random_state" in known and "random_state" not in parameters:
        estimator.set_params(random_state=seed)
    inner = {key: value for key, value in estimator.get_params().items() if key.endswith("__random_state")}
    estimator.set_params(**{key: seed for key, value in inner.items() if value is None})
    try:
        getattr(estimator, "_validate_params", lambda: None)()
    except ValueError as error:
        raise UserError(f"{where}: {error}") from None
    return estimator


def _make_inner(value: Any, member: str) -> Any:  # noqa: ANN401 - a parameter of any type
    """Return a parameter with the estimators that it names, at any depth, made."""
    if isinstance(value, Mapping):
        inner = value.get("parameters") or {}
        if isinstance(value.get("estimator"), str) and value.keys() <= {"estimator", "parameters"}:
            return find_class(value["estimator"], member)(**{k: _make_inner(v, member) for k, v in inner.items()})
        return {key: _make_inner(one, member) for key, one in value.items()}
    return [_make_inner(one, member) for one in value] if isinstance(value, list | tuple) else value


def find_class(name: str, member: str) -> Any:  # noqa: ANN401 - a class of another library
    """Return the class that a word of NAMED or a dotted path means; `member` is for messages.

    Raises:
        UserError: there is none, or it is no estimator.
    """
    where = f"training.estimator{_of(member)}"
    module, _, word = NAMED.get(name, name).rpartition(".")
    if not module:
        near = did_you_mean(name, NAMED)
        listed = f"; it is {', '.join(NAMED)}, or the dotted path of a class, as sklearn.naive_bayes.GaussianNB"
        raise UserError(f"{where}: no estimator is called {name!r}{near or listed}")
    try:
        found = getattr(import_module(module), word, None)
    except (ImportError, ValueError) as error:
        raise UserError(f"{where}: {name}: cannot be imported ({error}); install it, or correct the path") from None
    if not isinstance(found, type):
        classes = [key for key, value in vars(import_module(module)).items() if isinstance(value, type)]
        near = did_you_mean(word, classes) or "; correct the path"
        raise UserError(f"{where}: {name}: {module} has no class '{word}'{near}")
    if not hasattr(found, "get_params"):  # making it could do anything, as subprocess.Popen does
        raise UserError(f"{where}: {name} is no estimator, having no get_params; name one, such as {', '.join(NAMED)}")
    return found


def _of(member: str) -> str:
    return f" of '{member}'" if member else ""


def _list_parameters(kind: Any) -> list[str]:  # noqa: ANN401 - as find_class
    """List the parameters that a class of scikit-learn takes; [] for other classes."""
    names = getattr(kind, "_get_param_names", None)
    return list(names()) if names else []
