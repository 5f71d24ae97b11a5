"""model.skops: a member's fitted estimators without pickle; its one reader and its one writer.

A file that comes from elsewhere must not run code. skops builds objects of types that it trusts, and names the others.
Here scikit-learn's own classes are trusted too, and their trees and sparse arrays are checked, since scikit-learn
follows the numbers in them wherever they lead. What a module of it has only imported is not trusted, nor are other
libraries: numpy's DataSource removes a folder when it is gone. Any other class runs its author's code, so who loads it
has to name it.
"""

from __future__ import annotations

import os
import shlex
import zipfile
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import issparse

from hpa_hier.errors import UserError
from hpa_hier.files.atomic import write_with
from hpa_hier.files.faults.arrays import check_unpacked
from hpa_hier.files.faults.damage import damage_told
from hpa_hier.members.estimators.create import NAMED

TRUST = "HPA_HIER_TRUST"  # environment variable: dotted paths of classes, separated by commas
_LIBRARY = "sklearn"
_OTHERS = (
    "scipy.interpolate._bsplines.BSpline",
    "scipy.sparse._csr.csr_matrix",
)  # what scikit-learn's own hold of other libraries
_TREES = (  # what skops leaves to its user to trust, and `check_trees` looks at
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
)
_SEARCH_TREES = ("sklearn.neighbors._kd_tree", "sklearn.neighbors._ball_tree")
_HARM = "holds a tree, or an array, whose numbers lead out of it; the file is damaged or was made to harm"


def write_skops(path: Path, content: Mapping[str, object]) -> None:
    """Write names with arrays, numbers, texts, lists of these, and estimators."""
    from skops.io import dump  # imports scikit-learn, a second

    write_with(path, lambda handle: dump(dict(content), handle, compression=zipfile.ZIP_DEFLATED))


def read_skops(path: Path, features: int) -> dict[str, Any]:
    """Read what `write_skops` wrote, estimators of (B, features) vectors among it.

    Raises:
        UserError: the file is damaged, holds a type that is not trusted, or a tree that leads out of itself.
    """
    from skops.io import get_untrusted_types, load

    with damage_told(path, cure="train the member again"):
        with zipfile.ZipFile(path) as archive:
            check_unpacked(path, sum(one.file_size for one in archive.infolist()))
        trusted = list(_TREES)
        unknown = [name for name in get_untrusted_types(file=path) if name not in trusted]
        refused = [name for name in unknown if not is_trusted(name)]
        if refused:
            raise UserError(_describe_refused(path, refused))
        content = load(path, trusted=[*trusted, *unknown])
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds no member; train it again")
    check_trees(path, content, features)
    return content


def is_trusted(name: str) -> bool:
    """Say whether a type may be made from a file: a class that scikit-learn defines, or one that the user named.

    >>> is_trusted("sklearn.calibration._CalibratedClassifier"), is_trusted("posix.system"), is_trusted("numpy.load")
    (True, False, False)
    """
    if name in (*NAMED.values(), *_OTHERS) or name in (word.strip() for word in os.environ.get(TRUST, "").split(",")):
        return True
    module, _, word = name.rpartition(".")
    if module.split(".")[0] != _LIBRARY or "__" in module:
        return False
    try:
        found = getattr(import_module(module), word, None)
    except ImportError:
        return False
    own = isinstance(found, type) and found.__module__.split(".")[0] == _LIBRARY
    return own and not hasattr(found, "__del__")


def _describe_refused(path: Path, refused: list[str]) -> str:
    named = f"export {TRUST}={shlex.quote(','.join(refused))}"
    return (
        f"{path}: holds {', '.join(refused)}, which is not of {_LIBRARY}, so loading it would run code of whoever "
        f"wrote it; where you trust that code, name it before the command: {named}"
    )


