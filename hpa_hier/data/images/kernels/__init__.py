"""Kernels: loops over pixels that are faster than the libraries' own and equal to them, to the bit."""
