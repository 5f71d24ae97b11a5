"""Thresholds, closure and safe answers."""
