"""Measure `ensemble fit` by the number of samples: seconds of processor time, where they go, and the memory.

    python benchmarks/fit_speed.py --rows 3107 10000                  # half a minute
    python benchmarks/fit_speed.py --rows 100000                      # minutes, and gigabytes

Scores are drawn: eleven members that answer for the 28 leaves of hpa28, each sample alone. One thread, each size in a
process of its own. `digest` is of all that was fitted: revisions with the same digest fit the same to the last bit.
"""

from __future__ import annotations

import argparse
import cProfile
import hashlib
import json
import os
import pstats
import resource
import subprocess
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from hpa_hier.ensemble.accept import fit_accepted
from hpa_hier.ensemble.scores.fit_data import FitData, fit_data
from hpa_hier.ensemble.scores.scores import Scores, Truth
from hpa_hier.settings.recipe import EnsembleSettings
from hpa_hier.taxonomy import Taxonomy

MEMBERS = 11
_STEPS = {  # what a profile calls them
    "calibration": ("combiner.py", "_calibrate"),
    "stack": ("logistic_stack.py", "fit"),
    "thresholds": ("thresholds.py", "fit_thresholds"),
    "comparison": ("accept.py", "compare"),
}


def draw_scores(rows: int, taxonomy: Taxonomy) -> FitData:
    """Draw members' scores of samples whose labels are as frequent as 0.4 to 30 %."""
    generator, leaves = np.random.default_rng(0), taxonomy.leaves
    share = np.linspace(0.3, 0.004, len(leaves))
    carried = generator.random((rows, len(leaves))) < share
    present = np.zeros((rows, len(taxonomy.nodes)), bool)
    present[:, [taxonomy.column[leaf] for leaf in leaves]] = carried
    ids = tuple(f"s{row:07d}" for row in range(rows))
    middle = np.where(carried, 1.5, -1.5) + np.log(share / (1 - share)) / 2
    scores = [
        Scores(f"m{number:02d}", ids, tuple(leaves), middle + generator.normal(0, 2, carried.shape))
        for number in range(MEMBERS)
    ]
    return fit_data(scores, Truth(ids, taxonomy.close(present), np.ones_like(present)))


def measure(rows: int) -> None:
    """Fit, and print a row of the table."""
    taxonomy = Taxonomy.load("hpa28")
    data, profile = draw_scores(rows, taxonomy), cProfile.Profile()
    began = time.process_time()
    accepted = profile.runcall(fit_accepted, data, None, taxonomy, EnsembleSettings())
    seconds = time.process_time() - began
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    spent = {
        step: sum(
            row[3] for (file, _, name), row in stats.items() if file.endswith("/" + where[0]) and name == where[1]
        )
        for step, where in _STEPS.items()
    }
    whole = sum(row[2] for row in stats.values())
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MB
    fitted = accepted.ensemble.combiner.probs(data.members, data.available)[1].tobytes()
    fitted += json.dumps([accepted.verdict.to_json(), accepted.ensemble.thresholds.to_json()]).encode()
    shares = " | ".join(f"{one / whole:.0%}".replace("%", " %") for one in spent.values())
    digest = hashlib.sha256(fitted).hexdigest()[:12]
    print(
        f"| {rows:,} | {seconds:.1f} | {1e3 * seconds / rows:.2f} | {memory:,.0f} | {shares} | {digest} |", flush=True
    )


def main() -> None:
    """Measure each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[3107, 10000])
    rows = parser.parse_args().rows
    if len(rows) == 1:
        measure(rows[0])
        return
    print(
        f"| rows | seconds | ms a row | MB | {' | '.join(_STEPS)} | digest |\n|{' --- |' * (5 + len(_STEPS))}",
        flush=True,
    )
    for one in rows:
        subprocess.run([sys.executable, __file__, "--rows", str(one)], check=True)


if __name__ == "__main__":
    main()
