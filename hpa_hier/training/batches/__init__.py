"""Batches of training samples."""
