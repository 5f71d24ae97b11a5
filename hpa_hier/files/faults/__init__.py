"""What can go wrong with files: a machine that refuses, a process that dies in between, text that would run."""
