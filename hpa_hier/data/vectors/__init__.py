"""Feature vectors: tables and arrays of numbers, one row a sample or one row a cell, in the forms that people have."""
