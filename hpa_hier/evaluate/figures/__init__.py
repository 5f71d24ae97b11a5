"""Figures of the report: one file each, drawn with matplotlib from named data; `table.FIGURES` lists them."""
