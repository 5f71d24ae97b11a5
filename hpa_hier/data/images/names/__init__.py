"""Names of stains, in file names and in files: found, and matched with channels."""
