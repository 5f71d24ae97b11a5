"""Renamed and removed settings: a recipe that uses one is refused, what was saved earlier is translated.

A renamed setting or choice is a row of `KEYS` or `CHOICES`; a removed one, of `REMOVED_KEYS` or `REMOVED_CHOICES`.
Keys are written as in a recipe; those of `training` also hold inside a member's own `training` block.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

KEYS = {  # old key → new key, in the same block
    "ensemble.views": "ensemble.tta",
    "ensemble.views_merge": "ensemble.tta_merge",
    "ensemble.view_sizes": "ensemble.tta_sizes",
    "ensemble.flat": "ensemble.baseline",
}
CHOICES = {  # (key, old choice) → new choice
    ("ensemble.aggregate", "ridge"): "logistic_stack"
}
REMOVED_KEYS = {  # key → what to do instead; what was saved is read without it
    "training.fourth_channel": "leave it out: a channel past red, green and blue gets the mean of their filters",
    "report.bootstrap": "leave it out: intervals no longer need resamples",
    "report.seed": "leave it out: intervals draw nothing at random",
}
REMOVED_CHOICES = {  # (key, choice) → (choice that it is read as where it was saved, why it was removed)
    ("ensemble.aggregate", "stack"): ("logistic_stack", "it did not always converge, and is never better"),
    ("ensemble.reconcile", "gate"): ("lift", "gates cost more often than they help"),
    ("ensemble.reconcile", "chain"): ("lift", "multiplying along the path lowers leaves and costs accuracy"),
    ("ensemble.reconcile", "min"): ("lift", "a group that is missed lowered the leaves below it"),
    ("ensemble.thresholds", "global"): ("f1", "one threshold for all classes misses the rare ones"),
    ("ensemble.thresholds", "prevalence"): ("f1", "small classes still get the prevalence threshold under it"),
}


def translate_settings(settings: Mapping[str, Any], block: str = "") -> dict[str, Any]:
    """Return the saved settings of a recipe, or of one block of it such as ``ensemble``, under the names of today.

    >>> translate_settings({"ensemble": {"aggregate": "ridge", "flat": ["leaf"]}})
    {'ensemble': {'aggregate': 'logistic_stack', 'baseline': ['leaf']}}
    """
    translated: dict[str, Any] = {}
    for name, value in settings.items():
        key = f"{block}.{name}" if block else name
        if key in REMOVED_KEYS:
            continue
        name = KEYS.get(key, key).rpartition(".")[2]
        if isinstance(value, dict):
            value = translate_settings(value, key)
        elif key == "members" and isinstance(value, list):
            value = [translate_settings(item) if isinstance(item, dict) else item for item in value]
        elif isinstance(value, str):
            value = CHOICES.get((key, value)) or REMOVED_CHOICES.get((key, value), (value, ""))[0]
        translated[name] = value
    return translated


def find_old_names(
    settings: Mapping[str, Any], path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield the path of each setting that has an old name or choice, with a message that says what to write instead.

    >>> list(find_old_names({"ensemble": {"views": "d4"}}))
    [(('ensemble', 'views'), "'ensemble.views' is called 'ensemble.tta' now; rename it")]
    """
    for name, value in settings.items():
        here = (*path, name)
        # a member's training block is checked as the recipe's
        key = ".".join(map(str, here[2:] if here[0] == "members" and len(here) > 2 else here))
        if key in KEYS:
            yield here, f"'{key}' is called '{KEYS[key]}' now; rename it"
        elif key in REMOVED_KEYS:
            yield here, f"'{key}' was removed; {REMOVED_KEYS[key]}"
        elif isinstance(value, dict):
            yield from find_old_names(value, here)
        elif key == "members" and isinstance(value, list):
            for index, item in enumerate(value):
                yield from find_old_names(item, (*here, index)) if isinstance(item, dict) else ()
        elif isinstance(value, str) and (key, value) in CHOICES:
            yield here, f"{key} '{value}' is called '{CHOICES[key, value]}' now; rename it"
        elif isinstance(value, str) and (key, value) in REMOVED_CHOICES:
            instead, why = REMOVED_CHOICES[key, value]
            yield here, f"{key} '{value}' was removed: {why}; use '{instead}'"
