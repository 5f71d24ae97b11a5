"""Figures of the report: one file each, drawn with matplotlib from named data; `report.FIGURES` lists them."""
