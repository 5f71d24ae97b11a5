"""The logistic function is scipy's, to the last bit, and scipy is not imported before it is computed."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
from scipy import special

from hpa_hier.metrics.logistic import expit, logit


def test_the_bits_are_scipys() -> None:
    values = np.random.default_rng(0).normal(0, 5, 1000)
    assert np.array_equal(expit(values), special.expit(values))
    assert np.array_equal(logit(expit(values)), special.logit(special.expit(values)))
    spare = np.empty_like(values)
    assert expit(values, out=spare) is spare


def test_an_ensemble_is_read_without_scipy() -> None:
    code = "import sys, hpa_hier.ensemble.ensemble_file; print('scipy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
