"""Engines: how a member's network computes its logits."""
