"""Image files: found, checked, read, resized."""
