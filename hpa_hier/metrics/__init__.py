"""Metrics, rankings and bootstrap intervals: one place for each formula."""
