"""Losses over named nodes."""
