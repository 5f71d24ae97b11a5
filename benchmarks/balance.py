"""What co-occurrence-aware balance does to the classes of a label table, beside copying the images of rare classes.

    python benchmarks/balance.py --labels train.csv [--out DIR]

Prints, for several targets and bounds, how many images an epoch has, how much Nucleoplasm and the fastest growing of
the classes that have the target already grow, which classes cannot reach it, and the time a plan takes. With --out,
the chart for a target of 1,000 is written there.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from hpa_hier.data.balance.cooccurrence import Goal, plan_balance
from hpa_hier.data.balance.repeat import balanced_counts, copy_factors
from hpa_hier.data.balance.tables import balance_table, write_tables
from hpa_hier.data.labels.table import read_labels, targets
from hpa_hier.taxonomy import Taxonomy

MOST = 150  # repeats of an image; enough for the rarest class to reach every target here


def row(what: str, counts: tuple[np.ndarray, np.ndarray], target: int, images: int, column: int) -> str:
    """Return a line of the table: growth in per cent, counts of the classes below the target."""
    before, after = counts
    grown = after / np.maximum(before, 1) - 1
    rare = before < target
    return (
        f"| {what} | {images:,} | {grown[column]:.1%} | {grown[~rare].max():.1%} | {after[rare].min():,} | "
        f"{after[rare].max():,} |"
    )


def main() -> None:
    """Read the arguments, plan, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, required=True, metavar="CSV", help="label table of the 28 classes")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the chart")
    options = parser.parse_args()
    taxonomy = Taxonomy.load("hierarchy/hpa28.yaml")
    table = read_labels(options.labels, taxonomy)
    present = targets(table.nodes, taxonomy).present[:, [taxonomy.column[leaf] for leaf in taxonomy.leaves]]
    column = taxonomy.leaves.index("Nucleoplasm")
    print("| asked for | images in an epoch | Nucleoplasm | largest growth of a common class | rarest | largest rare |")
    print("| --- | --- | --- | --- | --- | --- |")
    for target in (300, 500, 1000, 1500):
        factors = copy_factors(present, target)
        counts = balanced_counts(present, factors)
        print(row(f"{target}, copying the rare", counts, target, int(factors.sum()), column))
        for bound in (0.15, 0.10, 0.05, 0.02):
            began = time.process_time()
            plan = plan_balance(present, Goal.for_all(present, target, bound, MOST))
            took = time.process_time() - began
            counts = (plan.before, plan.after)
            print(row(f"{target}, growth at most {bound:.0%}", counts, target, int(plan.factors.sum()), column))
            short = ", ".join(f"{taxonomy.leaves[label]} {plan.after[label]:,}" for label in plan.short)
            print(f"    {took:.1f} s" + (f"; impossible for {short}" if short else ""))
            if options.out and (target, bound) == (1000, 0.15):
                chart = balance_table(taxonomy.leaves, present, plan)
                write_tables(options.out, table.ids, taxonomy.leaves, chart, plan)


if __name__ == "__main__":
    main()
