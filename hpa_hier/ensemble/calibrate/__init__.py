"""Members' logits made into honest log-odds, one node at a time."""
