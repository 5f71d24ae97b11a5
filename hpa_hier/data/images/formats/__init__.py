"""Formats: one file format each, as a reader."""
