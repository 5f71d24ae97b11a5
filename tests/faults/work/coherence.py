"""Random taxonomies of all shapes under every rule: no node is more likely, or called, without those above it."""

from __future__ import annotations

import random
import traceback
import warnings
from pathlib import Path

import numpy as np
from ensemble_cases import draw_truth
from faults.forked import call
from faults.tally import Tally

_LEFT = ("rnn", "softmax")  # seconds each; for exclusive trees alone
_BATCH = 100  # taxonomies that one child tries
_RULES = ("evidence", "lift", "softmax")


def draw_text(rng: random.Random) -> str:
    """Return a taxonomy of up to six depths: trees and graphs, open nodes, leaves at any depth."""
    groups: list[str] = []
    lines: list[tuple[int, str]] = []

    def add(depth: int, deepest: int) -> None:
        number = len(groups) + len(lines)
        name = f"n{number}"
        if depth >= deepest or rng.random() < 0.4:
            second = depth > 1 and len(groups) > 1 and rng.random() < 0.25
            also = f", also_under: [{rng.choice(groups)}]" if second else ""
            lines.append((depth, f"{name}: {{label: {number}{also}}}"))
            return
        lines.append((depth, f"{name}:"))
        groups.append(name)
        if rng.random() < 0.2:
            lines.extend([(depth + 1, "open: true"), (depth + 1, f"label: {number}")])
        for _ in range(rng.randint(1, 4)):
            add(depth + 1, deepest)

    for _ in range(rng.randint(1, 4)):
        add(1, rng.randint(1, 6))
    return "taxonomy: r\nlevels: {leaf: leaves}\ntree:\n" + "".join(f"{'  ' * depth}{line}\n" for depth, line in lines)


def try_coherence(times: int, seed: int = 2) -> Tally:
    """Apply each rule to random scores of random taxonomies, and fit, write and read an ensemble of some."""
    tally = Tally()
    for number, start in enumerate(range(0, times, _BATCH)):
        size = min(_BATCH, times - start)
        tries, failures = call(lambda size=size, number=number: _try_batch(size, f"{seed}-{number}"))
        tally.tries += tries
        tally.failures += failures
    return tally


def _try_batch(times: int, seed: str) -> tuple[int, list[str]]:
    from hpa_hier.errors import UserError
    from hpa_hier.taxonomy import Taxonomy

    rng, numbers = random.Random(seed), np.random.default_rng(list(seed.encode()))
    tries, failures = 0, []
    while tries < times * len(_RULES):
        text = draw_text(rng)
        try:
            trees = [Taxonomy.from_text(f"{head}{text}", "r") for head in ("", "exclusive: true\n")]
        except UserError:  # a second parent that is above already, and the like
            continue
        for rule in _RULES:
            tries += 1
            try:
                found = _try_rule(trees[rule == "softmax"], rule, numbers)
            except Exception:
                found = traceback.format_exc()[-600:]
            if found:
                failures.append(f"{rule}: {found}\n{text[:400]}")
    return tries, failures


def _try_rule(taxonomy: object, rule: str, rng: np.random.Generator) -> str:
    """Return what is not coherent in what a rule makes of raw scores; "" where all is."""
    from hpa_hier.data.labels.table import Targets
    from hpa_hier.ensemble.rules import RECONCILERS
    from hpa_hier.taxonomy import Taxonomy

    assert isinstance(taxonomy, Taxonomy)
    size = len(taxonomy.nodes)
    extreme = np.array([0.0, 1.0, 1e-300, 0.5, np.nextafter(1, 0)])
    raw = rng.random((8, size)) if rng.random() < 0.5 else rng.choice(extreme, (8, size))
    answered = rng.random(size) < 0.8
    answered[[taxonomy.column[leaf] for leaf in taxonomy.leaves]] = True
    truth = draw_truth(rng, taxonomy, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = RECONCILERS[rule].fit(raw, answered, Targets(truth.present, truth.known), taxonomy)
        probs = fitted.apply(fitted.fill(raw, answered), answered)
    present = taxonomy.close(probs >= rng.random(size))
    bad = [
        f"{taxonomy.nodes[child]} above {taxonomy.nodes[group]}"
        for group, children in taxonomy.bottom_up
        for child in children
        if (probs[:, child] > probs[:, group]).any() or (present[:, child] & ~present[:, group]).any()
    ]
    if not np.isfinite(probs).all() or (probs < 0).any() or (probs > 1).any():
        bad.append("a probability outside of 0 to 1")
    return ", ".join(bad)


def try_fitted(scratch: Path, times: int, seed: int = 5) -> Tally:
    """Fit ensembles by random rules, write them and read them: coherent, and the same after reading."""
    tally = Tally()
    for number, start in enumerate(range(0, times, 10)):
        size = min(10, times - start)
        failures = call(lambda size=size, number=number: _fit_batch(scratch, size, seed * 1000 + number))
        tally.tries += size
        tally.failures += failures
    return tally


def _fit_batch(scratch: Path, times: int, seed: int) -> list[str]:
    failures, rng = [], np.random.default_rng(seed)
    for _ in range(times):
        settings: dict[str, object] = {}
        try:
            found = _fit_one(scratch, rng, settings)
        except Exception:
            found = traceback.format_exc()[-700:]
        if found:
            failures.append(f"{settings}: {found}")
    return failures


def _fit_one(scratch: Path, rng: np.random.Generator, settings: dict[str, object]) -> str:
    """Return what is not coherent, or not the same after reading; "" where all is."""
    from ensemble_cases import draw_members, random_taxonomy

    from hpa_hier.ensemble import ensemble_file
    from hpa_hier.ensemble.fit import fit
    from hpa_hier.ensemble.rules import TABLES
    from hpa_hier.settings.recipe import EnsembleSettings

    taxonomy = random_taxonomy(rng)
    truth = draw_truth(rng, taxonomy, 60)
    members = draw_members(rng, truth, taxonomy)
    settings |= {name: str(rng.choice([one for one in table if one not in _LEFT])) for name, table in TABLES.items()}
    settings |= {"bootstrap": int(rng.choice([0, 5])), "folds": int(rng.choice([0, 2]))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ensemble = fit(members, truth, taxonomy, EnsembleSettings(**settings))  # type: ignore[arg-type]
        answers = ensemble.predict(members)
        ensemble_file.save(ensemble, scratch / "kept")
        again = ensemble_file.load(scratch / "kept").predict(members)
    for group, children in taxonomy.bottom_up:
        for child in children:
            if (answers.probs[:, child] > answers.probs[:, group]).any():
                return f"{taxonomy.nodes[child]} is likelier than {taxonomy.nodes[group]}"
            if (answers.present[:, child] & ~answers.present[:, group]).any():
                return f"{taxonomy.nodes[child]} is called without {taxonomy.nodes[group]}"
    same = (again.probs == answers.probs).all() and (again.present == answers.present).all()
    return "" if same else "another answer once it was written and read"
