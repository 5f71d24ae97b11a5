"""Uploads: files that strangers send, received, named and decoded."""
