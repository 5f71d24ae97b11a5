"""Reading and writing whole files: YAML, CSV, JSON, text."""
