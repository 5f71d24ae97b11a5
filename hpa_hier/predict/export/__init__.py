"""Ensembles and members as folders that answer without this package."""
