"""Explanations: how the answer for one sample came about, in words, in numbers, and as a page with the picture."""
