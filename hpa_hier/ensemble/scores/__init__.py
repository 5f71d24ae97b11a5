"""Members' scores: samples by nodes."""
