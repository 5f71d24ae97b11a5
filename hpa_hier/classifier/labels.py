"""Labels: the forms in which Y may be written, read as annotated nodes; and answers, written back in the same form."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd
from scipy.sparse import csr_array, issparse
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import assert_all_finite
from sklearn.utils.multiclass import check_classification_targets

from hpa_hier.classifier.trees import GivenTree, Tree, build_tree, read_tree
from hpa_hier.errors import UserError
from hpa_hier.metrics.arrays import Bools
from hpa_hier.taxonomy.tree import Taxonomy

Kind: TypeAlias = Literal["single", "hot", "sets", "paths", "many_paths"]
SINGLE, HOT, SETS, PATHS, MANY_PATHS = get_args(Kind)
GivenLabels: TypeAlias = "np.ndarray | pd.DataFrame | pd.Series | csr_array | Sequence[Any] | None"
Rows: TypeAlias = "Sequence[Any] | np.ndarray"
NO_LABELS = "Y: no sample has a label, so that there is nothing to learn"


@dataclass(frozen=True)
class Written:
    """Y as it was given, sorted by form."""

    kind: Kind
    rows: Rows  # B samples: labels; 0 and 1 in columns; lists of labels; paths of labels; lists of paths
    dtype: str  # of an array; "object" for lists
    columns: tuple[str, ...] = ()  # names, of a data frame
    frame: bool = False  # answers are a data frame, or a series, too
    sparse: bool = False


@dataclass(frozen=True)
class Form:
    """A form, in the words of a tree: how annotations are read, and how answers are written.

    Attributes:
        kind: single (one label a sample), hot (columns of 0 and 1), sets (lists of labels), paths (one path a sample,
            from the top down) or many_paths.
        tree: whose nodes are meant.
        words: node → what Y calls it.
        nodes: those that are columns of Y, or of the probabilities.
        dtype: of the answers' array.
        levels: columns of a path.
        columns: names of a data frame's columns.
        frame: answers are pandas objects.
        sparse: answers are a sparse array.
    """

    kind: Kind
    tree: Tree
    words: Mapping[str, Any]
    nodes: tuple[str, ...]
    dtype: str
    levels: int = 0
    columns: tuple[str, ...] = ()
    frame: bool = False
    sparse: bool = False

    @property
    def one_each(self) -> bool:
        """Whether each sample has exactly one label, or one path."""
        return self.kind in (SINGLE, PATHS)

    @cached_property
    def classes(self) -> np.ndarray:
        """What Y calls the columns of the probabilities."""
        if self.kind == SINGLE:
            return _array([self.words[node] for node in self.nodes], self.dtype)
        return np.array([self.words[node] for node in self.nodes] if self.kind == HOT else self.nodes)

    def read(self, rows: Rows) -> list[tuple[str, ...]]:
        """Return the annotated nodes of each sample.

        Raises:
            UserError: another form than this, or a label that is none of the tree.
        """
        return [tuple(dict.fromkeys(nodes)) for nodes in _READERS[self.kind](self, rows)]

    def write(self, present: Bools, best: np.ndarray, index: pd.Index | None) -> Any:  # noqa: ANN401 - as Y was
        """Write answers as Y was written.

        Args:
            present: (B, N) closed decisions, columns as the taxonomy's nodes.
            best: (B,) columns of the likeliest leaves, which are the answers where each sample has one.
            index: of X, for pandas objects.
        """
        nodes = self.tree.taxonomy.nodes
        if self.kind == SINGLE:
            found: Any = _array([self.words[nodes[j]] for j in best], self.dtype)
            return pd.Series(found, index=index, name=self.columns[0]) if self.frame else found
        if self.kind == HOT:
            column = self.tree.taxonomy.column
            hot = present[:, [column[node] for node in self.nodes]].astype(self.dtype)
            hot = csr_array(hot) if self.sparse else hot
            return pd.DataFrame(hot, index=index, columns=list(self.columns)) if self.frame else hot
        lowest = self._find_lowest(present)
        if self.kind == SETS:
            return [[self.words[nodes[j]] for j in np.flatnonzero(row)] for row in lowest]
        if self.kind == PATHS:
            paths = _array([self._path(nodes[j]) for j in best], self.dtype, width=self.levels)
            return pd.DataFrame(paths, index=index, columns=list(self.columns)) if self.frame else paths
        several = [[self._path(nodes[j]) for j in np.flatnonzero(row)] for row in lowest]
        most = max(1, *map(len, several)) if several else 1
        filled = [paths + [[""] * self.levels] * (most - len(paths)) for paths in several]
        return np.array(filled, dtype=object).reshape(len(filled), most, self.levels)

    def write_path(self, node: str) -> list[Any]:
        """Return a node's path in the words of Y, from the top down."""
        return [self.words[step] for step in self.tree.path(node)]

    def _path(self, node: str) -> list[Any]:
        path = self.write_path(node)
        return path + [""] * (self.levels - len(path))

    def _find_lowest(self, present: Bools) -> Bools:
        """Return (B, N) those of the present nodes below which nothing is present."""
        lowest = present.copy()
        for group, children in self.tree.taxonomy.bottom_up:
            lowest[:, group] &= ~present[:, list(children)].any(axis=1)
        lowest[:, [self.tree.taxonomy.column[node] for node in self.tree.taxonomy.virtual]] = False
        return lowest


