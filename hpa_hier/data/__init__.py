"""Images and labels on disk become arrays: labels, reading, pack, split, partition, balance, audit."""
