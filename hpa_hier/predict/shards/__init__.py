"""Shards of a prediction: answers kept piece by piece, so that it can go on, and several machines can share it."""