def learn_form(written: Written, given: GivenTree | None) -> Form:
    """Learn the form of Y, in the words of the tree that is given, or of the one that Y itself tells.

    Args:
        written: Y, as `sort_labels` sorted it.
        given: a tree in any form; None: paths tell it, other labels have a flat one.

    Raises:
        UserError: labels are none of the tree, or no label is left.
    """
    tree = _read_own_tree(written) if given is None else read_tree(given)
    if written.kind in (SINGLE, PATHS):
        tree = tree.exclusive()
    words: dict[str, Any] = {}
    for node, word in _list_words(written, tree):
        words.setdefault(node, word)
    words = _name_unseen(tree.taxonomy, words) | words
    taxonomy = tree.taxonomy.without_virtual
    form = Form(written.kind, tree, words, taxonomy.nodes, written.dtype)
    form = replace(form, columns=written.columns, frame=written.frame, sparse=written.sparse)
    if written.kind == SINGLE:
        order = _sort([words[leaf] for leaf in taxonomy.leaves])
        return replace(form, nodes=tuple(taxonomy.leaves[j] for j in order))
    if written.kind == HOT:
        return replace(form, nodes=_name_columns(written, tree))
    if written.kind in (PATHS, MANY_PATHS):
        longest = max(len(tree.path(node)) for node in taxonomy.nodes)
        return replace(form, levels=max([longest, *(len(path) for row in _paths(written) for path in row)]))
    return form


def sort_labels(Y: GivenLabels, form: str = "auto", tree: GivenTree | None = None) -> Written:
    """Sort Y by the form that it is written in.

    Args:
        Y: labels of B samples. One label each: a list, a series, or a (B,) array. 0 and 1: a (B, K) array or a data
            frame of numbers. One path each: a (B, levels) array or data frame of words. Several paths each: a
            (B, paths, levels) array. Several labels each: a list of lists, tuples or sets.
        form: paths or sets, for lists of lists; auto: what the tree or the lists themselves tell.
        tree: the tree that is given, if one is.

    Raises:
        UserError: it is none of these.
    """
    if form not in ("auto", "paths", "sets"):
        raise UserError(f"form: there is no {form!r}; give auto, paths or sets")
    if Y is None:
        raise UserError("HierarchicalClassifier requires y to be passed, but the target y is None")
    if issparse(Y):
        return replace(_sort_array(np.asarray(csr_array(Y).toarray()), form), sparse=True)
    if isinstance(Y, pd.DataFrame):
        return _sort_frame(Y, form)
    if isinstance(Y, pd.Series):
        written = sort_labels(Y.to_numpy(), form, tree)
        return replace(written, frame=True, columns=(Y.name,)) if written.kind == SINGLE else written
    if isinstance(Y, list | tuple):
        if any(isinstance(row, list | tuple | set | frozenset | np.ndarray) for row in Y):
            return _sort_nested([_list(row) for row in Y], form, tree)
        return _sort_array(np.array(Y, dtype=None if _alike(Y) else object), form)
    found = np.asarray(Y)
    if found.ndim == 1 and found.dtype == object and any(isinstance(row, list | tuple | set) for row in found):
        return _sort_nested([_list(row) for row in found], form, tree)
    return _sort_array(found, form)


