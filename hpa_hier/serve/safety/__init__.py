"""Safety: what the server refuses, and how it says so."""
