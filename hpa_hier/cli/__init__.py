"""Commands: everything that parses flags."""
