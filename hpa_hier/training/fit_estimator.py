"""Fit one member's estimators, and write what makes them a member."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hpa_hier.data.labels.table import Targets
from hpa_hier.data.pack.pack import VectorPack
from hpa_hier.errors import UserError
from hpa_hier.members.estimators.create import create_estimator
from hpa_hier.members.estimators.fitted import Lesson, fit_nodes
from hpa_hier.members.estimators.member import Trained, library_versions, see_vectors, write_trained
from hpa_hier.members.estimators.skops_file import count_numbers
from hpa_hier.members.scores_file import HeldOutScores
from hpa_hier.runs.manifest import ESTIMATORS, EstimatorFacts, Manifest
from hpa_hier.training.batches.statistics import vector_normalisation
from hpa_hier.training.loop.watched import prevalence_log_loss, scaled_log_loss
from hpa_hier.training.plan import Plan
from hpa_hier.training.save_member import describe_plan, list_held_out, write_member


def fit_estimator(plan: Plan, threads: int = 1, report: Callable[[float], object] | None = None) -> str:
    """Fit a member's estimators on the train part and write the finished member; a fit cannot be resumed.

    Args:
        plan: of a member that is an estimator, on vectors.
        threads: that fit at the same time.
        report: is told the share that is done.

    Returns:
        One line that says what was fitted, how good it looked, and where it is.

    Raises:
        UserError: no samples to watch, or the estimator refuses its parameters or the samples.
    """
    settings, pack, member = plan.settings, plan.run.pack, plan.member
    assert isinstance(pack, VectorPack)
    name = settings.estimator or ""
    train, calibration = plan.learned_parts()
    estimator = create_estimator(name, settings.estimator_parameters, member.seed, member.name)
    normalise = vector_normalisation(settings.vectors, pack.vectors, train.rows)
    ids, parts = list_held_out(plan)
    began = time.monotonic()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            values = see_vectors(normalise, pack.vectors(train.rows))
            lesson = Lesson(values, train.present, train.known, plan.factors(train), _is_one_of(plan))
            fitted = fit_nodes(estimator, lesson, member.seed, threads, report or (lambda share: None))
            trained = Trained(normalise, fitted)
            logits = trained.logits(pack.vectors(pack.find_rows(ids)))
        except (ValueError, TypeError) as error:
            raise UserError(
                f"training.estimator of '{member.name}': {name} refuses the samples or its parameters: "
                f"{str(error).splitlines()[0]}; correct estimator_parameters, or name another estimator"
            ) from None
    seconds = time.monotonic() - began
    path = plan.folder / ESTIMATORS
    write_trained(path, trained)
    manifest = Manifest(
        **describe_plan(plan),
        mean=tuple(normalise.mean.flatten().tolist()),
        std=tuple(normalise.std.flatten().tolist()),
        parameters=count_numbers([fit.estimator for fit in fitted.fits]),
        images_seen=sum(fit.samples for fit in fitted.fits),
        steps=0,
        seconds=round(seconds, 3),
        epochs=0,
        best_epoch=0,
        stopped="all steps",
        device="cpu",
        precision="64-true",
        estimator=_describe_estimator(estimator),
        files={},
    )
    write_member(plan, HeldOutScores(ids, parts, plan.nodes, logits), manifest, (ESTIMATORS,))
    known = trained.logits(pack.vectors(calibration.rows))
    reached = scaled_log_loss(known, calibration.present, calibration.known)
    shares = Targets(train.present, train.known)
    from_shares = prevalence_log_loss(calibration.present, calibration.known, shares)
    size = path.stat().st_size / 1e6
    line = (
        f"{member.name}: {len(plan.nodes)} nodes, {name} fitted in {seconds:.0f} s on {len(train):,} samples "
        f"(calibration log loss {reached:.4f}; the class shares alone give {from_shares:.4f}), {size:.1f} MB; written "
        f"to {plan.folder}"
    )
    return "\n".join([*_describe_warnings(member.name, caught), line])


def _is_one_of(plan: Plan) -> bool:
    """Say whether a sample has one of the member's nodes at most: the tree is exclusive, and none is above another."""
    taxonomy = plan.run.taxonomy
    columns = [taxonomy.column[node] for node in plan.nodes]
    return taxonomy.exclusive and int(taxonomy.closure[np.ix_(columns, columns)].sum()) == len(columns)


def _describe_estimator(estimator: Any) -> EstimatorFacts:  # noqa: ANN401 - any estimator
    kind = type(estimator)
    parameters = {key: _plain(value) for key, value in estimator.get_params(deep=False).items()}
    return EstimatorFacts(
        path=f"{kind.__module__}.{kind.__qualname__}", parameters=parameters, libraries=library_versions()
    )


def _plain(value: object) -> object:
    """Return a parameter as JSON holds it; estimators, and whatever else it does not know, as they are printed."""
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    return value if value is None or isinstance(value, (bool, int, float, str)) else repr(value)


def _describe_warnings(name: str, caught: Sequence[warnings.WarningMessage]) -> list[str]:
    """Say once what an estimator warned of, and how often."""
    first = [str(one.message).strip().splitlines()[0] for one in caught]
    return [f"{name}: {first.count(text)} times: {text}" for text in dict.fromkeys(first)]
