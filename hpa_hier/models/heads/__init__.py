"""Heads: features to logits of named nodes."""
