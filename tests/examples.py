"""How many examples a property is tried on, where each costs a while: all in `make test-slow`, fewer in the suite.

No property is timed: hypothesis would fail one whose example takes 0.2 s, as a busy machine may.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings

_THOROUGH = 400  # the profile's number where a test names none
settings.register_profile("thorough", max_examples=_THOROUGH, deadline=None)
settings.register_profile("untimed", deadline=None)
if settings.default.deadline is not None:  # hypothesis' own profile for CI has none
    settings.load_profile("untimed")


def examples(many: int, **others: Any) -> settings:
    """Return settings with `many` examples under --hypothesis-profile=thorough, and a quarter of them without it."""
    return settings(max_examples=max(10, many * settings.default.max_examples // _THOROUGH), **others)
