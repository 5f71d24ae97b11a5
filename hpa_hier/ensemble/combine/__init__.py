"""One probability for every node, from all members that answer for it."""
