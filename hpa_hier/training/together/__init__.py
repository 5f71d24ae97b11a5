"""Members trained together in one process, on shared batches."""
