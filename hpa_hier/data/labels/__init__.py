"""Label tables, and what they say about each sample."""
