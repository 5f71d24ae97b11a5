"""Flags that several commands share, each with what reads it."""
