"""Balance tables: what a plan does to each class beside two other ways of balancing, as text, CSV and a chart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hpa_hier.data.balance.chart import balance_chart
from hpa_hier.data.balance.cooccurrence import BalancePlan, Goal
from hpa_hier.data.balance.repeat import balanced_counts, copy_factors, repeat_factors
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import refuse_foreign, write_text
from hpa_hier.files.tables import write_table
from hpa_hier.taxonomy import Taxonomy

if TYPE_CHECKING:
    import pandas as pd

TABLE, FACTORS, CHART = "balance.csv", "factors.csv", "balance.svg"


def parse_goal(present: np.ndarray, taxonomy: Taxonomy, bounds: Sequence[str], default: Goal) -> Goal:
    """Return what is asked for: the default's bounds, or those given as CLASS=GROWTH instead of them.

    Args:
        present: (B, L) bool, columns as the leaves.
        taxonomy: gives the leaves.
        bounds: as in "Nucleoplasm=0.15"; a class may be called by its label.
        default: what holds where no bounds are given.

    Raises:
        UserError: no such leaf, no growth, or a class without images.
    """
    if not bounds:
        return default
    bound = np.full(len(taxonomy.leaves), np.inf)
    for text in bounds:
        name, equals, growth = text.rpartition("=")
        leaf = taxonomy.find_node(name.strip())
        if not equals or leaf is None or not taxonomy.is_leaf(leaf):
            raise UserError(
                f"--bound {text}: {name or text!r} is no leaf of '{taxonomy.name}'; give one, as in Nucleoplasm=0.15"
            )
        try:
            bound[taxonomy.leaves.index(leaf)] = float(growth)
        except ValueError:
            raise UserError(f"--bound {text}: {growth!r} is no growth; write 0.15 for 15 %") from None
        if not 0 <= float(growth) < np.inf:
            raise UserError(f"--bound {text}: a growth is 0 or more, as 0.15 for 15 %")
    return Goal(default.target, bound, default.most)


def balance_table(names: Sequence[str], present: np.ndarray, plan: BalancePlan) -> pd.DataFrame:
    """Return each class's images under each way of balancing, and its growth under the plan; most images first.

    Args:
        names: the L classes.
        present: (B, L) bool, which of them each image carries.
        plan: for these images.
    """
    import pandas as pd

    others = {"repeat factors": repeat_factors(present), "copying the rare": copy_factors(present, plan.goal.target)}
    counts = {name: balanced_counts(present, factors)[1] for name, factors in others.items()}
    columns = {"before": plan.before, **counts, "this plan": plan.after, "growth": plan.growth}
    return pd.DataFrame(columns, index=list(names)).iloc[np.argsort(-plan.before, kind="stable")]


def describe_plan(table: pd.DataFrame, plan: BalancePlan, names: Sequence[str]) -> str:
    """Return what the command prints: the table, the size of an epoch, what cannot be reached and why."""
    formats = {column: "{:.1%}" if column == "growth" else "{:,}" for column in table}
    repeated = int((plan.factors > 1).sum())
    epoch = (
        f"{len(plan.factors):,} images become {int(plan.factors.sum()):,}; {repeated:,} of them are repeated, "
        f"up to {int(plan.factors.max(initial=1))} times"
    )
    lines = table.to_string(formatters={column: text.format for column, text in formats.items()})
    return "\n".join([lines, epoch, *(_why_short(names, plan, place) for place in range(len(plan.short)))])


def _why_short(names: Sequence[str], plan: BalancePlan, place: int) -> str:
    label, target, most = int(plan.short[place]), plan.goal.target, plan.goal.most
    before, after, alone = int(plan.before[label]), int(plan.after[label]), int(plan.max_without_others[place])
    head = f"impossible: {names[label]} cannot have {target:,} images, {after:,} at most:"
    if before * most < target:
        return f"{head} it has {before:,}, and none may be repeated more than {most} times (--most)"
    held = ", ".join(names[column] for column in plan.limited_by[place]) or "other classes"
    by_itself = f" (without other classes it could have {alone:,})" if alone > after else ""
    return f"{head} its images also carry {held}, whose bounds are full{by_itself}"


def refuse_foreign_tables(folder: Path) -> None:
    """Refuse to replace anything but an earlier plan's files."""
    for name, first in ((TABLE, "class,before,"), (FACTORS, "id,factor,weight"), (CHART, "<")):
        refuse_foreign(folder / name, first)


def write_tables(
    folder: Path, ids: Sequence[str], names: Sequence[str], table: pd.DataFrame, plan: BalancePlan
) -> None:
    """Write balance.csv (classes in the order of `names`), factors.csv (images) and balance.svg."""
    import pandas as pd

    folder.mkdir(parents=True, exist_ok=True)
    classes = table.loc[list(names)].assign(growth=lambda rows: rows["growth"].map("{:.4f}".format))
    write_table(folder / TABLE, classes.rename(columns=lambda name: name.replace(" ", "_")).reset_index(names="class"))
    weights = [f"{weight:.4f}" for weight in plan.weights]
    write_table(folder / FACTORS, pd.DataFrame({"id": ids, "factor": plan.factors, "weight": weights}))
    write_text(folder / CHART, balance_chart(table, plan.goal.target))
