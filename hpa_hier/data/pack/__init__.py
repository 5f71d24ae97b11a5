"""Packs: images or feature vectors and their labels, converted once into memory-mapped arrays."""
