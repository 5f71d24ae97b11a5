"""Serve: a page in the browser, and the same over HTTP: images in, answers with their reasons out."""
