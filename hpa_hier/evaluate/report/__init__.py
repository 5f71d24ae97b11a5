"""The report: one HTML file a run, a comparison of two, or new images; each section is a data class and a template."""