def check_trees(path: Path, content: object, features: int) -> None:
    """Refuse trees whose nodes lead to nodes, features or samples that are not there, or back, and the like.

    Raises:
        UserError: there is one.
    """
    for tree in _walk(content, set()):
        if type(tree).__name__ == "Tree" and type(tree).__module__.startswith("sklearn."):
            inner = tree.children_left >= 0
            below, feature = (tree.children_left[inner], tree.children_right[inner]), tree.feature[inner]
            count, places = tree.node_count, np.flatnonzero(inner)
        elif type(tree).__name__ == "TreePredictor":
            inner = tree.nodes["is_leaf"] == 0
            nodes = tree.nodes[inner]
            below, feature = (nodes["left"], nodes["right"]), nodes["feature_idx"]
            count, places = len(tree.nodes), np.flatnonzero(inner)
            if (tree.nodes["bitset_idx"][tree.nodes["is_categorical"] > 0] >= len(tree.raw_left_cat_bitsets)).any():
                raise UserError(f"{path}: {_HARM}")
        elif type(tree).__module__ in _SEARCH_TREES or issparse(tree) or _is_machine(tree):
            if not (_fits_together(tree) if _is_machine(tree) else _stays_inside(tree)):
                raise UserError(f"{path}: {_HARM}")
            continue
        else:
            continue
        forward = all(((child.astype(np.int64) > places) & (child < count)).all() for child in below)
        if not (forward and ((feature >= 0) & (feature < features)).all()):
            raise UserError(f"{path}: {_HARM}")


def _stays_inside(tree: Any) -> bool:  # noqa: ANN401 - a KDTree, a BallTree or a sparse array
    """Tell whether the numbers of a search tree lead to what is there, or those of a sparse array to its places."""
    if issparse(tree):
        try:
            tree.tocsr().check_format(full_check=True)
        except ValueError:
            return False
        return True
    data, order, nodes, bounds = (np.asarray(one) for one in tree.get_arrays())
    samples, count = len(data), len(nodes)
    inner = np.flatnonzero(nodes["is_leaf"] == 0)
    starts, ends = nodes["idx_start"], nodes["idx_end"]
    return bool(
        np.array_equal(np.sort(order), np.arange(samples))
        and ((starts >= 0) & (starts <= ends) & (ends <= samples)).all()
        and (2 * inner + 2 < count).all()
        and bounds.shape[1] == count
        and bounds.shape[2] == data.shape[1]
    )


def _is_machine(thing: object) -> bool:
    """Tell whether something is a support vector machine of libsvm."""
    return type(thing).__module__ == "sklearn.svm._classes" and hasattr(thing, "_dual_coef_")


def _fits_together(machine: Any) -> bool:  # noqa: ANN401 - a classifier of scikit-learn
    """Tell whether the arrays of a support vector machine have the sizes by which libsvm goes through them."""
    counts, vectors = np.asarray(machine._n_support), machine.support_vectors_.shape[0]
    classes = len(machine.classes_) if hasattr(machine, "classes_") else 2  # of numbers it has the form of two
    pairs = classes * (classes - 1) // 2
    counts = counts if hasattr(machine, "classes_") else counts[:1]
    return bool(
        len(counts) == (classes if hasattr(machine, "classes_") else 1)
        and (counts >= 0).all()
        and counts.sum() == vectors
        and machine.support_.shape == (vectors,)
        and machine._dual_coef_.shape == (classes - 1, vectors)
        and machine._intercept_.shape == (pairs,)
        and all(np.size(one) in (0, pairs) for one in (machine._probA, machine._probB))
    )


def count_numbers(content: object) -> int:
    """Return how many numbers the arrays and trees of fitted estimators hold."""
    total = 0
    for one in _walk(content, set()):
        if isinstance(one, np.ndarray) and one.dtype != object:
            total += one.size
        elif type(one).__name__ == "Tree":
            total += one.node_count + one.value.size
    return total


def _walk(thing: object, seen: set[int]) -> Iterator[Any]:
    """Yield everything that an object is made of."""
    if id(thing) in seen or isinstance(thing, (str, bytes, int, float)):
        return
    seen.add(id(thing))
    yield thing
    inside: object = ()
    if isinstance(thing, dict):
        inside = thing.values()
    elif isinstance(thing, (list, tuple, set)) or (isinstance(thing, np.ndarray) and thing.dtype == object):
        inside = thing.ravel() if isinstance(thing, np.ndarray) else thing
    elif hasattr(thing, "__dict__"):
        inside = vars(thing).values()
    for one in inside:  # type: ignore[attr-defined]
        yield from _walk(one, seen)
