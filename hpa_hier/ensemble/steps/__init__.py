"""An ensemble as a list of operations on arrays, which a program without this package can follow."""
