"""Exports: answers as tables and as figures."""
