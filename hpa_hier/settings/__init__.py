"""Settings: defaults, units, checks, recipe files."""
