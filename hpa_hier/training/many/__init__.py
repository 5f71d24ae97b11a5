"""Several trainings at a time."""
