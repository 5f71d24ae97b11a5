"""HierarchicalClassifier: members, folds, calibration, coherence and thresholds behind fit and predict."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np
import pandas as pd
from scipy.special import logit
from sklearn.base import ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import _BaseComposition
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from hpa_hier.classifier.classifier_file import ClassifierFile, FormFile
from hpa_hier.classifier.fitting import HowToFit, Samples, fit_folder, name_samples
from hpa_hier.classifier.kept_run import KeptRun
from hpa_hier.classifier.labels import NO_LABELS, PATHS, SETS, SINGLE, GivenLabels, learn_form, sort_labels
from hpa_hier.classifier.members import describe, list_members, read_entry, restore
from hpa_hier.classifier.trees import GivenTree
from hpa_hier.data.labels.table import targets
from hpa_hier.ensemble.decide.safe import UNSURE
from hpa_hier.errors import UserError
from hpa_hier.files.yaml_file import write_line
from hpa_hier.metrics.arrays import Floats
from hpa_hier.metrics.scores import count, micro_f1
from hpa_hier.predict.answers import Answers
from hpa_hier.predict.predictor import Predictor
from hpa_hier.runs.run import Run
from hpa_hier.settings.training import SKLEARN
from hpa_hier.taxonomy.tree import Taxonomy

Vectors: TypeAlias = "np.ndarray | pd.DataFrame | Sequence[Sequence[float]]"

_NEAREST = 1e-12  # to 0 or 1 that a probability is taken to be in log-odds
_BATCH = 1024  # samples answered for at a time
_RECIPE = "vectors"  # whose settings count where none is named
_DEFAULT = (
    ("linear", {"backbone": SKLEARN, "estimator": "logistic_regression", "estimator_parameters": {"max_iter": 1000}}),
    ("trees", {"backbone": SKLEARN, "estimator": "extra_trees"}),
)
_PLAIN = ("form", "recipe", "settings", "folds", "safe_precision", "random_state", "device", "n_jobs", "verbose")


class InputError(UserError, ValueError):
    """A user's mistake as scikit-learn has it: a ValueError."""