def _sort_frame(frame: pd.DataFrame, form: str) -> Written:
    columns = tuple(frame.columns)
    numbers = all(pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes)
    if numbers and form != "paths":
        values = frame.to_numpy()
        if not np.isin(values, (0, 1)).all():
            raise UserError("Y: a data frame of numbers must hold 0 and 1; for paths of numbers say form='paths'")
        return Written(HOT, values.astype(int), str(values.dtype), columns, frame=True)
    return Written(PATHS, frame.astype(object).to_numpy(), "object", columns, frame=True)


def _sort_array(values: np.ndarray, form: str) -> Written:
    kind = values.dtype.kind
    if kind == "c":
        raise UserError("Complex data not supported: labels are words, whole numbers, or columns of 0 and 1")
    if values.ndim == 3:
        return Written(MANY_PATHS, values.astype(object), "object")
    if values.ndim == 2 and values.shape[1] == 1 and form == "auto":
        warned = (
            "A column-vector y was passed when a 1d array was expected. Please change the shape of y to (n_samples,)."
        )
        warnings.warn(warned, DataConversionWarning, stacklevel=4)
        values = values[:, 0]
    if values.ndim not in (1, 2):
        raise UserError(
            f"y should be a 1d array of labels, or of paths, or columns of 0 and 1, got shape {values.shape}"
        )
    if kind == "f":
        assert_all_finite(values, input_name="y")
        check_classification_targets(values)
    if values.ndim == 1:
        return Written(SINGLE, values, str(values.dtype))
    if kind in "biuf" and form == "auto" and np.isin(values, (0, 1)).all():
        return Written(HOT, values.astype(int), str(values.dtype))
    return Written(PATHS, values.astype(object), "object" if kind in "OUST" else str(values.dtype))


def _sort_nested(rows: list[list[Any]], form: str, tree: GivenTree | None) -> Written:
    """Sort a list of lists."""
    inner = [one for row in rows for one in row]
    if any(isinstance(one, list) for one in inner):
        return Written(MANY_PATHS, rows, "object")
    lengths = {len(row) for row in rows}
    numbers = bool(inner) and all(isinstance(one, int | float | np.number | np.bool_) for one in inner)
    if numbers and form == "auto" and len(lengths) == 1 and {*inner} <= {0, 1} and lengths != {1}:
        return Written(HOT, np.array(rows, dtype=int), str(np.array(rows).dtype))
    if form == "auto":
        paths, why = _look_like_paths(rows, tree)
        form = "paths" if paths else "sets"
        if why:
            other = "sets" if paths else "paths"
            message = f"Y, a list of lists, is read as {form}, since {why}; say form='{form}', or form='{other}'"
            warnings.warn(message, UserWarning, stacklevel=4)
    return Written(PATHS if form == "paths" else SETS, rows, "object")


def _look_like_paths(rows: list[list[Any]], given: GivenTree | None) -> tuple[bool, str]:
    """Say whether lists are paths from the top down rather than sets, and why; "" where nothing tells otherwise."""
    rows = [[one for one in row if not _is_gap(one)] for row in rows]
    if all(len(row) <= 1 for row in rows):
        return False, ""
    if given is not None:
        tree = read_tree(given)
        chains = all(
            (nodes := [tree.find(one) for one in row])
            and None not in nodes
            and tree.path(str(nodes[-1])) == tuple(nodes)
            for row in rows
        )
        return chains, "each of them is a path of the tree" if chains else ""
    above: dict[Any, tuple[int, Any]] = {}
    for row in rows:
        for depth, one in enumerate(row):
            place = (depth, row[depth - 1] if depth else None)
            if above.setdefault(one, place) != place:
                return False, f"{one!r} stands in several places"
    return True, "each label stands at one depth, below one other"


