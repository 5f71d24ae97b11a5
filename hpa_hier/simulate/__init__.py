"""Simulated cells with known labels: geometry, patterns, optics, label sets, and writing them to disk."""
