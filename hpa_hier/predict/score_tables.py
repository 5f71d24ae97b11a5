"""Answers for other models' score tables, of an ensemble that was fitted on such."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hpa_hier.ensemble.ensemble import Ensemble
from hpa_hier.ensemble.scores.score_table import describe_coverage, join_tables, read_scores
from hpa_hier.ensemble.scores.scores import Scores
from hpa_hier.errors import UserError
from hpa_hier.predict.answers import Answers
from hpa_hier.predict.tables import Rejected


def answer_tables(ensemble: Ensemble, files: Mapping[str, Path], source: str) -> Answers:
    """Answer for all samples of score tables.

    Args:
        ensemble: fitted on such tables.
        files: the table of each model that it was fitted on.
        source: name of the ensemble's run, for people.

    Returns:
        The answers; samples for which no model answers for some leaf are in `rejected`.

    Raises:
        UserError: a table is wrong, or the tables are not those of the models that the ensemble was fitted on.
    """
    kind = ensemble.about.get("score_kind")
    if kind not in ("probs", "logits"):
        raise UserError(
            f"{source}: its ensemble was fitted on members of its own, not on score tables; use --images DIR"
        )
    wanted, got = sorted(member.name for member in ensemble.members), sorted(files)
    if wanted != got:
        raise UserError(f"{source}: its ensemble combines {', '.join(wanted)}; got --scores of {', '.join(got)}")
    tables = [read_scores(name, Path(files[name]), kind, ensemble.taxonomy) for name in wanted]
    calibrations = ensemble.combiner.calibrations
    joined = join_tables([_in_order(one, calibrations[one.name].nodes) for one in tables], ensemble.taxonomy)
    return Answers(
        ensemble,
        ensemble.predict(joined.members, joined.available),
        joined.members,
        ((),) * len(joined.ids),
        tuple(Rejected(sample, "", f"no table answers for the leaf '{leaf}'") for sample, leaf in joined.unanswered),
        f"{source}: score tables of {', '.join(wanted)}",
        tuple(describe_coverage(tables, len(joined.ids), ensemble.taxonomy, joined.available)),
        joined.available,
    )


def _in_order(scores: Scores, nodes: tuple[str, ...]) -> Scores:
    """Put columns into the order that the ensemble knows them in."""
    if set(scores.nodes) != set(nodes):
        differing = sorted(set(scores.nodes) ^ set(nodes))[0]
        raise UserError(
            f"table '{scores.name}' has other columns than when the ensemble was fitted, such as '{differing}'; "
            "give the same ones, or fit again"
        )
    columns = [scores.nodes.index(node) for node in nodes]
    return Scores(scores.name, scores.ids, nodes, scores.logits[:, columns])
