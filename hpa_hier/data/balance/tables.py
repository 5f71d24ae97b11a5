"""Balance tables: what a plan does to each class beside two other ways of balancing, as text, CSV and a chart."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hpa_hier.data.balance.cooccurrence import BalancePlan, Goal
from hpa_hier.data.balance.repeat import balanced_counts, copy_factors, repeat_factors
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import refuse_foreign, write_text
from hpa_hier.files.faults.together import together
from hpa_hier.files.lock import PATIENCE, lock_folder
from hpa_hier.files.tables import write_table
from hpa_hier.taxonomy import Taxonomy

if TYPE_CHECKING:
    import pandas as pd

TABLE, FACTORS, CHART = "balance.csv", "factors.csv", "balance.svg"
_STYLE = {"before": ("o", "white", "#5c6b73"), "this plan": ("o", "#0b6f8a", "#0b6f8a")}
_OTHERS = (("s", "#b0712a", "#b0712a"), ("D", "#8a3f7d", "#8a3f7d"))


def parse_goal(taxonomy: Taxonomy, bounds: Sequence[str], default: Goal) -> Goal:
    """Return the default goal, or one with the bounds that are given, as in "Nucleoplasm=0.15", instead of its own.

    Raises:
        UserError: no such leaf, or no growth.
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

    columns = {
        "before": plan.before,
        "repeat factors": balanced_counts(present, repeat_factors(present))[1],
        "copying the rare": balanced_counts(present, copy_factors(present, plan.goal.target))[1],
        "this plan": plan.after,
        "growth": plan.growth,
    }
    return pd.DataFrame(columns, index=list(names)).iloc[np.argsort(-plan.before, kind="stable")]


def describe_plan(table: pd.DataFrame, plan: BalancePlan, names: Sequence[str]) -> str:
    """Return what the command prints: the table, the size of an epoch, what cannot be reached and why."""
    formats = {column: ("{:.1%}" if column == "growth" else "{:,}").format for column in table}
    epoch = (
        f"{len(plan.factors):,} images become {plan.factors.sum():,}; {(plan.factors > 1).sum():,} of them are "
        f"repeated, up to {plan.factors.max(initial=1)} times"
    )
    lines = [table.to_string(formatters=formats), epoch]
    target, most = plan.goal.target, plan.goal.most
    for label, alone, limits in zip(plan.short, plan.max_without_others, plan.limited_by, strict=True):
        before, after = plan.before[label], plan.after[label]
        why = f"it has {before:,}, and none may be repeated more than {most} times (--most)"
        if before * most >= target:
            held = ", ".join(names[column] for column in limits) or "other classes"
            by_itself = f" (without other classes it could have {alone:,})" if alone > after else ""
            why = f"its images also carry {held}, whose bounds are full{by_itself}"
        lines.append(f"impossible: {names[label]} cannot have {target:,} images, {after:,} at most: {why}")
    return "\n".join(lines)


def refuse_foreign_tables(folder: Path) -> None:
    """Refuse to replace anything but an earlier plan's files."""
    for name, first in ((TABLE, "class,before,"), (FACTORS, "id,factor,weight"), (CHART, "<")):
        refuse_foreign(folder / name, first)


def write_tables(
    folder: Path, ids: Sequence[str], names: Sequence[str], table: pd.DataFrame, plan: BalancePlan
) -> None:
    """Write balance.csv (classes in the order of `names`), factors.csv (images) and balance.svg."""
    import pandas as pd

    classes = table.loc[list(names)].rename(columns=lambda name: name.replace(" ", "_")).reset_index(names="class")
    images = pd.DataFrame({"id": ids, "factor": plan.factors, "weight": plan.weights})
    chart = _plot(table, plan.goal.target)
    with lock_folder(folder, "writing a plan into", wait=PATIENCE), together(folder):
        write_table(folder / TABLE, classes.assign(growth=classes["growth"].map("{:.4f}".format)))
        write_table(folder / FACTORS, images.assign(weight=images["weight"].map("{:.4f}".format)))
        write_text(folder / CHART, chart)


def _plot(table: pd.DataFrame, target: int) -> str:
    """Plot a `balance_table` as SVG, a line a class with a mark for each way of balancing; the same text each time."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    ways = table.drop(columns="growth").iloc[::-1].clip(lower=1)  # from below; 0 images have no logarithm
    figure = Figure(figsize=(8, 1.2 + 0.2 * len(ways)), layout="constrained")
    axes = figure.add_subplot(xscale="log", xlabel="images", title="Images of each class before and after balancing")
    axes.hlines(ways.index, ways.min(axis=1), ways.max(axis=1), color="#b9c4ca", zorder=1)
    others = iter(_OTHERS)
    for name in ways:
        marker, face, edge = _STYLE.get(name) or next(others)
        axes.scatter(ways[name], ways.index, 24, facecolor=face, edgecolor=edge, marker=marker, label=name, zorder=2)
    axes.axvline(target, color="#1d2b33", linestyle="--", linewidth=1, label=f"target {target:,}")
    axes.grid(axis="x", color="#dde3e6", zorder=0)
    figure.legend(loc="outside lower center", ncols=5)
    out = io.StringIO()
    with rc_context({"svg.hashsalt": "balance", "svg.fonttype": "none"}):
        figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()
