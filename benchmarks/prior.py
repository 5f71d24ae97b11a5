"""Measure what `predict --prior` is worth: an ensemble fitted under one class balance, asked under another.

    python benchmarks/prior.py --scores eleven_networks.npz [--seeds 8]

The file is that of benchmarks/real_scores.py: real networks' scores of real images. For every seed one random half is
to fit on and the other to measure on. "Flat to real": of the first half 600 images are drawn so that rare classes are
as likely as frequent ones, the other half is as it is. "Real to flat": the other way round. The prior is the label
table of the half that is measured, of which no score is looked at. Thresholds are left as they are (kept), moved by the
same odds as probabilities (moved: what the program does), or half as far; "estimated" has the prior by expectation
maximisation over the unlabelled half (Saerens, Latinne & Decaestecker 2002) or over 48 images of it. All are of
the 28 leaves; log loss is natural. A minute and a half on one core.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from real_scores import COLUMNS, EDGE, TAXONOMY, Rows, measure
from scipy.special import logit

from hpa_hier.cli.command import run
from hpa_hier.ensemble.calibrate.prior import Prior
from hpa_hier.ensemble.combine.propagate import move_odds
from hpa_hier.ensemble.ensemble import Ensemble
from hpa_hier.ensemble.fit import fit
from hpa_hier.metrics.scores import count, micro_f1
from hpa_hier.settings.recipe import EnsembleSettings

MEMBERS = (0, 3, 5, 7)  # a quarter of an hour for all eleven
FLAT, FEW, STEPS = 600, 48, 200  # images drawn flat, images of the small estimate, steps of the estimate
RECIPES = {
    "default recipe": EnsembleSettings(bootstrap=0),
    "platt, mean, lift, f1": EnsembleSettings(
        bootstrap=0, calibrate="platt", aggregate="mean", reconcile="lift", refine=False, thresholds="f1"
    ),
}


def draw_flat(labels: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw rows whose weight is one over the count of their rarest class; `labels` are (B, 28) of all rows."""
    counts = np.maximum(labels.sum(axis=0), 3)
    rarest = np.where(labels[rows], counts, np.inf).min(axis=1)
    return np.sort(rng.choice(rows, FLAT, replace=False, p=(1 / rarest) / (1 / rarest).sum()))


def estimate_prior(probs: np.ndarray, fitted: np.ndarray) -> Prior:
    """Estimate shares from probabilities (B, N) that were calibrated under shares `fitted` (N,)."""
    shares = fitted.copy()
    for _ in range(STEPS):
        shares = np.clip(move_odds(probs, logit(shares) - logit(fitted)).mean(axis=0), 1e-4, 1 - 1e-4)
    return Prior("an estimate", shares)


def with_thresholds(moved: Ensemble, fitted: Ensemble, share: float) -> Ensemble:
    """Return an ensemble under a prior whose thresholds moved by this share of the odds."""
    assert moved.prior is not None
    thresholds = fitted.thresholds.move(share * moved.prior.log_odds)
    return replace(moved, decision=replace(moved.decision, thresholds=thresholds))


def compare(given: Rows, unseen: Rows, settings: EnsembleSettings) -> dict[str, np.ndarray]:
    """Return each way's macro F1, micro F1, mean AP and log loss."""
    fitted = fit(given.scores(), given.truth(), TAXONOMY, settings)
    fitted.about["samples"] = len(given.labels)
    plain = fitted.predict(unseen.scores())
    moved = fitted.with_prior(Prior.from_targets("the table", unseen.truth().targets))
    assert moved.prior is not None
    shares = moved.prior.fitted.shares
    ways = {
        "as fitted": fitted,
        "prior, thresholds moved": moved,
        "prior, thresholds half-way": with_thresholds(moved, fitted, 0.5),
        "prior, thresholds kept": with_thresholds(moved, fitted, 0.0),
        "estimated on all": fitted.with_prior(estimate_prior(plain.probs, shares)),
        f"estimated on {FEW}": fitted.with_prior(estimate_prior(plain.probs[:FEW], shares)),
    }
    found = {}
    for name, ensemble in ways.items():
        answer = ensemble.predict(unseen.scores())
        probs, called = answer.probs[:, COLUMNS], answer.present[:, COLUMNS]
        macro, ap, loss = measure((probs, called), unseen.labels, None)
        micro = micro_f1(count(called, unseen.labels, np.ones_like(unseen.labels)))
        found[name] = np.array([macro, micro, ap, loss])
    return found


def main(arguments: list[str]) -> int:
    """Print a table for each direction and recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scores", type=Path, required=True, metavar="NPZ")
    parser.add_argument("--seeds", type=int, default=8)
    options = parser.parse_args(arguments)
    with np.load(options.scores) as kept:
        probs = np.clip(kept["scores"][list(MEMBERS)].astype(float), EDGE, 1 - EDGE)
        rows = Rows(logit(probs), kept["labels"].astype(bool), np.ones((len(MEMBERS), 28), bool))
    for direction in ("flat to real", "real to flat"):
        for recipe, settings in RECIPES.items():
            found: dict[str, list[np.ndarray]] = {}
            for seed in range(options.seeds):
                rng = np.random.default_rng(seed)
                first, other = np.array_split(rng.permutation(len(rows.labels)), 2)
                if direction == "flat to real":
                    first = draw_flat(rows.labels, first, rng)
                else:
                    other = draw_flat(rows.labels, other, rng)
                for name, values in compare(rows.take(first), rows.take(other), settings).items():
                    found.setdefault(name, []).append(values)
            print(f"\n{direction}, {recipe}: means of {options.seeds} draws, ± standard error of the change")
            print("| way | macro F1 | micro F1 | mean AP | log loss |\n| --- | --- | --- | --- | --- |")
            plain = np.array(found["as fitted"])
            for name, values in found.items():
                mean, change = np.mean(values, axis=0), np.array(values) - plain
                error = change.std(axis=0, ddof=1) / np.sqrt(len(change))
                cells = (
                    f"{m:.4f}" + (f" ({d:+.4f} ± {e:.4f})" if name != "as fitted" else "")
                    for m, d, e in zip(mean, change.mean(axis=0), error, strict=True)
                )
                print(f"| {name} | {' | '.join(cells)} |", flush=True)
    return 0


if __name__ == "__main__":
    run(main)
