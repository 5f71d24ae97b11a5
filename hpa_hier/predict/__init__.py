"""From a run and new samples to answers."""
