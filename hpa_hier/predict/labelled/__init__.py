"""Newly labelled samples: a fitted ensemble is evaluated on them, or adapted to them."""
