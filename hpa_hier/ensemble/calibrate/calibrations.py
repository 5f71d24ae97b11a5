"""The table of calibrations: a new one is a row here and a file of its own."""

from __future__ import annotations

from hpa_hier.ensemble.calibrate.calibration import Calibration, Uncalibrated
from hpa_hier.ensemble.calibrate.isotonic import Isotonic
from hpa_hier.ensemble.calibrate.platt import Platt
from hpa_hier.ensemble.calibrate.temperature import Temperature

CALIBRATIONS: dict[str, type[Calibration]] = {rule.name: rule for rule in (Temperature, Platt, Isotonic, Uncalibrated)}
