"""Novelty: how unlike the images that members learned from a new one is."""
