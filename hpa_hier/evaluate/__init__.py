"""Evaluate: results with intervals, figures, and the report; imports nothing heavy by itself."""
