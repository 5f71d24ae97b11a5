"""Training members: one, or many side by side."""