class HierarchicalClassifier(ClassifierMixin, _BaseComposition):  # type: ignore[misc]
    """A hierarchical, multi-label ensemble on vectors, fitted and asked as any classifier of scikit-learn.

    Members are trained once a fold and score the samples of that fold; on these scores they are calibrated, combined
    into one coherent probability for every node, and thresholds are set. It is what `hpa-hier run --vectors` does, by
    the same code, and `save` writes a run's folder.

    Args:
        taxonomy: the label tree: a `Taxonomy`, its file or shipped name, a nested mapping, (parent, child) edges, a
            `networkx.DiGraph`, or names; None: paths in Y tell it, and other labels have a flat one.
        estimators: members, as (name, estimator) or (name, estimator, nodes), where nodes is all (every node), leaves,
            top, a level, a group, majority or minority. In place of an estimator training settings of a network may
            stand, such as {"backbone": "mlp"}. None: those of the recipe; without one, a logistic regression and extra
            trees.
        form: paths or sets, to read lists of lists in Y as; auto: told by the tree or by themselves.
        recipe: recipe file, or a shipped one's name such as vectors, whose settings count; None: those of vectors.
        settings: changes of the recipe, as {"ensemble.aggregate": "mean"}; `hpa-hier settings` lists all.
        folds: 2 to 20, of which each is scored by members that learned from the others.
        safe_precision: in (0, 1), share of safe answers that must be right on held-out scores.
        random_state: seed of folds and members; None: 0.
        device: of networks: auto, cpu, cuda, cuda:N or mps.
        n_jobs: threads; None: one, -1: one a processor.
        verbose: 1 prints how trainings go.

    Attributes:
        classes_: what Y calls the columns of `predict_proba`; node names where Y has lists or paths.
        nodes_: names of all nodes of the tree.
        taxonomy_: the tree.
        n_features_in_: F.
        feature_names_in_: names of the F features, where X had some.

    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> X, Y = [[0.0], [0.1], [0.9], [1.0]] * 5, [["Cat"], ["Cat", "Oak"], ["Oak"], ["Fern"]] * 5
    >>> tree = {"Animal": ["Cat", "Owl"], "Plant": ["Oak", "Fern"]}
    >>> classifier = HierarchicalClassifier(tree, [("near", KNeighborsClassifier(1))], folds=2).fit(X, Y)
    >>> classifier.predict([[0.0], [1.0]])
    [['Cat'], ['Fern']]
    >>> probs = dict(zip(classifier.classes_, classifier.predict_proba([[0.1]])[0], strict=True))
    >>> bool(probs["Oak"] <= probs["Plant"])
    True
    """

    def __init__(
        self,
        taxonomy: GivenTree | None = None,
        estimators: Sequence[tuple[Any, ...]] | None = None,
        *,
        form: str = "auto",
        recipe: str | None = None,
        settings: Mapping[str, Any] | None = None,
        folds: int = 5,
        safe_precision: float = 0.9,
        random_state: int | np.random.RandomState | None = None,
        device: str = "cpu",
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.taxonomy = taxonomy
        self.estimators = estimators
        self.form = form
        self.recipe = recipe
        self.settings = settings
        self.folds = folds
        self.safe_precision = safe_precision
        self.random_state = random_state
        self.device = device
        self.n_jobs = n_jobs
        self.verbose = verbose

    def fit(
        self,
        X: Vectors,
        Y: GivenLabels,
        taxonomy: GivenTree | None = None,
        groups: Sequence[object] | None = None,
    ) -> Self:
        """Train the members, and fit how they are calibrated, combined and decided with.

        Args:
            X: (B, F) finite numbers; at least two samples.
            Y: labels of the B samples: one each, in a list or an array; (B, K) columns of 0 and 1, of leaves or all
                nodes in the tree's order, or of the nodes that a data frame's columns name; lists of names; (B, levels)
                words, a path each, filled up with "" or None; or (B, paths, levels) words.
            taxonomy: takes the place of the constructor's.
            groups: (B,) of each sample, what no fold may divide, such as its antibody; None: each is alone.

        Returns:
            The classifier.

        Raises:
            InputError: a ValueError and a UserError: labels that are none of the tree, or settings that are none.
        """
        vectors = validate_data(self, X, dtype=np.float32, ensure_min_samples=2)
        try:
            return self._fit(vectors, Y, self.taxonomy if taxonomy is None else taxonomy, groups)
        except UserError as error:
            raise InputError(str(error)) from None

    def _fit(
        self, vectors: np.ndarray, Y: GivenLabels, given: GivenTree | None, groups: Sequence[object] | None
    ) -> Self:
        written = sort_labels(Y, self.form, given)
        check_consistent_length(vectors, written.rows)
        form = learn_form(written, given)
        nodes, keys = form.read(written.rows), [""] * len(vectors) if groups is None else [str(one) for one in groups]
        check_consistent_length(vectors, keys)
        if not any(nodes):
            raise UserError(NO_LABELS)
        if len({*keys}) == 1 and keys[0]:
            raise UserError(f"groups: all samples are of the group '{keys[0]}', and folds need two; leave groups out")
        taxonomy = form.tree.taxonomy
        samples = Samples(vectors, self._name_features(vectors.shape[1]), nodes, tuple(keys), taxonomy)
        kept = KeptRun()
        run = fit_folder(kept.folder, samples, self._how(taxonomy))
        self._form, self.taxonomy_, self._given, self._kept = form, taxonomy, given is not None, kept
        self._predictor = _load(run)
        self.classes_, self.nodes_ = form.classes, taxonomy.without_virtual.nodes
        return self

    def _how(self, taxonomy: Taxonomy) -> HowToFit:
        """Return how members are trained: the recipe with the changes that the parameters make."""
        if not isinstance(self.folds, int | np.integer) or not 2 <= self.folds <= 20:
            raise UserError(f"folds: {self.folds!r} must be a whole number from 2 to 20")
        changes = {"ensemble.use_baseline=false": "use_baseline", "ensemble.bootstrap=0": "bootstrap"}
        changes[f"ensemble.safe_precision={self.safe_precision}"] = f"safe_precision={self.safe_precision!r}"
        entries = _DEFAULT if self.estimators is None and self.recipe is None else self.estimators
        if entries is not None:
            members: Any = list_members(entries, taxonomy)
            names = [member["name"] for member in members]
            self._validate_names(names)
            changes[f"members={write_line(members)}"] = "estimators"
            changes["ensemble.members=[]"], changes["ensemble.baseline=[]"] = "estimators", "estimators"
        for key, value in (self.settings or {}).items():
            changes[f"{key}={write_line(value)}"] = f"settings: {key}"
        return HowToFit(
            config=self.recipe or _RECIPE,
            changes=changes,
            folds=int(self.folds),
            seed=_draw_seed(self.random_state),
            device=self.device,
            threads=1 if self.n_jobs is None else self.n_jobs if self.n_jobs > 0 else os.cpu_count() or 1,
            lines=bool(self.verbose),
        )

    def predict(self, X: Vectors) -> Any:  # noqa: ANN401 - as X and Y were
        """Predict labels in the form that Y had.

        Where each sample has one label or path, it is the likeliest leaf's; else those nodes that reach their
        thresholds, with all above them: in columns of 0 and 1 as they are, in lists and paths the most specific ones,
        which may be none.

        Args:
            X: (B, F) numbers.
        """
        answers = self._answer(X)
        index = X.index if isinstance(X, pd.DataFrame) else None
        return self._form.write(answers.prediction.present, self._find_best(answers), index)

    def predict_proba(self, X: Vectors) -> Floats:
        """Return calibrated, coherent probabilities, (B, K) in [0, 1], columns as `classes_`.

        No node is more likely than a node above it. Where each sample has one label, they sum to 1.

        Args:
            X: (B, F) numbers.
        """
        return self._probs(self._answer(X))

    def decision_function(self, X: Vectors) -> Floats:
        """Return (B, K) log-odds, columns as `classes_`; of one of two labels a sample, (B,) those of the second.

        Where samples may have several labels, they are those beyond each node's threshold: from 0 on it is called.

        Args:
            X: (B, F) numbers.
        """
        answers = self._answer(X)
        odds = _log_odds(self._probs(answers))
        if self._form.kind == SINGLE:
            return odds[:, 1] if odds.shape[1] == 2 else odds
        column = answers.taxonomy.column
        return odds - _log_odds(answers.prediction.thresholds[[column[node] for node in self._form.nodes]])

    def predict_safe(self, X: Vectors) -> np.ndarray:
        """Predict the deepest node of each sample that was right often enough on held-out scores.

        Args:
            X: (B, F) numbers.

        Returns:
            (B,) labels in the words of Y, groups among them, or `unsure`; where Y has one path a sample, (B, levels)
            paths, which may end early and are empty where nothing is safe. `safe_precision` says how often is enough.
        """
        answers = self._answer(X)
        nodes, form = answers.taxonomy.nodes, self._form
        found = [nodes[j] if j >= 0 else None for j in answers.prediction.safe.column]
        if form.kind == PATHS:
            paths = [[] if node is None else form.write_path(node) for node in found]
            return np.array([path + [""] * (form.levels - len(path)) for path in paths], dtype=object)
        return np.array([UNSURE if node is None else form.words[node] for node in found], dtype=object)

    def score(self, X: Vectors, y: GivenLabels, sample_weight: np.ndarray | None = None) -> float:
        """Return the hierarchical F1 of the predictions: of all nodes present, those above the labels too.

        What an annotation leaves unknown is left out. In a flat tree with one label a sample it is the accuracy.

        Args:
            X: (B, F) numbers.
            y: labels, in the form of those that it was fitted on.
            sample_weight: (B,).

        Raises:
            InputError: they have another form, or labels that are none of the tree.

        Source: Kiritchenko, Matwin & Famili 2005.
        """
        answers, form = self._answer(X), self._form
        try:
            written = sort_labels(y, {SETS: "sets", PATHS: "paths"}.get(form.kind, "auto"))
            if written.kind != form.kind:
                raise UserError(f"Y: is of the form {written.kind}, and was {form.kind} when it was fitted")
            check_consistent_length(written.rows, answers.ids)
            truth = targets(form.read(written.rows), answers.taxonomy)
        except UserError as error:
            raise InputError(str(error)) from None
        present = answers.prediction.present
        if form.one_each:
            present = answers.taxonomy.closure[self._find_best(answers)]
        columns = [answers.taxonomy.column[node] for node in self.nodes_]
        weights = None if sample_weight is None else np.asarray(sample_weight, np.float64)[None]
        counts = count(present[:, columns], truth.present[:, columns], truth.known[:, columns], weights)
        return float(np.squeeze(micro_f1(counts)))

    def answer(self, X: Vectors) -> Answers:
        """Return all that the ensemble says of samples: probabilities of all nodes, safe answers, doubts, explanations.

        Args:
            X: (B, F) numbers.

        Returns:
            Answers as `Predictor.predict` gives them; ids are 0, 1, 2 and so on.
        """
        return self._answer(X)

    def save(self, folder: Path | str) -> None:
        """Write the fitted classifier as a run's folder, which `load` and `hpa-hier predict --run FOLDER` read.

        Members are kept without pickle. The samples that they learned from are not kept, unless a member is made of
        them, as nearest neighbours are.

        Args:
            folder: absent, or empty.

        Raises:
            InputError: the folder holds something.
        """
        check_is_fitted(self)
        folder = Path(folder)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"{folder}: is there already; name another folder, or remove this one")
        given = {name: value for name, value in self.get_params(deep=False).items() if name in _PLAIN}
        entries = None if self.estimators is None else [read_entry(one) for one in self.estimators]
        facts = ClassifierFile(
            form=FormFile.from_form(self._form),
            features=self.n_features_in_,
            feature_names=getattr(self, "feature_names_in_", None),
            given=self._given,
            estimators=entries and [(name, describe(what, name), nodes) for name, what, nodes in entries],
            parameters={**given, "random_state": given["random_state"] if _is_whole(given["random_state"]) else None},
        )
        self._kept.write(folder)
        facts.write(folder)

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Load a classifier that `save` wrote; it answers as it did, to the last bit.

        Raises:
            InputError: there is none in the folder, or its files do not belong together.
        """
        try:
            facts = ClassifierFile.read(Path(folder))
            run = Run.open(str(folder))
            taxonomy = run.fitted_taxonomy
            estimators = (
                None if facts.estimators is None else [(n, restore(what, n), at) for n, what, at in facts.estimators]
            )
            found = cls(taxonomy if facts.given else None, estimators, **facts.parameters)
            found._kept = KeptRun.from_folder(Path(folder))
            found._predictor = _load(Run.open(found._kept.folder))
        except UserError as error:
            raise InputError(str(error)) from None
        found._form, found.taxonomy_, found._given = facts.form.to_form(taxonomy), taxonomy, facts.given
        found.classes_, found.nodes_ = found._form.classes, taxonomy.without_virtual.nodes
        found.n_features_in_ = facts.features
        if facts.feature_names is not None:
            found.feature_names_in_ = np.array(facts.feature_names, dtype=object)
        return found

    def _answer(self, X: Vectors) -> Answers:
        check_is_fitted(self)
        vectors = validate_data(self, X, dtype=np.float32, reset=False)
        ids = name_samples(len(vectors))
        frame = pd.DataFrame(vectors, index=ids, columns=self._name_features(vectors.shape[1]))
        return self._predictor.predict(frame, batch_size=_BATCH)

    def _probs(self, answers: Answers) -> Floats:
        column = answers.taxonomy.column
        return answers.prediction.probs[:, [column[node] for node in self._form.nodes]]

    def _find_best(self, answers: Answers) -> np.ndarray:
        """Return (B,) the columns of the likeliest leaves."""
        taxonomy, form = answers.taxonomy, self._form
        leaves = form.nodes if form.kind == SINGLE else taxonomy.leaves
        columns = np.array([taxonomy.column[leaf] for leaf in leaves])
        return np.asarray(columns[np.argmax(answers.prediction.probs[:, columns], axis=1)])

    def _name_features(self, count: int) -> tuple[str, ...]:
        names = getattr(self, "feature_names_in_", None)
        return tuple(f"f{j}" for j in range(count)) if names is None else tuple(map(str, names))

    @property
    def _pairs(self) -> list[tuple[str, Any]]:
        """The estimators by name, for scikit-learn's handling of nested parameters; wrong ones are refused by `fit`."""
        try:
            return [] if self.estimators is None else [read_entry(one)[:2] for one in self.estimators]
        except (UserError, TypeError):
            return []

    @_pairs.setter
    def _pairs(self, pairs: Sequence[tuple[str, Any]]) -> None:
        old = self.estimators or ()
        self.estimators = [(name, what, *one[2:]) for (name, what), one in zip(pairs, old, strict=True)]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters; deep: those of the estimators too, as `trees__n_estimators`."""
        return dict(self._get_params("_pairs", deep=deep))

    def set_params(self, **params: Any) -> Self:  # noqa: ANN401 - of any type
        """Set parameters, those of the estimators too, as `trees__n_estimators`, or one of them by its name."""
        if "estimators" in params:
            self.estimators = params.pop("estimators")
        self._set_params("_pairs", **params)
        return self

    def __sklearn_tags__(self) -> Any:  # noqa: ANN401 - of scikit-learn
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        state.pop("_predictor", None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "_kept" in state:
            self._predictor = _load(Run.open(self._kept.folder))


def _load(run: Run) -> Predictor:
    predictor = Predictor.load(run)
    _ = predictor.scorers
    return predictor


def _draw_seed(random_state: Any) -> int:  # noqa: ANN401 - as scikit-learn takes it
    if random_state is None or _is_whole(random_state):
        return int(random_state or 0)
    return int(check_random_state(random_state).randint(1 << 31))


def _is_whole(value: object) -> bool:
    return isinstance(value, int | np.integer)


def _log_odds(probs: Floats) -> Floats:
    return np.asarray(logit(np.clip(probs, _NEAREST, 1 - _NEAREST)))