def _read_single(form: Form, rows: Rows) -> Iterable[tuple[str, ...]]:
    words = np.asarray(rows).tolist()
    for i, word in enumerate(words):
        if _is_gap(word):
            raise UserError(f"Y[{i}]: has no label, and each sample has one; leave the sample out")
    node = {word: form.tree.node(word, "Y") for word in dict.fromkeys(words)}
    return ((node[word],) for word in words)


def _read_hot(form: Form, rows: Rows) -> Iterable[tuple[str, ...]]:
    if np.shape(rows)[1] != len(form.nodes):
        raise UserError(f"Y: has {np.shape(rows)[1]} columns, and had {len(form.nodes)} when it was fitted")
    names = np.array(form.nodes, dtype=object)
    return (tuple(names[row]) for row in np.asarray(rows, dtype=bool))


def _read_sets(form: Form, rows: Rows) -> Iterable[tuple[str, ...]]:
    return (tuple(form.tree.node(one, f"Y[{i}]") for one in row if not _is_gap(one)) for i, row in enumerate(rows))


def _read_paths(form: Form, rows: Rows) -> Iterable[tuple[str, ...]]:
    for i, row in enumerate(rows):
        steps = [one for one in row if not _is_gap(one)]
        if not steps:
            raise UserError(f"Y[{i}]: has no label, and each sample has one path; leave the sample out")
        yield (_find_end(form.tree, steps, f"Y[{i}]"),)


def _read_many_paths(form: Form, rows: Rows) -> Iterable[tuple[str, ...]]:
    for i, row in enumerate(rows):
        paths = ([one for one in path if not _is_gap(one)] for path in row)
        yield tuple(_find_end(form.tree, steps, f"Y[{i}]") for steps in paths if steps)


_READERS = {
    SINGLE: _read_single, HOT: _read_hot, SETS: _read_sets, PATHS: _read_paths, MANY_PATHS: _read_many_paths,
}  # fmt: skip


def _find_end(tree: Tree, steps: Sequence[Any], where: str) -> str:
    """Return the node that a path ends at."""
    known = tree.node_of.get(tuple(steps))
    if known is not None:
        return known
    node = tree.node(steps[-1], where)
    above = {*tree.taxonomy.ancestors(node)}
    for step in steps[:-1]:
        if tree.find(step) not in above:
            raise UserError(f"{where}: '{step}' is not above '{steps[-1]}' in the tree '{tree.taxonomy.name}'")
    return node


def _read_own_tree(written: Written) -> Tree:
    """Return the tree that labels tell by themselves: that of the paths, or a flat one."""
    if written.kind in (PATHS, MANY_PATHS):
        names = [str(name) for name in written.columns]
        return _read_paths_tree([tuple(path) for row in _paths(written) for path in row], names)
    if written.kind == HOT:
        words: list[Any] = list(written.columns or range(np.shape(written.rows)[1]))
    else:
        found = [word for row in _sets(written) for word in row]
        distinct = list(dict.fromkeys(found))
        words = [distinct[j] for j in _sort(distinct)]
    if not words:
        raise UserError(NO_LABELS)
    return build_tree(dict.fromkeys(words, ()))


def _read_paths_tree(paths: Sequence[tuple[Any, ...]], levels: Sequence[str]) -> Tree:
    """Return the tree of paths, in which a label below two others is two nodes."""
    ends = dict.fromkeys(path[: depth + 1] for path in paths for depth in range(len(path)))
    if not ends:
        raise UserError(NO_LABELS)
    order = [list(ends)[j] for j in _sort([tuple(map(str, end)) for end in ends])]
    last = Counter(str(end[-1]).casefold() for end in order)
    names = {end: str(end[-1]) if last[str(end[-1]).casefold()] == 1 else " > ".join(map(str, end)) for end in order}
    return build_tree({end: (end[:-1],) if len(end) > 1 else () for end in order}, names, levels)


def _list_words(written: Written, tree: Tree) -> Iterator[tuple[str, Any]]:
    """Yield nodes with what Y calls them."""
    if written.kind == HOT:
        nodes = _name_columns(written, tree)
        words: Sequence[Any] = written.columns or (range(len(nodes)) if tree.node_of.get(0) else nodes)
        yield from zip(nodes, words, strict=True)
    elif written.kind in (PATHS, MANY_PATHS):
        for path in dict.fromkeys(tuple(path) for row in _paths(written) for path in row):
            for depth in range(len(path)):
                yield tree.node_of.get(path[: depth + 1]) or tree.node(path[depth], "Y"), path[depth]
    else:
        for word in dict.fromkeys(word for row in _sets(written) for word in row):
            yield tree.node(word, "Y"), word


