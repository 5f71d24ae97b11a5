"""The training loop: module, callbacks, schedule."""
