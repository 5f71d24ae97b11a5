"""Backbones: images or vectors to features."""
