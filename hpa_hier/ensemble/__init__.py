"""Ensemble: from the members' scores to one calibrated, coherent set of labels for every image."""