def _name_columns(written: Written, tree: Tree) -> tuple[str, ...]:
    """Return the nodes of columns of 0 and 1: those that they are called by, else the leaves, or all nodes."""
    if written.columns:
        nodes = tuple(tree.node(name, "Y") for name in written.columns)
        twice = next((node for node in nodes if nodes.count(node) > 1), None)
        if twice:
            raise UserError(f"Y: two columns mean the node '{twice}'; leave one of them out")
        return nodes
    taxonomy, count = tree.taxonomy.without_virtual, np.shape(written.rows)[1]
    for nodes in (taxonomy.leaves, taxonomy.nodes):
        if len(nodes) == count:
            return nodes
    raise UserError(
        f"Y: has {count} columns, and the tree '{taxonomy.name}' has {len(taxonomy.leaves)} leaves and "
        f"{len(taxonomy.nodes)} nodes; give a column for each leaf or node, in the order of Taxonomy.leaves or .nodes, "
        "or a data frame with named columns"
    )


def _name_unseen(taxonomy: Taxonomy, words: Mapping[str, Any]) -> dict[str, Any]:
    """Return what Y would call the nodes: by their labels where it calls those so that it has, else by their names."""
    labels = {name: node.label for name, node in taxonomy.entries.items()}
    if not words or any(str(word) != labels[node] for node, word in words.items()):
        return {name: name for name in taxonomy.nodes}
    cast = type(next(iter(words.values())))
    return {name: name if label is None else _convert(label, cast) for name, label in labels.items()}


def _convert(label: str, kind: type) -> Any:  # noqa: ANN401 - a label of any type
    try:
        return kind(label)
    except ValueError:
        return label


def _sets(written: Written) -> list[list[Any]]:
    """Return the labels of each sample, gaps left out."""
    if written.kind == SINGLE:
        return [[word] for word in np.asarray(written.rows).tolist() if not _is_gap(word)]
    return [[word for word in row if not _is_gap(word)] for row in written.rows]


def _paths(written: Written) -> Iterator[list[list[Any]]]:
    """Yield the paths of each sample, gaps left out."""
    for row in written.rows:
        several = row if written.kind == MANY_PATHS else [row]
        yield [steps for path in several if (steps := [_plain(one) for one in path if not _is_gap(one)])]


def _is_gap(word: object) -> bool:
    return word is None or word is pd.NA or (isinstance(word, str) and word == "") or word != word


def _plain(value: Any) -> Any:  # noqa: ANN401 - of any depth
    """Return lists of Python's own values for sequences of any kind, sets in order."""
    if isinstance(value, set | frozenset):
        value = sorted(value, key=str)
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(one) for one in value]
    return value.item() if isinstance(value, np.generic) else value


def _list(row: Any) -> list[Any]:  # noqa: ANN401 - of any depth
    plain = _plain(row)
    return plain if isinstance(plain, list) else [] if _is_gap(plain) else [plain]


def _alike(values: Sequence[Any]) -> bool:
    return len({type(one) for one in values}) == 1 or all(isinstance(one, int | float | np.number) for one in values)


def _sort(values: Sequence[Any]) -> list[int]:
    """Return the order of values: by size, or by what they look like where they cannot be compared."""
    try:
        return sorted(range(len(values)), key=values.__getitem__)
    except TypeError:
        return sorted(range(len(values)), key=lambda j: str(values[j]))


def _array(values: Sequence[Any], dtype: str, width: int = 0) -> np.ndarray:
    """Return an array of the type that Y had, or of objects where these are no such values; (B, width) with a width."""
    kind = np.dtype(dtype)
    inner = [one for row in values for one in row] if width else values
    if kind.kind in "biuf" and any(isinstance(one, str) for one in inner):
        kind = np.dtype(object)
    found = np.array(values, dtype=str if kind.kind in "US" else kind)
    return found.reshape(len(values), width) if width else found
