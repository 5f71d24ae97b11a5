"""Members of a classifier: scikit-learn estimators, or settings of networks, as a recipe lists them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from inspect import signature
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from hpa_hier.errors import UserError
from hpa_hier.files.spelling import did_you_mean
from hpa_hier.members.estimators.create import NAMED, find_class
from hpa_hier.members.estimators.skops_file import TRUST, is_trusted
from hpa_hier.settings.training import SKLEARN
from hpa_hier.taxonomy.load import ALL, LEAVES
from hpa_hier.taxonomy.tree import Taxonomy

_SIDES = ("majority", "minority")  # of the partition
_ABSENT = object()  # no default
_TOP = "top"  # the first level above the leaves


def read_entry(entry: object) -> tuple[str, Any, str]:
    """Return the name of a member, what it is, and the nodes that it answers for, `all` where nothing is said.

    Raises:
        UserError: it is no such pair or triple.
    """
    if not (isinstance(entry, tuple | list) and len(entry) in (2, 3) and isinstance(entry[0], str)):
        example = "('trees', ExtraTreesClassifier()) or ('trees', ExtraTreesClassifier(), 'leaves')"
        raise UserError(f"estimators: each is a pair or a triple such as {example}, got {entry!r}")
    return entry[0], entry[1], str(entry[2]) if len(entry) == 3 else ALL


def list_members(entries: Sequence[object], taxonomy: Taxonomy) -> list[dict[str, Any]]:
    """Return entries of a recipe's `members`.

    Args:
        entries: (name, what) or (name, what, nodes), where `what` is an estimator, or a mapping of training settings
            such as {"backbone": "mlp"}; `nodes` is all, leaves, top, a level, a group, majority or minority.
        taxonomy: whose levels and groups are meant.

    Raises:
        UserError: an entry is none of these, or names no nodes of the tree.
    """
    members = []
    for name, what, nodes in map(read_entry, entries):
        members.append({"name": name, **_select(nodes, taxonomy, name), "training": describe(what, name)})
    return members


def _select(nodes: str, taxonomy: Taxonomy, name: str) -> dict[str, str]:
    """Return the selector of a member: a level, a side of the partition, or a group."""
    if taxonomy.level_name(nodes) in (ALL, LEAVES, _TOP, *taxonomy.levels):
        return {"level": taxonomy.level_name(nodes)}
    if nodes in _SIDES:
        return {"partition": nodes}
    group = taxonomy.group_name(nodes)
    if group not in taxonomy.nodes or taxonomy.is_leaf(group):
        near = did_you_mean(nodes, [ALL, LEAVES, *taxonomy.levels, *taxonomy.nodes])
        raise UserError(
            f"estimators: '{name}' is to answer for '{nodes}', which is no level or group of the tree{near}"
        )
    return {"group": group}


def describe(what: object, name: str) -> dict[str, Any]:
    """Return a member's settings of the block `training`.

    Args:
        what: an estimator, or such settings.
        name: of the member.

    Raises:
        UserError: it is neither, or has parameters that a file cannot hold.
    """
    if isinstance(what, Mapping):
        return dict(what)
    if not hasattr(what, "get_params") or isinstance(what, type):
        cure = "give an estimator, or training settings such as {'backbone': 'mlp'}"
        raise UserError(f"estimators: '{name}' is {what!r}; {cure}")
    parameters = describe_parameters(what, f"estimators: '{name}'")
    return {"backbone": SKLEARN, "estimator": find_path(type(what)), "estimator_parameters": parameters}


def describe_parameters(estimator: Any, where: str) -> dict[str, Any]:  # noqa: ANN401 - any estimator
    """Return the parameters of an estimator that are not its defaults, as a file can hold them.

    >>> from sklearn.linear_model import LogisticRegression
    >>> describe_parameters(LogisticRegression(C=np.float64(0.5), n_jobs=2), "x")
    {'C': 0.5}
    """
    default = {name: one.default for name, one in signature(type(estimator)).parameters.items()}
    return {
        key: _to_plain(value, f"{where}: its parameter '{key}'")
        for key, value in estimator.get_params(deep=False).items()
        if key != "n_jobs" and not _same(value, default.get(key, _ABSENT))
    }


def find_path(kind: type) -> str:
    """Return the shortest dotted path by which a class can be imported.

    >>> from sklearn.ensemble import ExtraTreesClassifier
    >>> find_path(ExtraTreesClassifier)
    'sklearn.ensemble.ExtraTreesClassifier'
    """
    parts = kind.__module__.split(".")
    for length in range(1, len(parts)):
        module = ".".join(parts[:length])
        if getattr(import_module(module), kind.__name__, None) is kind:
            return f"{module}.{kind.__name__}"
    return f"{kind.__module__}.{kind.__qualname__}"


def _same(one: object, other: object) -> bool:
    return type(one) is type(other) and repr(one) == repr(other)


def _to_plain(value: Any, where: str) -> Any:  # noqa: ANN401 - of any depth
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if hasattr(value, "get_params") and not isinstance(value, type):
        return {"estimator": find_path(type(value)), "parameters": describe_parameters(value, where)}
    if isinstance(value, list | tuple):
        return [_to_plain(one, where) for one in value]
    if isinstance(value, Mapping):
        return {str(key): _to_plain(one, where) for key, one in value.items()}
    raise UserError(f"{where} is {value!r}, which a run's files cannot hold; give numbers, words, or lists of these")


def restore(training: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 - what `describe` was given
    """Return the untrained estimator that settings describe, or the settings where they are of a network.

    Raises:
        UserError: it is of a class that is not trusted, as the settings may come from anyone.
    """
    if training.get("backbone") != SKLEARN:
        return dict(training)
    return _make(str(training["estimator"]), training.get("estimator_parameters") or {}, name)


def _make(path: str, parameters: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 - any estimator
    path = NAMED.get(path, path)
    if not is_trusted(path):
        raise UserError(f"estimators: '{name}' is a {path}; where you trust its author, name it: export {TRUST}={path}")
    kind = find_class(path, name)
    if not issubclass(kind, BaseEstimator):
        raise UserError(f"estimators: '{name}' is a {path}, which is no estimator")
    return kind(**{key: _make_inner(value, name) for key, value in parameters.items()})


def _make_inner(value: Any, name: str) -> Any:  # noqa: ANN401 - a parameter of any type
    if isinstance(value, Mapping) and isinstance(value.get("estimator"), str):
        return _make(value["estimator"], value.get("parameters") or {}, name)
    return [_make_inner(one, name) for one in value] if isinstance(value, list) else value
