"""Measure what half precision on disk changes in an ensemble's answers.

    python benchmarks/half_precision.py --images DIR [--run NAME|DIR] [--missing yellow]

Without --run it is the bundled ensemble. Images are predicted twice, with the members' weights as they are and rounded
as `training.save_dtype: float16` rounds them; calibration and thresholds are the same. Nothing is written. Some seconds
for some tens of images.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from hpa_hier.cli.command import run
from hpa_hier.members.score import Member
from hpa_hier.models.precision import round_to_half
from hpa_hier.predict.predictor import Predictor
from hpa_hier.runs.find import PRETRAINED


def main(arguments: list[str]) -> int:
    """Predict twice, print the differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, metavar="DIR")
    parser.add_argument("--run", default=PRETRAINED, metavar="NAME|DIR", help="default: the bundled ensemble")
    parser.add_argument("--missing", default="yellow", metavar="CHANNELS", help="that images may lack")
    options = parser.parse_args(arguments)
    missing = tuple(options.missing.split(","))
    predictor = Predictor.load(options.run)
    full = predictor.predict(options.images, may_be_missing=missing)
    total = halved = 0
    for member in predictor.scorers.values():
        assert isinstance(member, Member)
        names, weights = round_to_half(member.network), member.network.state_dict()
        total += sum(tensor.numel() for tensor in weights.values())
        halved += sum(weights[name].numel() for name in names)
    half = predictor.predict(options.images, may_be_missing=missing)
    change = np.abs(half.probs - full.probs)
    print(
        f"{len(full.ids)} images, {len(predictor.scorers)} members, {halved / total:.1%} of {total:,} numbers halved\n"
        f"probability changes by {change.max():.5f} at most, {change.mean():.6f} on average\n"
        f"labels that change: {int((half.present != full.present).sum())} of {full.present.size:,}"
    )
    return 0


if __name__ == "__main__":
    run(main)
