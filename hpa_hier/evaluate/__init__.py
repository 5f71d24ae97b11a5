"""Evaluate: figures with intervals, plots, and the report; imports nothing heavy by itself."""
