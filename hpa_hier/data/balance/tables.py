"""Balance tables: what a plan does to each class beside two other ways of balancing, as text, CSV and a chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hpa_hier.data.balance.chart import balance_chart
from hpa_hier.data.balance.cooccurrence import BalancePlan, Goal
from hpa_hier.data.balance.repeat import balanced_counts, copy_factors, repeat_factors
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import refuse_foreign, write_text
from hpa_hier.files.csv_file import csv_text
from hpa_hier.taxonomy import Taxonomy

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


def counts_by_method(present: np.ndarray, plan: BalancePlan) -> dict[str, np.ndarray]:
    """Return each way of balancing → (L,) int64 images of each label; the plan comes last."""
    others = {"repeat factors": repeat_factors(present), "copying the rare": copy_factors(present, plan.goal.target)}
    counted = {name: balanced_counts(present, factors)[1] for name, factors in others.items()}
    return {"before": plan.before, **counted, "this plan": plan.after}


def describe_plan(names: Sequence[str], plan: BalancePlan, counted: Mapping[str, np.ndarray]) -> list[str]:
    """Return the table that the command prints, most images first, then what could not be reached and why."""
    width = max(map(len, names))
    heads = " ".join(f"{way:>16}" for way in counted)
    said = [f"{'':{width}} {heads}   growth"]
    for label in np.argsort(-plan.before, kind="stable").tolist():
        cells = " ".join(f"{int(values[label]):16,}" for values in counted.values())
        said.append(f"{names[label]:{width}} {cells} {plan.growth[label]:8.1%}")
    repeated = int((plan.factors > 1).sum())
    said.append(
        f"{len(plan.factors):,} images become {int(plan.factors.sum()):,}; {repeated:,} of them are repeated, "
        f"up to {int(plan.factors.max(initial=1))} times"
    )
    return said + [_why_short(names, plan, place) for place in range(len(plan.short))]


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
    for name, first in ((TABLE, "class,before,"), (FACTORS, "id,factor,weight"), (CHART, "<svg")):
        refuse_foreign(folder / name, first)


def write_tables(
    folder: Path, ids: Sequence[str], names: Sequence[str], plan: BalancePlan, counted: Mapping[str, np.ndarray]
) -> None:
    """Write balance.csv (classes), factors.csv (images) and balance.svg."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = [name.replace(" ", "_") for name in counted]
    rows = (
        [names[j], *(int(values[j]) for values in counted.values()), f"{plan.growth[j]:.4f}"] for j in range(len(names))
    )
    write_text(folder / TABLE, csv_text(("class", *columns, "growth"), rows))
    factors = zip(ids, plan.factors.tolist(), (f"{weight:.4f}" for weight in plan.weights), strict=True)
    write_text(folder / FACTORS, csv_text(("id", "factor", "weight"), factors))
    write_text(folder / CHART, balance_chart(names, counted, plan.goal.target))
